// Whom a server under TLS refuses, and what happens while handshakes are under way.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { TlsHandshakeError } from "../../errors.ts";
import type { Logger } from "../../serve/observer.ts";
import { serve } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { dialTls } from "../../transport/tls/client.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  echo,
  portOf,
  readAll,
  settle,
  until,
} from "../_serving.ts";
import { ca, localhost, overTls, overTlsCounting, serveTls } from "../_tls_serving.ts";
import { isPending } from "../_transports.ts";

/** A client that says nothing, and the end that it sees: how many bytes came before. */
async function silent(port: number): Promise<{ conn: Deno.Conn; end: Promise<number> }> {
  const conn = await Deno.connect({ port });
  return { conn, end: bytesToEnd(conn).finally(() => conn[Symbol.dispose]()) };
}

/** How many bytes come until the end of input or a reset. */
async function bytesToEnd(conn: Deno.Conn): Promise<number> {
  const buffer = new Uint8Array(1024);
  let all = 0;
  for (;;) {
    const count = await conn.read(buffer).catch(() => null);
    if (count === null) return all;
    all += count;
  }
}

Deno.test("serve() ends handshakes that take longer than handshakeTimeout", overTls, async () => {
  await using tls = serveTls({ handshakeTimeout: 500 });
  await using before = await tls.dial();
  const { end } = await silent(tls.port);
  assertEquals(await end, 0);
  const { code, message, remoteAddr } = await tls.failure();
  assertEquals(code, "timeout");
  assertEquals(
    message,
    `TLS handshake with ${remoteAddr} failed: no handshake within 500 ms (handshakeTimeout)`,
  );
  assertEquals(tls.refusals.map(({ reason }) => reason), ["handshake"]);
  const { refused, refusals, accepted } = tls.server.stats();
  assertEquals([refused, refusals.handshake, accepted], [1, 1, 1]);
  assertEquals(await ask(before, "still"), "still!");
  await using after = await tls.dial();
  assertEquals(await ask(after, "rose"), "rose!");
});

Deno.test(
  "serve() waits for ever for handshakes where handshakeTimeout is Infinity",
  overTls,
  async () => {
    await using tls = serveTls({ handshakeTimeout: Infinity, shutdownTimeout: 10 });
    const conn = await Deno.connect({ port: tls.port });
    await using _other = await tls.dial();
    assertEquals(tls.refusals, []);
    const late = new Session(
      await dialTls(conn, { serverName: "localhost", ca }, new AbortController().signal),
    );
    assertEquals(await ask(late, "rose"), "rose!");
    await late.close();
  },
);

Deno.test("serve() refuses a client without TLS, and reports why", overTls, async () => {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const logger: Logger = { debug: log, info: log, warn: log, error: log };
  await using tls = serveTls({ logger });
  const conn = await Deno.connect({ port: tls.port });
  const { port } = conn.localAddr as Deno.NetAddr;
  await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  await bytesToEnd(conn);
  conn.close();
  const { code, message } = await tls.failure();
  assertEquals([code, message], [
    "not-tls",
    `TLS handshake with 127.0.0.1:${port} failed: the peer does not speak TLS`,
  ]);
  assertEquals(tls.refusals[0]!.remoteAddr, { transport: "tcp", hostname: "127.0.0.1", port });
  assertEquals(
    lines[1],
    `connection from 127.0.0.1:${port} refused: the TLS handshake failed ` +
      `(TlsHandshakeError: ${message})`,
  );
});

Deno.test("serve() refuses who leaves within the handshake", overTls, async () => {
  await using tls = serveTls();
  const conn = await Deno.connect({ port: tls.port });
  await conn.write(Uint8Array.of(22, 3, 1)); // the beginning of a record
  conn.close();
  const { code, message } = await tls.failure();
  assertEquals(code, "closed");
  assertMatch(message, /before the handshake was done/);
});

Deno.test("serve() reports a leaver before the handshake as `left`", overTls, async () => {
  const proxied = { proxyProtocol: "required", trusted: ["127.0.0.1"] } as const;
  for (const [options, header] of [[{}, ""], [proxied, "PROXY UNKNOWN\r\n"]] as const) {
    await using tls = serveTls(options);
    const conn = await Deno.connect({ port: tls.port });
    await conn.write(new TextEncoder().encode(header));
    conn.close();
    await until(() => tls.refusals.length > 0);
    assertEquals(tls.refusals.map(({ reason }) => reason), ["left"]);
    assertEquals((await tls.failure()).code, "closed");
    const { left, handshake } = tls.server.stats().refusals;
    assertEquals([left, handshake], [1, 0]);
  }
});

