// TLS or not on one port, by the first byte.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { TlsHandshakeError } from "../../errors.ts";
import type { Refusal } from "../../serve/observer.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { hostileNetwork } from "../../testing/mod.ts";
import type { Connection } from "../../transport/connection.ts";
import { memoryListener } from "../../transport/mod.ts";
import { dialTls } from "../../transport/tls/client.ts";
import { dialPlain } from "../_dialing.ts";
import { canUnix } from "../_permissions.ts";
import { latin1 } from "../_proxy_headers.ts";
import { concat } from "../_codecs.ts";
import {
  ask,
  assertNoDescriptorLeft,
  echo,
  overNet,
  portOf,
  readAll,
  settle,
  until,
} from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { ca, client, localhost, overTls, overTlsCounting } from "../_tls_serving.ts";
import { Peer } from "../_transports.ts";

const never = new AbortController().signal;

/** Tells whether there is TLS, and then what it is told. */
const telling: Handler = async (session) => {
  for await (const line of session.lines()) {
    await session.send(`${session.tls?.protocol ?? "plain"} ${line}\n`);
  }
};

interface Detecting extends AsyncDisposable {
  server: Server;
  refusals: Refusal[];
  /** Connects, and says nothing yet. */
  raw(): Promise<Connection>;
}

type Start = (options?: ServeOptions, handler?: Handler) => Promise<Detecting>;

function detecting(options: ServeOptions, handler: Handler = telling): [Server, Refusal[]] {
  const refusals: Refusal[] = [];
  const server = serve({
    tls: { ...localhost, mode: "detect" },
    observer: { onRefusal: (refusal) => void refusals.push(refusal) },
    ...options,
  }, handler);
  return [server, refusals];
}

function overTcp(place: ServeOptions): Start {
  return (options, handler) => {
    const [server, refusals] = detecting({ port: 0, ...place, ...options }, handler);
    const port = portOf(server);
    return Promise.resolve({
      server,
      refusals,
      raw: () => dialPlain(port),
      [Symbol.asyncDispose]: () => server.shutdown(),
    });
  };
}

const WAYS: [name: string, ignore: boolean, start: Start][] = [
  ["TCP", overNet.ignore, overTcp({})],
  ["node:net", overNet.ignore, overTcp({ transport: "node" })],
  ["memory", false, (options, handler) => {
    const listener = memoryListener();
    const [server, refusals] = detecting({ listener, ...options }, handler);
    return Promise.resolve({
      server,
      refusals,
      raw: () => Promise.resolve(listener.connect()),
      [Symbol.asyncDispose]: () => server.shutdown(),
    });
  }],
  ["Unix", !canUnix, async (options, handler) => {
    const dir = await makeTempDir();
    const path = `${dir.path}/test.sock`;
    const [server, refusals] = detecting({ path, ...options }, handler);
    return {
      server,
      refusals,
      raw: () => Deno.connect({ transport: "unix", path }),
      async [Symbol.asyncDispose](): Promise<void> {
        await server.shutdown();
        await dir[Symbol.asyncDispose]();
      },
    };
  }],
];

function testEachWay(name: string, run: (start: Start) => Promise<void>): void {
  for (const [way, ignore, start] of WAYS) {
    const options = { ...overTls, ignore: overTls.ignore || ignore };
    Deno.test(`${name} (${way})`, options, () => run(start));
  }
}

function tlsOver(connection: Connection, options: ConnectOptions["tls"] = {}): Promise<Connection> {
  return dialTls(connection, { ca, serverName: "localhost", ...options }, never);
}

testEachWay('tls.mode "detect" serves with TLS and without on one port', async (start) => {
  await using detecting = await start();
  const plain = new Session(await detecting.raw());
  const secure = new Session(await tlsOver(await detecting.raw()));
  for (let i = 0; i < 3; i++) {
    assertEquals(await ask(plain, `a${i}`), `plain a${i}`);
    assertEquals(await ask(secure, `b${i}`), `TLSv1.3 b${i}`);
  }
  await plain.close();
  await secure.close();
  assertEquals(detecting.refusals, []);
});

testEachWay('tls.mode "detect" loses no byte, however they come', async (start) => {
  await using detecting = await start({}, async (session) => {
    assertEquals(session.tls === undefined, true);
    for await (const bytes of session.bytes()) await session.send(bytes);
  });
  const sent = Uint8Array.from({ length: 100_000 }, (_, at) => 23 + at * 7 % 200);
  for (const first of [1, 2, 511, 512, 513, 1024, 100_000]) {
    const peer = new Peer(await detecting.raw());
    const received = peer.bytes(sent.length);
    await peer.send(sent.subarray(0, first));
    await settle();
    await peer.send(sent.subarray(first));
    assertEquals(await received, sent);
    peer.close();
  }
});

