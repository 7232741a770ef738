import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  type EndReason,
  MalformedFrameError,
  type SessionEnd,
  SessionEndedError,
} from "../../errors.ts";
import { requests } from "../../requests/requests.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { type Connection, memoryListener } from "../../transport/mod.ts";
import { codecOf, DECODER_BUGS } from "../_decoder_bugs.ts";
import { ask, bounded, echo, readAll, readToReset, until } from "../_serving.ts";

Deno.test("serve() closes a session gracefully when its handler returns", bounded, async () => {
  const listener = memoryListener();
  const ends: SessionEnd[] = [];
  const observer = { onSessionEnd: (_: Session, end: SessionEnd) => void ends.push(end) };
  const reply = "0123456789".repeat(50_000);
  await using _server = serve({ listener, observer }, async (session) => {
    await session.readLine();
    session.send(reply);
  });
  await using client = new Session(listener.connect());
  // The second line stays unread: to close over it would destroy what is on its way.
  await client.send("go\nno one reads this\n");
  assertEquals(await readAll(client), reply);
  assertEquals((await client.close()).reason, "peer");
  await until(() => ends.length === 1);
  assertEquals(ends[0]!.reason, "local");
  assertEquals("cause" in ends[0]!, false);
});

Deno.test(
  "serve() tells what a handler has left behind that it has returned",
  bounded,
  async () => {
    const listener = memoryListener();
    const left: Promise<unknown>[] = [];
    const ends: SessionEnd[] = [];
    await using _server = serve({ listener }, (session) => {
      session.closed.then((end) => ends.push(end));
      left.push(session.readLine().catch((error) => error)); // which is not awaited
      left.push(
        until(() => ends.length === 1).then(() => session.send("x")).catch((error) => error),
      );
    });
    await using client = new Session(listener.connect());
    assertEquals(await readAll(client), "");
    await client.close();
    for (const error of await Promise.all(left)) {
      assertInstanceOf(error, SessionEndedError);
      assertEquals(error.reason, "local");
      assertEquals(error.message, "session ended: local (Error: the handler has returned)");
    }
    assertEquals([ends[0]!.reason, "cause" in ends[0]!], ["local", false]); // nothing went wrong
  },
);

Deno.test("serve() ends only the session whose handler throws", bounded, async () => {
  const listener = memoryListener();
  const failure = new Error("no such command");
  const told: unknown[] = [];
  await using server = serve({
    listener,
    onError: (error, session) => void told.push(["onError", error, session?.id]),
    observer: { onHandlerError: (error, { id }) => void told.push(["observer", error, id]) },
  }, async (session) => {
    for await (const line of session.lines()) {
      await session.send(`${line}!\n`);
      if (line === "fail") throw failure;
    }
  });
  await using good = new Session(listener.connect());
  assertEquals(await ask(good, "one"), "one!");
  await using bad = new Session(listener.connect());
  assertEquals(await ask(bad, "two"), "two!");
  const session = [...server.sessions][1]!;

  assertEquals(await ask(bad, "fail"), "fail!");
  assertEquals(await readToReset(bad), "");
  await bad.close();
  const end = await session.closed;
  assertEquals(end.reason, "error");
  assertStrictEquals(end.cause, failure);
  assertStrictEquals(((session.signal.reason) as Error).cause, failure);
  assertEquals(told, [["observer", failure, 2], ["onError", failure, 2]]);

  assertEquals(await ask(good, "three"), "three!");
  await using late = new Session(listener.connect());
  assertEquals(await ask(late, "four"), "four!");
  const { active, accepted, handlerErrors } = server.stats();
  assertEquals({ active, accepted, handlerErrors }, { active: 2, accepted: 3, handlerErrors: 1 });
});

Deno.test("serve() ends a session whose handler throws at once", bounded, async () => {
  const listener = memoryListener();
  const failure = new Error("no such command");
  const told: unknown[] = [];
  await using server = serve({ listener, onError: (error) => void told.push(error) }, () => {
    throw failure;
  });
  await using client = new Session(listener.connect());
  assertEquals(await readToReset(client), "");
  assertEquals(told, [failure]);
  assertEquals(server.stats().handlerErrors, 1);
});

/** A session that throws at its handler, and what happens to it meanwhile. */
interface Fault {
  options?: ServeOptions;
  handler: Handler;
  act?(client: Connection, server: Server, session: Session): unknown;
  reason: EndReason;
}

