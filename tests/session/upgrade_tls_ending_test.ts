// Sessions that end while TLS begins, and bytes that somebody puts before it.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { SessionEndedError, TlsHandshakeError } from "../../errors.ts";
import { connect } from "../../connect/connect.ts";
import { serve, type ServeOptions } from "../../serve/serve.ts";
import { SessionGroup } from "../../session/group.ts";
import { Session } from "../../session.ts";
import { type Connection, memoryPair, type TlsInfo } from "../../transport/mod.ts";
import { dialTls } from "../../transport/tls/client.ts";
import { mail, testMail, trusting } from "../_starttls.ts";
import { ask, assertNoDescriptorLeft, portOf, readAll, settle, until } from "../_serving.ts";
import { localhost, overTls, overTlsCounting } from "../_tls_serving.ts";
import { isPending, Peer } from "../_transports.ts";

const never = new AbortController().signal;

/** A service that begins TLS at once, and tells what became of it. */
function upgrading(
  upgrades: Promise<unknown>[],
  sessions: Session[] = [],
): (session: Session) => Promise<void> {
  return async (session: Session): Promise<void> => {
    sessions.push(session);
    const upgrade = session.upgradeTls();
    upgrades.push(upgrade.catch((error) => error));
    await upgrade;
    await session.send(`${await session.readLine()}!\n`);
  };
}

testMail("Session.abort() ends a session while TLS begins", async (start) => {
  const upgrades: Promise<unknown>[] = [];
  const sessions: Session[] = [];
  await using service = start({}, upgrading(upgrades, sessions));
  const peer = new Peer(await service.raw());
  await until(() => upgrades.length === 1);
  assert(await isPending(upgrades[0]!));
  const reason = new Error("not today");
  sessions[0]!.abort(reason);
  const error = await upgrades[0];
  assertInstanceOf(error, SessionEndedError);
  assertEquals(error.reason, "local");
  assertStrictEquals(error.cause, reason);
  assertEquals((await service.end()).reason, "local");
  assertEquals([await peer.countToClose(), service.errors], [0, []]);
  peer.close();
});

testMail("Session.close() while TLS begins lets what was sent arrive under TLS", async (start) => {
  const upgrades: Promise<unknown>[] = [];
  const sessions: Session[] = [];
  await using service = start({ closeTimeout: Infinity }, async (session) => {
    const upgraded = upgrading(upgrades, sessions)(session);
    session.send("sent meanwhile");
    session.close();
    await assertRejects(() => session.send("too late"), SessionEndedError);
    await upgraded;
  });
  const connection = await service.raw();
  await until(() => upgrades.length === 1);
  const client = new Session(await dialTls(connection, trusting, never));
  assertEquals(await readAll(client), "sent meanwhile");
  assertEquals((await client.close()).reason, "peer");
  const { reason, cause } = await service.end();
  assertEquals([reason, cause, service.errors], ["local", undefined, []]);
  assertInstanceOf(await upgrades[0], SessionEndedError);
});

testMail("Session.closeWrite() while TLS begins half-closes once it has begun", async (start) => {
  const halves: Promise<unknown>[] = [];
  await using service = start({}, async (session) => {
    const upgraded = session.upgradeTls();
    halves.push(session.closeWrite().catch((error) => error));
    await upgraded;
    await session.readLine();
  });
  const [connection, gone] = [await service.raw(), await service.raw()];
  await until(() => halves.length === 2);
  const client = new Session(await dialTls(connection, trusting, never));
  assertEquals(await readAll(client), "");
  assertEquals(await halves[0], undefined);
  await client.send("heard\n");
  await client.close();
  gone.close();
  assertInstanceOf(await halves[1], SessionEndedError);
  await until(() => service.ends.length === 2);
});

