// What somebody has put before the beginning of TLS, wherever it may be held (CVE-2011-0411).

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { SessionGroup } from "../../session/group.ts";
import { Session } from "../../session.ts";
import { TlsHandshakeError } from "../../errors.ts";
import type { Connection } from "../../transport/connection.ts";
import { memoryPair } from "../../transport/memory.ts";
import { dialTls } from "../../transport/tls/client.ts";
import { TlsAcceptor } from "../../transport/tls/server.ts";
import { ConnectionOver, settle } from "../_serving.ts";
import { clientOptions, HANDSHAKE_TIMEOUT, overTls, serverOptions } from "../_tls.ts";
import { Peer, testEachPair, until } from "../_transports.ts";

const SIDES = ["server", "client"] as const;
type Side = (typeof SIDES)[number];
type Stream = ReadableStream<Uint8Array<ArrayBuffer>>;

const INJECTED = "NOOP injected\r\n";
const never = new AbortController().signal;

/** A session that takes a side of TLS when it is to. */
function sessionOver(connection: Connection, side: Side): Session {
  const group = new SessionGroup<Session>();
  if (side === "server") {
    group.acceptTls = () => (raw) =>
      new TlsAcceptor(serverOptions()).accept(raw, HANDSHAKE_TIMEOUT);
  }
  return new Session(connection, {}, group);
}

/** Begins TLS, and gives what it failed with. */
async function upgrade(session: Session, side: Side): Promise<unknown> {
  try {
    return await session.upgradeTls(side === "client" ? clientOptions() : undefined);
  } catch (error) {
    return error;
  }
}

/** The peer's side of TLS. */
function shakeWith(connection: Connection, side: Side): Promise<Connection> {
  return side === "server"
    ? dialTls(connection, clientOptions(), never)
    : new TlsAcceptor(serverOptions()).accept(connection, HANDSHAKE_TIMEOUT);
}

/** Begins a read and leaves it to itself. */
async function abandon(stream: Stream): Promise<void> {
  const reader = stream.getReader();
  const read = reader.read();
  await settle(); // before, nothing has begun
  reader.releaseLock();
  await assertRejects(() => read, TypeError);
}

/** Ways to leave what comes next somewhere in or behind the stream, with nobody there to take it. */
const ABANDONED: Record<string, (stream: Stream) => Promise<unknown>> = {
  "a read that was abandoned by releaseLock()": abandon,
  "two of them": async (stream) => {
    await abandon(stream);
    await abandon(stream);
  },
  "a pipe that was aborted": async (stream) => {
    const stop = new AbortController();
    const pipe = stream.pipeTo(new WritableStream(), { signal: stop.signal, preventCancel: true });
    await settle();
    stop.abort();
    await assertRejects(() => pipe, DOMException);
  },
  "a stream that was cancelled": async (stream) => {
    const reader = stream.getReader();
    const read = reader.read();
    await settle();
    await reader.cancel();
    assertEquals((await read).done, true);
    reader.releaseLock();
  },
};

/** Ways to have the stream, so that nobody else can see what comes out of it. */
const TAKEN: Record<string, (stream: Stream) => unknown> = {
  "by a reader": (stream) => stream.getReader(),
  "by a reader that waits": (stream) => void stream.getReader().read().catch(() => {}),
  "by a loop": (stream) => void stream.values().next().catch(() => {}),
  "by tee()": (stream) => stream.tee(),
  "by a branch that is read": (stream) => {
    const [branch] = stream.tee();
    branch.getReader().read().catch(() => {});
  },
  "by a pipe that is held back": (stream) => {
    const never = new WritableStream({ write: () => new Promise(() => {}) });
    stream.pipeTo(never).catch(() => {});
  },
  "by a transform": (stream) => stream.pipeThrough(new TextDecoderStream()),
};

/** Asserts that TLS was refused for bytes that had come, and that this has ended the session. */
async function assertRefused(session: Session, error: unknown, count: number): Promise<void> {
  assertInstanceOf(error, TlsHandshakeError);
  assertEquals(error.code, "protocol");
  assert(error.message.includes(`${count} bytes that came unencrypted are unread`), error.message);
  const { reason, cause } = await session.closed;
  assertEquals([reason, cause, session.tls], ["error", error, undefined]);
}

