import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { CertificateError, SessionEndedError, TlsHandshakeError } from "../../errors.ts";
import { connect } from "../../connect/connect.ts";
import { serve } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryPair } from "../../transport/mod.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";
import { dialPlain } from "../_dialing.ts";
import { mail, testMail, trusting } from "../_starttls.ts";
import { ask, ConnectionOver, portOf, readAll } from "../_serving.ts";
import { isPending, Peer } from "../_transports.ts";

/** Says STARTTLS, and hears that the server will. */
async function prepare(client: Session): Promise<void> {
  assertEquals(await ask(client, "STARTTLS"), "220 go ahead");
}

/** A service that says nothing until the server drains. */
async function idle({ draining }: Session): Promise<void> {
  await new Promise((resolve) => draining.addEventListener("abort", resolve));
}

testMail("Session.upgradeTls() puts both sides under TLS between two lines", async (start) => {
  await using service = start();
  await using client = await service.dial();
  assertEquals(await ask(client, "hello"), "plain hello");
  await prepare(client);
  const info = await client.upgradeTls(trusting);
  assertEquals([info.protocol, info.serverName, info.peerCertificate!.subject], [
    "TLSv1.3",
    "localhost",
    "CN=garden",
  ]);
  assertStrictEquals(client.tls, info);
  for (let i = 0; i < 10; i++) assertEquals(await ask(client, `${i}`), `TLSv1.3 ${i}`);
  const [session] = service.server.sessions;
  assertEquals(session!.tls!.serverName, "localhost");
  await client.closeWrite();
  assertEquals(await readAll(client), "");
  assertEquals((await service.end()).reason, "peer");
});

testMail(
  "Session.upgradeTls() sends in order, and nothing in the clear that came after it",
  async (start) => {
    await using service = start({}, async (session) => {
      assertEquals(await session.readLine(), "STARTTLS");
      // More than the connection takes at once, so that TLS has to wait for it.
      const before = session.send("before".repeat(100_000));
      session.send("go ahead\n");
      const upgraded = session.upgradeTls();
      session.send("secret 1\n");
      await before;
      session.send("secret 2\n");
      await upgraded;
      await session.send("secret 3\n");
    });
    const raw = await service.raw();
    let wire = "";
    class Overheard extends ConnectionOver {
      override async read(buffer: Uint8Array): Promise<number | null> {
        const count = await super.read(buffer);
        wire += new TextDecoder("latin1").decode(buffer.subarray(0, count ?? 0));
        return count;
      }
    }
    const client = new Session(new Overheard(raw));
    await client.send("STARTTLS\n");
    const before = await client.readExactly(600_000);
    assertEquals([before.length, await client.readLine()], [600_000, "go ahead"]);
    await client.upgradeTls(trusting);
    for (const n of [1, 2, 3]) assertEquals(await client.readLine(), `secret ${n}`);
    assertEquals(await client.readLine(), undefined);
    assertEquals(wire.indexOf("secret"), -1);
    await client.close();
  },
);

testMail("Session.upgradeTls() carries what the client sends meanwhile", async (start) => {
  await using service = start();
  await using client = await service.dial();
  await prepare(client);
  const upgraded = client.upgradeTls(trusting);
  client.send("one\ntwo\n");
  const flushed = client.flush();
  client.send("three\n");
  const reading = assertRejects(() => client.readLine(), TypeError, "about to begin TLS");
  await Promise.all([upgraded, flushed, reading]);
  for (const word of ["one", "two", "three"]) {
    assertEquals(await client.readLine(), `TLSv1.3 ${word}`);
  }
});

testMail(
  "Session.upgradeTls() takes over the read that an aborted reading has left",
  async (start) => {
    const aborted = Promise.withResolvers<void>();
    await using service = start({}, async (session) => {
      const controller = new AbortController();
      const reading = session.readLine({ signal: controller.signal });
      controller.abort();
      await reading.catch(() => {});
      const upgraded = session.upgradeTls();
      aborted.resolve();
      await upgraded;
      await session.send(`${await session.readLine()}!\n`);
    });
    const client = new Session(await service.raw());
    const controller = new AbortController();
    const reading = client.readLine({ signal: controller.signal });
    controller.abort();
    await reading.catch(() => {});
    await aborted.promise;
    await client.upgradeTls(trusting);
    assertEquals(await ask(client, "rose"), "rose!");
    await client.close();
  },
);