testMail("Session.close() while TLS begins does not wait for ever", async (start) => {
  const upgrades: Promise<unknown>[] = [];
  const ending: ServeOptions = { closeTimeout: 40, handshakeTimeout: Infinity };
  await using service = start(ending, (session) => {
    upgrading(upgrades)(session).catch(() => {});
    session.send("never said");
  }); // the handler has returned
  const peer = new Peer(await service.raw());
  assertEquals(await peer.countToClose(), 0);
  peer.close();
  assertEquals((await service.end()).reason, "write-stalled");
  assertInstanceOf(await upgrades[0], SessionEndedError);
});

testMail(
  "Server.shutdown() lets TLS begin that has begun, and no longer than it waits",
  async (start) => {
    const upgrades: Promise<unknown>[] = [];
    const service = start({ shutdownTimeout: 60, handshakeTimeout: Infinity }, upgrading(upgrades));
    const [good, stalled] = [await service.raw(), new Peer(await service.raw())];
    await until(() => upgrades.length === 2);
    const stopped = service.server.shutdown();
    const client = new Session(await dialTls(good, trusting, never));
    assertEquals(await ask(client, "rose"), "rose!");
    assertEquals(await client.readLine(), undefined);
    await client.close();
    assertEquals(await stalled.countToClose(), 0);
    stalled.close();
    await stopped;
    assertEquals(service.ends.map(({ reason }) => reason), ["local", "drain"]);
    assertEquals(service.errors, []);
  },
);

testMail("Session.upgradeTls() rejects where the peer leaves", async (start) => {
  const upgrades: Promise<unknown>[] = [];
  await using service = start({}, upgrading(upgrades));
  const peer = new Peer(await service.raw());
  await peer.send(Uint8Array.of(22, 3, 1)); // the beginning of a record
  await until(() => upgrades.length === 1);
  peer.close();
  const { reason, cause } = await service.end();
  assertInstanceOf(cause, TlsHandshakeError);
  assertEquals([reason, cause.code, service.errors], ["error", "closed", []]);
  assertStrictEquals(await upgrades[0], cause);
});

/** A session whose TLS begins when the test says so. */
function held(connection: Connection): {
  session: Session;
  begun: PromiseWithResolvers<Connection>;
} {
  const group = new SessionGroup<Session>();
  const begun = Promise.withResolvers<Connection>();
  group.acceptTls = () => () => begun.promise;
  return { session: new Session(connection, {}, group), begun };
}

Deno.test("Session.closed waits for the handshake that holds the descriptor", async () => {
  const [left, right] = memoryPair();
  const { session, begun } = held(left);
  const upgraded = session.upgradeTls();
  await settle();
  session.abort();
  assert(await isPending(session.closed));
  begun.reject(new Deno.errors.Interrupted("closed"));
  await assertRejects(() => upgraded, SessionEndedError);
  assertEquals((await session.closed).reason, "local");
  right.close();
});

Deno.test("Session.upgradeTls() closes what came just after the end", async () => {
  const [left, right] = memoryPair();
  const [late, other] = memoryPair();
  const { session, begun } = held(left);
  const upgraded = session.upgradeTls();
  await settle();
  session.abort();
  begun.resolve(late);
  await assertRejects(() => upgraded, SessionEndedError);
  assertEquals(await new Peer(other).countToEnd(), 0);
  for (const connection of [right, other]) connection.close();
});

/** A client that cannot write all that was sent, with a read outstanding that nobody waits for. */
async function stuck(): Promise<{ session: Session; peer: Connection }> {
  const [left, peer] = memoryPair({ capacity: 4 });
  const session = new Session(left);
  const reading = session.text();
  const leftBehind = reading.next();
  await reading.return();
  await leftBehind;
  session.send("more than fits in");
  return { session, peer };
}

Deno.test("Session.upgradeTls() that never begins leaves no unhandled rejection", async () => {
  const { session, peer } = await stuck();
  const upgraded = session.upgradeTls({ serverName: "localhost" });
  peer.close(); // the outstanding read fails, or the write does
  session.abort();
  await assertRejects(() => upgraded, SessionEndedError);
  await session.closed;
  await settle();
});

