import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import net from "node:net";
import { disturb, randomFrom } from "../../../testing/disturb.ts";
import { TlsHandshakeError } from "../../../errors.ts";
import type { Connection } from "../../../transport/connection.ts";
import { memoryPair } from "../../../transport/memory.ts";
import { dialTls } from "../../../transport/tls/client.ts";
import { TlsAcceptor } from "../../../transport/tls/server.ts";
import { makeCertificate } from "../../_certificates.ts";
import { Program } from "../../_programs.ts";
import {
  assertNoDescriptorLeft,
  ConnectionOver,
  countedSignal,
  overNetCounting,
} from "../../_serving.ts";
import {
  beginHandshake,
  certificates,
  clientOptions,
  connectionOf,
  failureOf,
  handshake,
  HANDSHAKE_TIMEOUT,
  overTls,
  serverOptions,
} from "../../_tls.ts";
import { isPending, Peer, tcpPair } from "../../_transports.ts";

const encoder = new TextEncoder();
const counting = { ...overTls, ignore: overTls.ignore || overNetCounting.ignore };

/** What a client says first. */
async function clientHello(): Promise<Uint8Array> {
  const [near, far] = memoryPair();
  const controller = new AbortController();
  const dialled = dialTls(far, clientOptions(), controller.signal);
  const buffer = new Uint8Array(4096);
  const count = await near.read(buffer);
  controller.abort();
  await assertRejects(() => dialled);
  near.close();
  return buffer.slice(0, count!);
}

/** Accepts over TCP while `act` is at the other end, and gives what it fails with. */
async function failure(
  act: (peer: Peer, raw: Connection) => unknown,
  timeout: number = HANDSHAKE_TIMEOUT,
): Promise<TlsHandshakeError> {
  const [near, far] = await tcpPair();
  const peer = new Peer(far);
  const accepted = new TlsAcceptor(serverOptions()).accept(near, timeout);
  const acting = Promise.resolve(act(peer, near)).catch(() => {}); // it may be cut off
  const error = await assertRejects(() => accepted);
  assertInstanceOf(error, TlsHandshakeError);
  peer.close();
  await acting;
  return error;
}