testEachWay('tls.mode "detect" takes any first byte but 22 for no TLS', async (start) => {
  await using detecting = await start({ handshakeTimeout: 20_000 }, async (session) => {
    await session.send(await session.readExactly(2));
  });
  for (let byte = 0; byte < 256; byte++) {
    if (byte === 22) continue;
    const peer = new Peer(await detecting.raw());
    await peer.send(Uint8Array.of(byte, 22));
    assertEquals(await peer.bytes(2), Uint8Array.of(byte, 22));
    peer.close();
  }
  assertEquals(detecting.refusals, []);
  const peer = new Peer(await detecting.raw());
  await peer.send(Uint8Array.of(22, 0));
  await peer.send(new Uint8Array(10));
  await peer.countToClose();
  peer.close();
  const [{ reason, cause } = {}] = detecting.refusals;
  assertEquals(reason, "handshake");
  assertInstanceOf(cause, TlsHandshakeError);
});

testEachWay('tls.mode "detect" waits for a handshake that comes byte by byte', async (start) => {
  await using detecting = await start({ handshakeTimeout: 30_000 });
  const raw = await detecting.raw();
  const slow: Connection = {
    remoteAddr: raw.remoteAddr,
    localAddr: raw.localAddr,
    read: (buffer) => raw.read(buffer),
    write: (data) => raw.write(data.subarray(0, 1)),
    closeWrite: () => raw.closeWrite(),
    close: () => raw.close(),
  };
  const secure = new Session(await tlsOver(slow));
  assertEquals(await ask(secure, "rose"), "TLSv1.3 rose");
  await secure.close();
});

testEachWay('tls.mode "detect" refuses who is silent for handshakeTimeout', async (start) => {
  await using detecting = await start({ handshakeTimeout: 50 });
  const { refusals } = detecting;
  for (const begin of [new Uint8Array(0), Uint8Array.of(22), Uint8Array.of(22, 3, 1)]) {
    const peer = new Peer(await detecting.raw());
    if (begin.length > 0) await peer.send(begin);
    assertEquals(await peer.countToClose(), 0);
    await until(() => refusals.length > 0);
    const { reason, cause } = refusals.pop()!;
    assertInstanceOf(cause, TlsHandshakeError);
    assertEquals([reason, cause.code], ["handshake", "timeout"]);
    peer.close();
  }
  const plain = new Session(await detecting.raw());
  assertEquals(await ask(plain, "late"), "plain late"); // once it has begun, it has time
  const silent = new Peer(await detecting.raw()); // as long as it is borne with
  assertEquals(await silent.countToClose(), 0);
  silent.close();
  assertEquals(await ask(plain, "later"), "plain later");
  await plain.close();
  assertEquals(detecting.server.stats().accepted, 1);
});

testEachWay('tls.mode "detect" tells who leaves without a word from others', async (start) => {
  await using detecting = await start();
  (await detecting.raw()).close();
  await until(() => detecting.refusals.length > 0);
  assertEquals(detecting.refusals.map(({ reason }) => reason), ["left"]);
});

testEachWay('tls.mode "detect" leaves upgradeTls() to who began without TLS', async (start) => {
  await using detecting = await start({}, async (session) => { // as PostgreSQL does
    if (session.tls === undefined) {
      const request = await session.readExactly(8);
      assertEquals([...request], [0, 0, 0, 8, 4, 210, 22, 47]);
      await session.send("S");
      await session.upgradeTls();
    }
    await telling(session);
  });
  const raw = await detecting.raw();
  const peer = new Peer(raw);
  await peer.send(Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47));
  assertEquals(await peer.text(1), "S");
  const upgraded = new Session(await tlsOver(raw));
  assertEquals(await ask(upgraded, "rose"), "TLSv1.3 rose");
  await upgraded.close();
  const direct = new Session(await tlsOver(await detecting.raw()));
  assertEquals(await ask(direct, "rose"), "TLSv1.3 rose");
  await direct.close();
});