Deno.test("Session.upgradeTls() gives up by its signal before TLS begins", async () => {
  const { session, peer } = await stuck();
  const stop = new AbortController();
  const upgraded = session.upgradeTls({ serverName: "localhost", signal: stop.signal });
  upgraded.catch(() => {});
  await settle();
  const reason = new Error("enough");
  stop.abort(reason);
  await until(() => session.signal.aborted);
  assertStrictEquals(await upgraded.catch((error) => error), reason);
  const end = await session.closed;
  assertEquals([end.reason, end.cause], ["error", reason]);
  peer.close();
});

Deno.test("Session.upgradeTls() sees a signal that aborts just before TLS begins", async () => {
  const [left, right] = memoryPair();
  const session = new Session(left);
  const stop = new AbortController();
  const upgraded = session.upgradeTls({
    serverName: "localhost",
    signal: stop.signal,
    handshakeTimeout: Infinity,
  });
  stop.abort("enough");
  assertEquals(await upgraded.catch((error) => error), "enough");
  assertEquals((await session.closed).cause, "enough");
  right.close();
});

Deno.test(
  "Session.upgradeTls() says what was wrong though it has taken over a read",
  overTls,
  async () => {
    for (const peerLeaves of [true, false]) {
      const { session, peer } = await stuck();
      const all = new Peer(peer).text("more than fits in".length);
      const upgraded = session.upgradeTls({ serverName: "localhost", handshakeTimeout: 30 });
      upgraded.catch(() => {});
      await all;
      if (peerLeaves) peer.close();
      const error = await assertRejects(() => upgraded, TlsHandshakeError);
      assertEquals(error.code, peerLeaves ? "closed" : "timeout");
      const { reason, cause } = await session.closed;
      assertEquals(reason, "error");
      assertStrictEquals(cause, error);
      if (!peerLeaves) peer.close();
    }
  },
);

Deno.test("Session.upgradeTls() shares no memory with what its first bytes are still read from", async () => {
  const rooms: Uint8Array[] = [];
  const came = Promise.withResolvers<number>();
  const [left, right] = memoryPair();
  const { tls: _, ...plain } = recording(left, rooms);
  const { session, begun } = held({
    ...plain,
    read(buffer: Uint8Array): Promise<number> {
      rooms.push(buffer);
      return came.promise;
    },
  });
  const reading = session.bytes();
  const next = reading.next();
  await reading.return();
  await next;
  const upgraded = session.upgradeTls();
  came.resolve(10);
  begun.resolve(recording(left, rooms));
  await upgraded;
  const line = session.readLine();
  assertEquals(rooms.length, 2);
  assert(rooms[0]!.buffer !== rooms[1]!.buffer);
  session.abort();
  await assertRejects(() => line, SessionEndedError);
  right.close();
});

/** A connection that notes the memory of each read. */
function recording(inner: Connection, rooms: Uint8Array[]): Connection & { tls: TlsInfo } {
  return {
    remoteAddr: inner.remoteAddr,
    localAddr: inner.localAddr,
    tls: { protocol: "TLSv1.3", cipher: "none" },
    read(buffer): Promise<number | null> {
      rooms.push(buffer);
      return inner.read(buffer);
    },
    write: (data) => inner.write(data),
    closeWrite: () => inner.closeWrite(),
    close: () => inner.close(),
  };
}

const COMMANDS = "STARTTLS\r\nRCPT TO:<mallory>\r\n";