Deno.test("TlsAcceptor.accept() frees the descriptor after a stall", counting, async (t) => {
  const hello = overTls.ignore ? new Uint8Array() : await clientHello();
  const stalls: Record<string, (peer: Peer) => unknown> = {
    "and says nothing": () => {},
    "after half a ClientHello": (peer) => peer.send(hello.subarray(0, 100)),
    "after a ClientHello": (peer) => peer.send(hello),
    "and sends a byte now and then": async (peer) => {
      for (const byte of hello) {
        await peer.send(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
  };
  for (const [name, act] of Object.entries(stalls)) {
    await t.step(name, () =>
      assertNoDescriptorLeft(async () => {
        const error = await failure(act, 50);
        assertEquals(error.code, "timeout");
        assert(
          error.message.endsWith("no handshake within 50 ms (handshakeTimeout)"),
          error.message,
        );
        assert(error.message.includes(error.remoteAddr), error.message);
      }));
  }
});

Deno.test("TlsAcceptor.accept() frees the descriptor of a leaver", counting, async (t) => {
  const hello = await clientHello();
  const ways: Record<string, (peer: Peer, raw: Connection) => unknown> = {
    "at once": (peer) => peer.close(),
    "in the middle of a ClientHello": async (peer) => {
      await peer.send(hello.subarray(0, 200));
      peer.close();
    },
    "after a ClientHello": async (peer) => {
      await peer.send(hello);
      peer.close();
    },
    "with a half-close": async (peer) => {
      await peer.send(hello.subarray(0, 200));
      await peer.closeWrite();
    },
    "because this side closes": (_peer, raw) => raw.close(),
  };
  for (const [name, act] of Object.entries(ways)) {
    await t.step(name, () =>
      assertNoDescriptorLeft(async () => {
        assertEquals((await failure(act)).code, "closed");
      }));
  }
});

Deno.test("TlsAcceptor.accept() reports a client that resets", overTls, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = net.connect(listener.addr.port, "127.0.0.1");
  const accepted = new TlsAcceptor(serverOptions()).accept(await listener.accept(), Infinity);
  const hello = await clientHello();
  await new Promise((resolve) => socket.write(hello.subarray(0, 99), resolve));
  socket.resetAndDestroy();
  const error = await assertRejects(() => accepted, TlsHandshakeError, "lost before");
  assertEquals(error.code, "closed");
  assertInstanceOf(error.cause, Deno.errors.ConnectionReset);
  await new Promise((resolve) => socket.closed ? resolve(null) : socket.once("close", resolve));
});

Deno.test("TlsAcceptor.accept() closes the raw connection once", overTls, async () => {
  let closes = 0;
  class Counted extends ConnectionOver {
    override close(): void {
      closes++;
      super.close();
    }
  }
  const acceptor = new TlsAcceptor(serverOptions());
  const [first, second] = [memoryPair(), memoryPair()];
  const late = acceptor.accept(new Counted(first[0]), 1);
  await assertRejects(() => late, TlsHandshakeError);
  assertEquals(closes, 1);
  const raw = new Counted(second[0]);
  const closed = acceptor.accept(raw, Infinity);
  raw.close();
  await assertRejects(() => closed, TlsHandshakeError);
  assertEquals(closes, 2);
  for (const [, far] of [first, second]) far.close();
});

Deno.test(
  "TlsAcceptor.accept() refuses what is not TLS and harms nobody else",
  overTls,
  async (t) => {
    const random = randomFrom(7);
    const hello = await clientHello();
    const broken = hello.slice();
    broken[43] = 200; // the length of the session's id
    const ssl3 = [0x16, 3, 0, 0, 45, 1, 0, 0, 41, 3, 0, ...new Uint8Array(32), 0, 0, 2, 0, 5, 1, 0];
    const inputs: Record<string, [Uint8Array, string]> = {
      "a request of HTTP": [encoder.encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "not-tls"],
      "random bytes": [Uint8Array.from({ length: 5000 }, () => random() * 256), "not-tls"],
      "a hello of SSLv3": [Uint8Array.from(ssl3), "version"],
      "a hello with a wrong length": [broken, "protocol"],
      "a record of 64 KiB": [
        Uint8Array.of(22, 3, 1, 255, 255, ...new Uint8Array(70_000)),
        "protocol",
      ],
    };
    const [near, far] = memoryPair();
    const { server, client } = beginHandshake([new Slow(near), far]);
    for (const [name, [input, code]] of Object.entries(inputs)) {
      await t.step(name, async () => {
        assertEquals((await failure((peer) => peer.send(input))).code, code);
      });
    }
    for (const connection of await Promise.all([server, client])) connection.close();
  },
);

/** Brings so little at a time that a handshake takes a while. */
class Slow extends ConnectionOver {
  override async read(buffer: Uint8Array): Promise<number | null> {
    await new Promise((resolve) => setTimeout(resolve));
    return await super.read(buffer.subarray(0, 20));
  }
}

Deno.test("A handshake succeeds a byte at a time", overTls, async () => {
  const how = { chop: 1, delay: 0, stallAfter: Infinity, truncateAfter: Infinity };
  const [near, far] = memoryPair().map((connection, seed) =>
    disturb(connection, { ...how, seed, resetAfter: Infinity, blockAfter: Infinity })
  ) as [Connection, Connection];
  const { server, client } = await handshake([near, far]);
  for (const side of [server, client]) connectionOf(side).close();
});

/** Random changes to what a client sends must end in an error of this library, whatever they hit. */
Deno.test("TlsAcceptor.accept() withstands hellos that were changed", overTls, async () => {
  const random = randomFrom(11);
  const hello = await clientHello();
  const acceptor = new TlsAcceptor(serverOptions({ alpn: ["a"], unknownServerName: "refuse" }));
  for (let round = 0; round < 150; round++) {
    const [near, far] = memoryPair();
    const changed = hello.slice(0, round % 3 === 0 ? random() * hello.length : hello.length);
    for (let i = 0; i < 3; i++) changed[Math.floor(random() * changed.length)] = random() * 256;
    const accepted = acceptor.accept(near, HANDSHAKE_TIMEOUT);
    await new Peer(far).send(changed).catch(() => {});
    await far.closeWrite().catch(() => {});
    await assertRejects(() => accepted, TlsHandshakeError);
    far.close();
  }
});

for (
  const [server, client, serverCode, clientCode] of [
    [{ minVersion: "TLSv1.3" }, { maxVersion: "TLSv1.2" }, "version", "version"],
    [{ maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.3" }, "version", "version"],
    [{ alpn: ["a", "b"] }, { alpn: ["c"] }, "alpn", "alpn"],
    [{ unknownServerName: "refuse" }, { serverName: "elsewhere" }, "server-name", "server-name"],
  ] as const
) {
  const title = `${JSON.stringify(server)} and ${JSON.stringify(client)}`;
  Deno.test(`A handshake fails on both sides with ${title}`, overTls, async () => {
    const results = await handshake(
      await tcpPair(),
      serverOptions(server as Parameters<typeof serverOptions>[0]),
      clientOptions(client as Parameters<typeof clientOptions>[0]),
    );
    const failures = [failureOf(results.server), failureOf(results.client)] as TlsHandshakeError[];
    assertEquals(failures.map(({ code }) => code), [serverCode, clientCode]);
  });
}

Deno.test("ALPN uses the server's choice, and is optional", overTls, async () => {
  const agreed = async (server?: string[], client?: string[]) => {
    const results = await handshake(
      memoryPair(),
      serverOptions(server && { alpn: server }),
      clientOptions(client && { alpn: client }),
    );
    const both = [connectionOf(results.server), connectionOf(results.client)];
    for (const connection of both) connection.close();
    assertEquals(both[0]!.tls!.alpn, both[1]!.tls!.alpn);
    return both[0]!.tls!.alpn;
  };
  assertEquals(await agreed(["a", "b"], ["b", "a"]), "a");
  assertEquals(await agreed(["a"], undefined), undefined);
  assertEquals(await agreed(undefined, ["a"]), undefined);
  assertEquals(await agreed([], []), undefined);
});

Deno.test("openssl gets an alert that says why there is no handshake", overTls, async (t) => {
  const { ca, rogueCa } = certificates;
  const asking = { clientCertificate: "required", ca: ca.cert } as const;
  const rogue = await makeCertificate({
    subject: "/CN=rose",
    extensions: ["subjectAltName=DNS:rose"],
    by: rogueCa,
  });
  const shows = ["-tls1_2", "-cert", rogue.certFile, "-key", rogue.keyFile];
  const reasons: [string[], Parameters<typeof serverOptions>[0], RegExp][] = [
    [["-alpn", "c"], { alpn: ["a"] }, /no application protocol/],
    [["-tls1_2"], { minVersion: "TLSv1.3" }, /protocol version/],
    [["-servername", "elsewhere"], { unknownServerName: "refuse" }, /unrecognized name/],
    [shows, asking, /alert unknown ca/], // TLS 1.3 is agreed on before a client's certificate is looked at
  ];
  for (const [args, options, reason] of reasons) {
    await t.step(args.join(" "), async () => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const address = ["-connect", `127.0.0.1:${listener.addr.port}`];
      await using program = new Program("openssl", ["s_client", ...address, ...args]);
      const acceptor = new TlsAcceptor(serverOptions(options));
      const raw = await listener.accept();
      await assertRejects(() => acceptor.accept(raw, HANDSHAKE_TIMEOUT), TlsHandshakeError);
      await program.stderr.until(reason);
    });
  }
});

Deno.test("dialTls() gives up with the signal's reason", overTls, async () => {
  const reason = new Error("changed my mind");
  for (const when of ["before", "while"]) {
    const [near, far] = memoryPair();
    const controller = new AbortController();
    const counted = countedSignal(controller.signal);
    if (when === "before") controller.abort(reason);
    const dialled = dialTls(far, clientOptions(), controller.signal);
    dialled.catch(() => {});
    assertEquals(await isPending(dialled), when === "while");
    controller.abort(reason);
    assertEquals(await dialled.catch((error) => error), reason);
    assertEquals(counted.listeners, 0);
    await new Peer(near).countToEnd(); // it is closed
    near.close();
  }
});

Deno.test("dialTls() leaves no listener on its signal", overTls, async () => {
  const controller = new AbortController();
  const counted = countedSignal(controller.signal);
  const [near, far] = memoryPair();
  const accepted = new TlsAcceptor(serverOptions()).accept(near, HANDSHAKE_TIMEOUT);
  const client = await dialTls(far, clientOptions(), controller.signal);
  assertEquals(counted.listeners, 0);
  for (const connection of [client, await accepted]) connection.close();
});