testEachWay('tls.mode "detect" asks for certificates where there is TLS', async (start) => {
  const tls = { ...localhost, ca, clientCertificate: "required", mode: "detect" } as const;
  await using detecting = await start({ tls }, async (session) => {
    for await (const line of session.lines()) {
      await session.send(`${session.tls?.peerCertificate?.subject} ${line}\n`);
    }
  });
  const named = new Session(await tlsOver(await detecting.raw(), client));
  const subject = (await ask(named, "rose"))!;
  assert(/CN=.* rose$/.test(subject), subject);
  await named.close();
  const plain = new Session(await detecting.raw());
  assertEquals(await ask(plain, "rose"), "undefined rose");
  await plain.close();
  const bare = new Session(await tlsOver(await detecting.raw()));
  await assertRejects(async () => {
    if (await ask(bare, "rose") === undefined) throw new Error("it was refused");
  });
  bare.abort();
});

Deno.test('tls.mode "detect" looks behind PROXY headers', overTls, async () => {
  const [server, refusals] = detecting({
    port: 0,
    proxyProtocol: "required",
    trusted: ["127.0.0.1"],
  }, async (session) => {
    const { hostname } = session.remoteAddr as Deno.NetAddr;
    await session.send(`${hostname} ${session.tls?.protocol} ${await session.readLine()}\n`);
  });
  const header = latin1("PROXY TCP4 192.0.2.7 198.51.100.1 51324 443\r\n");
  const port = portOf(server);
  const plain = new Peer(await Deno.connect({ port }));
  await plain.send(concat([header, latin1("rose\n")]));
  assertEquals(await plain.text(25), "192.0.2.7 undefined rose\n");
  plain.close();
  const raw = await dialPlain(port);
  await new Peer(raw).send(header);
  const secure = new Session(await tlsOver(raw));
  await secure.send("rose\n");
  assertEquals(await secure.readLine(), "192.0.2.7 TLSv1.3 rose");
  await secure.close();
  assertEquals(refusals, []);
  await server.shutdown();
});

Deno.test('tls.mode "detect" serves over a network that cuts everything up', overTls, async () => {
  const listener = memoryListener();
  const [server] = detecting({ listener });
  for (const seed of [1, 2, 3, 4]) {
    const disturbed = (): Connection => hostileNetwork(listener.connect(), { seed, chop: 3 });
    const plain = new Session(disturbed());
    assertEquals(await ask(plain, "rose"), "plain rose");
    await plain.close();
    const secure = new Session(await tlsOver(disturbed()));
    assertEquals(await ask(secure, "rose"), "TLSv1.3 rose");
    await secure.close();
  }
  await server.shutdown();
});

Deno.test('Server.shutdown() closes those whom tls.mode "detect" waits for', overTls, async () => {
  const [server, refusals] = detecting({ port: 0, shutdownTimeout: 20 });
  const conns = await Promise.all([1, 2, 3].map(() => Deno.connect({ port: portOf(server) })));
  await server.shutdown();
  for (const conn of conns) {
    assertEquals(await new Peer(conn).countToClose(), 0);
    conn.close();
  }
  assertEquals(refusals, []);
});

Deno.test('tls.mode "detect" leaves no descriptor open', overTlsCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    const [server] = detecting({ port: 0, handshakeTimeout: 50 });
    const port = portOf(server);
    const silent = await Deno.connect({ port });
    (await Deno.connect({ port })).close();
    const half = new Peer(await Deno.connect({ port }));
    await half.send(Uint8Array.of(22));
    await using plain = await connect({ port });
    assertEquals(await ask(plain, "rose"), "plain rose");
    await using secure = await connect({ port, tls: { ca } });
    assertEquals(await ask(secure, "rose"), "TLSv1.3 rose");
    assertEquals(await new Peer(silent).countToClose(), 0);
    await half.countToClose();
    silent.close();
    half.close();
    await plain.close();
    await secure.close();
    await server.shutdown();
  });
});

Deno.test("Server.reloadTls() keeps tls.mode", overTls, async () => {
  const [server] = detecting({ port: 0 });
  server.reloadTls(localhost);
  await using plain = await connect({ port: portOf(server) });
  assertEquals(await ask(plain, "rose"), "plain rose");
  await plain.close();
  await server.shutdown();
});

Deno.test("tls.mode is one of three", overTls, () => {
  const wrong = { ...localhost, mode: "optional" as "detect" };
  assertThrows(() => serve({ port: 0, tls: wrong }, echo), RangeError, "tls.mode must be");
});

Deno.test('tls.mode "required" refuses who begins without TLS', overTls, async () => {
  const tls = { ...localhost, mode: "required" } as const;
  await using server = serve({ port: 0, tls }, echo);
  await using plain = await connect({ port: portOf(server) });
  await plain.send("rose\n");
  await readAll(plain).catch(() => {});
  assertEquals(server.stats().refusals.handshake, 1);
});