Deno.test(
  "serve() counts handshakes in maxSessions and maxSessionsPerAddress",
  overTls,
  async () => {
    for (const limit of ["maxSessions", "maxSessionsPerAddress"] as const) {
      await using tls = serveTls({ [limit]: 2, overload: "refuse" });
      const waiting = [await silent(tls.port), await silent(tls.port)];
      const error = await assertRejects(() => tls.dial(), TlsHandshakeError);
      assertEquals(error.code, "closed");
      assertEquals(tls.refusals.map(({ reason }) => reason), [limit]);
      for (const { conn } of waiting) conn.close();
      await until(() => tls.refusals.length === 3); // both have left within the handshake
      await using client = await tls.dial();
      assertEquals(await ask(client, "rose"), "rose!");
      await Promise.all(waiting.map(({ end }) => end));
    }
  },
);

Deno.test(
  "serve() lets others wait while handshakes take all of maxSessions",
  overTls,
  async () => {
    await using tls = serveTls({ maxSessions: 1 });
    const { conn, end } = await silent(tls.port);
    const dialling = tls.dial();
    assert(await isPending(dialling));
    conn.close();
    await using client = await dialling;
    assertEquals(await ask(client, "rose"), "rose!");
    await end;
  },
);

Deno.test("serve() shakes no hand of who is denied", overTls, async () => {
  await using tls = serveTls({ deny: ["127.0.0.1"] });
  const conn = await Deno.connect({ port: tls.port });
  assertEquals(await bytesToEnd(conn), 0);
  conn.close();
  assertEquals(tls.refusals.map(({ reason, cause }) => [reason, cause]), [["denied", undefined]]);
});

Deno.test(
  "Server.shutdown() waits no longer for handshakes than shutdownTimeout",
  overTlsCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      await using tls = serveTls({ handshakeTimeout: Infinity, shutdownTimeout: 50 });
      const waiting = await Promise.all(Array.from({ length: 10 }, () => silent(tls.port)));
      await waiting[0]!.conn.write(Uint8Array.of(22, 3, 1));
      await using live = await tls.dial();
      assertEquals(await ask(live, "rose"), "rose!"); // all before it are accepted
      await Promise.all([
        tls.server.shutdown(),
        ...waiting.map(async ({ end }) => assertEquals(await end, 0)),
        readAll(live).then(() => live.close()),
      ]);
      assertEquals(tls.refusals, []); // this side has closed them
      assertEquals(tls.server.stats().accepted, 1);
    });
  },
);

Deno.test("Server.abort() does not wait for handshakes", overTls, async () => {
  const { server, port } = serveTls({ handshakeTimeout: Infinity });
  const { end } = await silent(port);
  const tail = await Deno.connect({ port });
  await settle();
  server.abort();
  await Promise.all([server.finished, end, bytesToEnd(tail)]);
  tail.close();
  assertEquals(server.stats().accepted, 0);
});

Deno.test("Server.suspend() holds who has shaken hands until resume()", overTls, async () => {
  await using tls = serveTls();
  const conn = await Deno.connect({ port: tls.port });
  await using live = await tls.dial();
  assertEquals(await ask(live, "rose"), "rose!"); // the one before it is accepted
  tls.server.suspend();
  const late = new Session(
    await dialTls(conn, { serverName: "localhost", ca }, new AbortController().signal),
  );
  const answer = ask(late, "rose");
  assert(await isPending(answer));
  assertEquals(tls.server.stats().accepted, 1);
  tls.server.resume();
  assertEquals(await answer, "rose!");
  await late.close();
});

Deno.test(
  "serve() with starttls shakes no hand by itself",
  { ...bounded, ...overTls },
  async () => {
    await using server = serve({ port: 0, tls: { ...localhost, mode: "starttls" } }, echo);
    await using client = await connect({ port: portOf(server) });
    assertEquals([await ask(client, "rose"), client.tls], ["rose!", undefined]);
  },
);