for (const side of SIDES) {
  for (const [way, hold] of Object.entries(ABANDONED)) {
    testEachPair(`Session.upgradeTls() of a ${side} refuses what came to ${way}`, async (pair) => {
      const [near, far] = await pair();
      const session = sessionOver(near, side);
      await hold(session.readable);
      await new Peer(far).send(INJECTED);
      await until(() => session.bytesRead > 0);
      await settle();
      if (!way.includes("cancelled")) {
        const reader = session.readable.getReader(); // which reads nothing
        assertInstanceOf(await upgrade(session, side), TypeError);
        reader.releaseLock();
      }
      await assertRefused(session, await upgrade(session, side), INJECTED.length);
      far.close();
    });
  }

  for (const [way, take] of Object.entries(TAKEN)) {
    testEachPair(
      `Session.upgradeTls() of a ${side} does not begin while the stream is taken ${way}`,
      async (pair) => {
        const [near, far] = await pair();
        const session = sessionOver(near, side);
        take(session.readable);
        for (const injected of [false, true]) {
          if (injected) await new Peer(far).send(INJECTED);
          await settle();
          const error = await upgrade(session, side);
          assertInstanceOf(error, TypeError);
          assert(error.message.includes("session.readable is locked"), error.message);
        }
        await session.send("in the clear"); // and the session goes on
        assertEquals(await new Peer(far).text(12), "in the clear");
        session.abort();
        far.close();
        await session.closed;
      },
    );
  }

  testEachPair(
    `Session.upgradeTls() of a ${side} begins where the stream has given all it took`,
    async (pair) => {
      const [near, far] = await pair();
      const session = sessionOver(near, side);
      const { readable } = session;
      await new Peer(far).send("STARTTLS\r\n");
      const plain = readable.getReader();
      assertEquals(new TextDecoder().decode((await plain.read()).value), "STARTTLS\r\n");
      plain.releaseLock();
      const [error, secure] = await Promise.all([upgrade(session, side), shakeWith(far, side)]);
      assertEquals(error, session.tls);
      await new Peer(secure).send("secret");
      const reader = readable.getReader();
      assertEquals(new TextDecoder().decode((await reader.read()).value), "secret");
      session.abort();
      secure.close();
      await session.closed;
    },
  );

  // Between the read of the socket and the queue of the stream, bytes are for a moment in neither.
  Deno.test(
    `Session.upgradeTls() of a ${side} lets nothing through on the way into the stream`,
    overTls,
    async () => {
      const outcomes = new Set<string>();
      for (let ticks = 0; ticks < 20; ticks++) {
        const attempt = Promise.withResolvers<unknown>();
        const tick = (left: number): void => {
          if (left === 0) attempt.resolve(upgrade(session, side));
          else queueMicrotask(() => tick(left - 1));
        };
        class Watched extends ConnectionOver {
          override async read(buffer: Uint8Array): Promise<number | null> {
            const count = await super.read(buffer);
            tick(ticks);
            return count;
          }
        }
        const [near, far] = memoryPair();
        const session = sessionOver(new Watched(near), side);
        await abandon(session.readable);
        await new Peer(far).send(INJECTED);
        await far.closeWrite();
        const error = await attempt.promise;
        assert(error instanceof Error, `it began after ${ticks} microtasks`);
        outcomes.add(error.name);
        session.abort();
        far.close();
        await session.closed;
      }
      assertEquals([...outcomes], ["TypeError", "TlsHandshakeError"]);
    },
  );
}

Deno.test("Session.readable is no byte stream, whose readers could hold memory of their own", () => {
  const [near, far] = memoryPair();
  const session = new Session(near);
  assertThrows(() => session.readable.getReader({ mode: "byob" }), TypeError);
  session.abort();
  far.close();
});

Deno.test("Session.unread() is refused while TLS begins", async () => {
  const [near, far] = memoryPair();
  const group = new SessionGroup<Session>();
  const begun = Promise.withResolvers<Connection>();
  group.acceptTls = () => () => begun.promise;
  const session = new Session(near, {}, group);
  const upgraded = session.upgradeTls();
  assertThrows(() => session.unread(new Uint8Array(3)), TypeError, "about to begin TLS");
  begun.reject(new Error("enough"));
  await assertRejects(() => upgraded, "enough");
  far.close();
});