testMail("Session.upgradeTls() rejects misuse, and the session goes on", async (start) => {
  await using service = start({}, async (session) => {
    const reading = session.readLine();
    await assertRejects(() => session.upgradeTls(), TypeError, "another reading");
    await session.send(`${await reading}!\n`);
    await mail(session);
  });
  const client = new Session(await service.raw());
  assertEquals(await ask(client, "rose"), "rose!");
  await client.readLine();
  for (
    const [options, says] of [
      [{ serverName: "" }, "serverName must be a host name or an IP address"],
      [{ ...trusting, ca: "none" }, "ca must be"],
      [{ ...trusting, handshakeTimeout: "5s" }, "handshakeTimeout must be a number"],
    ] as const
  ) {
    await assertRejects(() => client.upgradeTls(options as never), TypeError, says);
  }
  const reason = new Error("not today");
  const signal = AbortSignal.abort(reason);
  assertStrictEquals(await client.upgradeTls({ ...trusting, signal }).catch((e) => e), reason);
  assertEquals(await ask(client, "still"), "plain still");
  await prepare(client);
  const first = client.upgradeTls(trusting);
  await assertRejects(() => client.upgradeTls(trusting), TypeError, "about to begin TLS");
  await first;
  await assertRejects(() => client.upgradeTls(trusting), TypeError, "has TLS already");
  assertEquals(await ask(client, "rose"), "TLSv1.3 rose");
  await client.close();
});

Deno.test("Session.upgradeTls() needs a name to ask for where there is no host", async () => {
  const [left, right] = memoryPair();
  await using client = new Session(left);
  await assertRejects(() => client.upgradeTls({}), TypeError, "serverName must be");
  await client.send("still here");
  assertEquals(await new Peer(right).text(10), "still here");
  right.close();
});

testMail(
  "Session.upgradeTls() of a server without tls rejects, and the session goes on",
  async (start) => {
    await using service = start({ tls: undefined } as never, async (session) => {
      await assertRejects(() => session.upgradeTls(), TypeError, "needs the server's option tls");
      await mail(session);
    });
    await using client = await service.dial();
    assertEquals(await ask(client, "rose"), "plain rose");
    assertEquals(service.errors, []);
  },
);

testMail(
  "Session.upgradeTls() of a server refuses a client's options, and the session goes on",
  async (start) => {
    await using service = start(undefined, async (session) => {
      for (const options of [trusting, { handshakeTimeout: 5 }]) {
        const [name] = Object.keys(options);
        await assertRejects(
          () => session.upgradeTls(options),
          TypeError,
          `${name} is for a client`,
        );
      }
      await mail(session);
    });
    await using client = await service.dial();
    assertEquals(await ask(client, "rose"), "plain rose");
    assertEquals(service.errors, []);
  },
);

testMail(
  "Session.upgradeTls() ends both sessions where the client does not trust",
  async (start) => {
    await using service = start();
    await using client = await service.dial();
    await prepare(client);
    const error = await assertRejects(
      () => client.upgradeTls({ ...trusting, serverName: "think.test" }),
      CertificateError,
      'is not for "think.test"',
    );
    const { reason, cause } = await client.closed;
    assertEquals(reason, "error");
    assertStrictEquals(cause, error);
    await service.end(); // the server may be done with the handshake by then, and see no more than a reset
    assertEquals(service.errors, []); // it is no fault of the handler's
  },
);

testMail("Session.upgradeTls() ends the session where the handshake stalls", async (start) => {
  await using service = start({ handshakeTimeout: 40 });
  const peer = new Peer(await service.raw());
  await peer.text(15);
  await peer.send("STARTTLS\r\n");
  await peer.text(14);
  const { reason, cause } = await service.end();
  assertEquals(reason, "error");
  assertInstanceOf(cause, TlsHandshakeError);
  assertEquals(cause.code, "timeout");
  assert(cause.message.endsWith("no handshake within 40 ms (handshakeTimeout)"), cause.message);
  assertEquals([await peer.countToEnd(), service.errors], [0, []]);
  peer.close();

  await using silent = start({}, idle);
  const client = new Session(await silent.raw());
  const error = await assertRejects(
    () => client.upgradeTls({ ...trusting, handshakeTimeout: 40 }),
    TlsHandshakeError,
    "no handshake within 40 ms (handshakeTimeout)",
  );
  assertStrictEquals((await client.closed).cause, error);
  await assertRejects(() => client.readLine(), TlsHandshakeError);
  await assertRejects(() => client.send("too late"), SessionEndedError);
});

testMail("Session.upgradeTls() gives up when its signal aborts", async (start) => {
  await using service = start({}, idle);
  const client = new Session(await service.raw());
  const controller = new AbortController();
  const upgraded = client.upgradeTls({ ...trusting, signal: controller.signal });
  assert(await isPending(upgraded));
  const reason = { why: "not today" };
  controller.abort(reason);
  assertStrictEquals(await upgraded.catch((error) => error), reason);
  assertEquals(await client.closed.then(({ reason, cause }) => [reason, cause]), ["error", reason]);
});

Deno.test(
  "Session.upgradeTls() asks for the host that the connection leads to",
  overTls,
  async () => {
    const tls = { ...localhost, mode: "starttls" } as const;
    await using server = serve({ port: 0, tls }, mail);
    await using client = new Session(await dialPlain(portOf(server)));
    await client.readLine();
    await prepare(client);
    await client.upgradeTls({ ca });
    assertEquals(await ask(client, "rose"), "TLSv1.3 rose");

    await using named = await connect({ hostname: "localhost", port: portOf(server) });
    await named.readLine();
    await prepare(named);
    assertEquals((await named.upgradeTls({ ca })).serverName, "localhost");
  },
);