testMail("Session.upgradeTls() refuses what somebody has put behind STARTTLS", async (start) => {
  const heard: string[] = [];
  await using service = start({}, async (session) => {
    for await (const line of session.lines()) {
      heard.push(line);
      if (line !== "STARTTLS") continue;
      await session.send("go ahead\n");
      await session.upgradeTls();
    }
  });
  for (let cut = 1; cut <= COMMANDS.length; cut++) {
    const before = service.ends.length;
    const connection = await service.raw();
    const peer = new Peer(connection);
    await until(() => service.server.sessions.size === 1);
    const [session] = service.server.sessions;
    await peer.sendApart(session!, [COMMANDS.slice(0, cut)]);
    await peer.send(COMMANDS.slice(cut)).catch(() => {}); // it may be refused by now
    // Whoever sits in between lets the client go on with the handshake.
    if (await peer.text(9).catch(() => "") === "go ahead\n") {
      await dialTls(connection, trusting, never).then((tls) => tls.close(), () => {});
    }
    await until(() => service.ends.length > before);
    const { reason, cause } = service.ends.at(-1)!;
    assertEquals(reason, "error", `cut at ${cut}`);
    assertInstanceOf(cause, TlsHandshakeError, `cut at ${cut}`);
    // Once the first is read before the rest has come, the rest is no handshake.
    const problem = cause.code === "not-tls" ? "does not speak TLS" : "CVE-2011-0411";
    assert(cause.message.includes(problem), `cut at ${cut}: ${cause.message}`);
    assertEquals(heard.splice(0), ["STARTTLS"], `cut at ${cut}`);
    connectionClose(connection);
  }
  assertEquals(service.errors, []);

  function connectionClose(connection: { close(): void }): void {
    try {
      connection.close();
    } catch { /* the handshake has closed it */ }
  }
});

Deno.test("Session.upgradeTls() refuses data that was injected after the server's answer", async () => {
  const [left, right] = memoryPair();
  const client = new Session(left);
  const peer = new Peer(right);
  await peer.send("220 go ahead\r\n250 injected\r\n");
  assertEquals(await client.readLine(), "220 go ahead");
  const error = await assertRejects(
    () => client.upgradeTls({ serverName: "localhost" }),
    TlsHandshakeError,
    "14 bytes that came unencrypted are unread (an attacker may have put them there, CVE-2011-0411)",
  );
  assertStrictEquals((await client.closed).cause, error);
  await assertRejects(() => client.readLine(), TlsHandshakeError);
  assertEquals(await peer.countToEnd().catch(() => 0), 0);
  peer.close();
});

Deno.test("Session.upgradeTls() leaves a reading alone that waits in the middle of a line", async () => {
  const [left, right] = memoryPair();
  const session = new Session(left);
  const peer = new Peer(right);
  const line = session.readLine();
  await peer.sendApart(session, ["ro"]);
  await assertRejects(
    () => session.upgradeTls({ serverName: "localhost" }),
    TypeError,
    "another reading of this session waits already",
  );
  await peer.send("se\n");
  assertEquals(await line, "rose");
  session.abort();
  await session.closed;
  peer.close();
});

testMail("Session.upgradeTls() refuses bytes that were handed back", async (start) => {
  await using service = start({}, async (session) => {
    session.unread(new TextEncoder().encode("EVIL\n"));
    await session.upgradeTls();
  });
  const peer = new Peer(await service.raw());
  assertEquals(await peer.countToEnd(), 0);
  peer.close();
  assertInstanceOf((await service.end()).cause, TlsHandshakeError);
});

Deno.test(
  "Session.upgradeTls() leaves no descriptor, whatever becomes of it",
  overTlsCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      const tls = { ...localhost, mode: "starttls" } as const;
      const server = serve({ port: 0, tls, handshakeTimeout: 30, onError: () => {} }, mail);
      const enter = async (): Promise<Session> => {
        const client = await connect({ port: portOf(server) });
        assertEquals(await client.readLine(), "220 mail.test");
        assertEquals(await ask(client, "STARTTLS"), "220 go ahead");
        return client;
      };
      const [good, stalled, gone, distrusting, talking] = await Promise.all(
        Array.from({ length: 5 }, enter),
      );
      await good!.upgradeTls(trusting);
      assertEquals(await ask(good!, "rose"), "TLSv1.3 rose");
      gone!.abort();
      await assertRejects(() => distrusting!.upgradeTls({}), TlsHandshakeError);
      await talking!.send("RCPT TO:<mallory>\n");
      await until(() => server.sessions.size === 1); // the stalled one has taken too long
      await Promise.all([good, stalled, talking].map((client) => client!.close()));
      await server.shutdown();
    });
  },
);