const utf8 = new TextEncoder();
const greet = async (session: Session): Promise<void> => {
  await session.send("welcome!");
  await session.readExactly(5);
};

/** To close over unread input resets the connection. */
async function reset(client: Connection, _: Server, session: Session): Promise<void> {
  await until(() => session.bytesWritten > 0);
  client.close();
}

const FAULTS: Record<string, Fault> = {
  "a reset": {
    handler: greet,
    act: reset,
    reason: "peer",
  },
  "a send after a reset": {
    async handler(session): Promise<void> {
      const gone = Promise.withResolvers<void>();
      session.signal.addEventListener("abort", () => gone.resolve());
      await session.send("welcome!");
      greet(session).catch(() => {});
      await gone.promise;
      await session.send("hello?");
    },
    act: reset,
    reason: "peer",
  },
  "input that ends too early": {
    handler: greet,
    async act(client): Promise<void> {
      await client.write(utf8.encode("abc"));
      await client.closeWrite();
    },
    reason: "error",
  },
  "no input at all": {
    handler: greet,
    act: (client) => client.closeWrite(),
    reason: "peer",
  },
  "idleTimeout": { options: { idleTimeout: 40 }, handler: greet, reason: "idle" },
  "readIdleTimeout": { options: { readIdleTimeout: 40 }, handler: greet, reason: "read-idle" },
  "heartbeats that are not answered": {
    options: { heartbeat: { interval: 20, message: "PING\n" } },
    handler: greet,
    reason: "heartbeat-missed",
  },
  "maxLifetime": { options: { maxLifetime: 40 }, handler: greet, reason: "lifetime" },
  "frameTimeout": {
    options: { frameTimeout: 40 },
    handler: echo,
    act: (client) => client.write(utf8.encode("half a li")),
    reason: "frame-stalled",
  },
  "the timeout of a reading": {
    handler: (session) => session.readLine({ timeout: 40 }),
    reason: "error",
  },
  "a line that is too long": {
    handler: (session) => session.readLine({ maxLength: 4 }),
    act: (client) => client.write(utf8.encode("rosemary\n")),
    reason: "limit",
  },
  "a line that is no UTF-8": {
    handler: (session) => session.readLine({ fatal: true }),
    act: (client) => client.write(new Uint8Array([0xff, 0x0a])),
    reason: "error",
  },
  "a class of a decoder's own for what the peer does wrong": {
    handler: (session) =>
      session.frames(codecOf(() => {
        throw new class extends MalformedFrameError {}("no such command", 0);
      })).read(),
    act: (client) => client.write(utf8.encode("rose")),
    reason: "error",
  },
  "maxBufferedOutput": {
    options: { highWaterMark: 1000, maxBufferedOutput: 5000 },
    async handler(session): Promise<void> {
      for (let i = 0; i < 10; i++) session.send("x".repeat(1000));
      await session.send("too much");
    },
    reason: "limit",
  },
  "session.abort()": {
    async handler(session): Promise<void> {
      session.abort();
      await session.readLine();
    },
    reason: "local",
  },
  "session.close()": {
    async handler(session): Promise<void> {
      session.close();
      await session.send("one more thing");
    },
    reason: "local",
  },
  "the reason of its signal": {
    async handler(session): Promise<void> {
      greet(session).catch(() => {});
      const { promise, reject } = Promise.withResolvers<void>();
      session.signal.addEventListener("abort", () => reject(session.signal.reason));
      await promise;
    },
    act: reset,
    reason: "peer",
  },
  "abort()": {
    handler: greet,
    act: (_, server) => server.abort(new Error("enough")),
    reason: "local",
  },
  "shutdown() in a loop": {
    handler: echo,
    act: (_, server) => void server.shutdown(),
    reason: "drain",
  },
  "shutdown() past its time": {
    options: { shutdownTimeout: 40 },
    handler: greet,
    act: (_, server) => void server.shutdown(),
    reason: "drain",
  },
  "the reason of the draining signal": {
    handler: (session) => session.readLine({ signal: session.draining }),
    act: (_, server) => void server.shutdown(),
    reason: "drain",
  },
};

for (const [name, { options, handler, act, reason }] of Object.entries(FAULTS)) {
  Deno.test(
    `serve() does not report what a session threw at its handler: ${name}`,
    bounded,
    async () => {
      const listener = memoryListener();
      const told: unknown[] = [];
      const begun = Promise.withResolvers<Session>();
      let thrown: unknown;
      const onError = (error: unknown): void => void told.push(error);
      await using server = serve({ ...options, listener, onError }, async (session) => {
        begun.resolve(session);
        try {
          await handler(session);
        } catch (error) {
          thrown = error;
          throw error;
        }
      });
      const client = listener.connect();
      const session = await begun.promise;
      await act?.(client, server, session);
      // A deadline alone keeps no process alive; this does.
      await until(() => thrown !== undefined);
      assert(thrown instanceof Error);
      // Where the session ends gracefully, it waits for the peer to finish its side.
      await client.closeWrite().catch(() => {});
      assertEquals((await session.closed).reason, reason);
      assertEquals([told, server.stats().handlerErrors], [[], 0]);
    },
  );
}

Deno.test("serve() reports what a handler makes of its session's error", bounded, async () => {
  const listener = memoryListener();
  const told: unknown[] = [];
  await using server = serve({ listener, onError: (error) => void told.push(error) }, async (s) => {
    try {
      await s.readLine();
    } catch (cause) {
      throw new Error("no name came", { cause });
    }
  });
  await using _client = new Session(listener.connect());
  await until(() => server.sessions.size === 1);
  const [session] = server.sessions;
  session!.abort(new Error("enough"));
  assertEquals((await session!.closed).reason, "local");
  await until(() => told.length === 1);
  assertEquals((told[0] as Error).message, "no name came");
  assert((told[0] as Error).cause instanceof SessionEndedError);
});

for (const [bug, { decode, kind, words }] of Object.entries(DECODER_BUGS)) {
  const READERS: Record<string, Handler> = {
    "frames()": async (session) => {
      for await (const _ of session.frames(codecOf(decode)));
    },
    "frames().read()": (session) => session.frames(codecOf(decode)).read(),
    "requests()": (session) => requests(session.frames(codecOf(decode))).request("rose"),
  };
  for (const [reader, handler] of Object.entries(READERS)) {
    Deno.test(`serve() reports ${bug} out of a decoder under ${reader}`, bounded, async () => {
      const listener = memoryListener();
      const told: unknown[] = [];
      const ends: SessionEnd[] = [];
      await using server = serve({
        listener,
        onError: (error) => void told.push(error),
        observer: { onSessionEnd: (_, end) => void ends.push(end) },
      }, handler);
      await using client = new Session(listener.connect());
      await client.send("rose");
      assertEquals(await readToReset(client), "");
      await client.close();
      await until(() => ends.length === 1);
      assertInstanceOf(told[0], kind, words);
      assertStringIncludes(told[0].message, words);
      assertEquals([told.length, server.stats().handlerErrors], [1, 1]);
      assertEquals(ends[0]!.reason, "error");
      assertStrictEquals(ends[0]!.cause, told[0]);
    });
  }
}

Deno.test(
  "serve() ends a session for the bug of a decoder that its handler hides",
  bounded,
  async () => {
    const listener = memoryListener();
    const ends: SessionEnd[] = [];
    const observer = { onSessionEnd: (_: Session, end: SessionEnd) => void ends.push(end) };
    await using server = serve({ listener, observer }, async (session) => {
      await session.frames(codecOf(DECODER_BUGS["no result"]!.decode)).read().catch(() => {});
    });
    await using client = new Session(listener.connect());
    await client.send("rose");
    await client.readLine();
    await client.close();
    await until(() => ends.length === 1);
    assertEquals([ends[0]!.reason, server.stats().handlerErrors], ["error", 0]);
    assertInstanceOf(ends[0]!.cause, TypeError);
  },
);

const THROWN: readonly (readonly [name: string, value: unknown])[] = [
  ["a string", "text"],
  ["0", 0],
  ["null", null],
  ["a symbol", Symbol("s")],
  ["undefined", undefined],
  ["an object that has no text", Object.create(null)],
];

for (const [name, thrown] of THROWN) {
  Deno.test(`serve() reports a handler that throws ${name}`, bounded, async () => {
    const listener = memoryListener();
    const told: unknown[] = [];
    const begun = Promise.withResolvers<Session>();
    const onError = (error: unknown): void => void told.push(error);
    await using server = serve({ listener, onError }, (session) => {
      begun.resolve(session);
      throw thrown;
    });
    await using client = new Session(listener.connect());
    const session = await begun.promise;
    assertEquals(await readToReset(client), "");
    await client.close();
    assertEquals((await session.closed).reason, "error");
    assertEquals([told.length, server.stats().handlerErrors], [1, 1]);
    assertStrictEquals(told[0], thrown);
  });
}
