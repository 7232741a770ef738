// What operators see and do: the admin server, captures, and servers that are about to drain.

import { strict as assert } from "node:assert";
import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import {
  connect,
  ConnectError,
  type NetAddr,
  serve,
  type ServeOptions,
  type Server,
  type ServerState,
  type Session,
} from "@parley/tcp";
import { type Admin, serveAdmin } from "@parley/tcp/admin";
import { capture } from "@parley/tcp/capture";
import { Metrics } from "@parley/tcp/metrics";
import {
  answer,
  concat,
  dial,
  expectLine,
  type Scenarios,
  until,
  withDirectory,
  withServer,
  withSession,
} from "./_harness.ts";
import { own, trusting } from "./_tls_harness.ts";

const TOKEN = "0123456789abcdef";
/** Longer than any scenario. */
const LONG = 600_000;

/** Asks an admin server. */
export async function ask(
  admin: Admin,
  path: string,
  init?: RequestInit,
): Promise<{ status: number; text: string }> {
  const { port } = admin.addr as NetAddr;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
  return { status: response.status, text: await response.text() };
}

/** Asks for a change, and returns the status. */
async function change(admin: Admin, action: string, body = {}, token = TOKEN): Promise<number> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  return (await ask(admin, `/control/${action}`, init)).status;
}

/** Runs a function with a server and its admin server. */
function withAdmin(
  options: ServeOptions,
  run: (admin: Admin, server: Server) => Promise<void>,
): Promise<void> {
  return withServer(options, answer, async (server) => {
    const admin = serveAdmin({ port: 0, control: true, token: TOKEN }, { answers: server });
    try {
      await admin.listening;
      await run(admin, server);
    } finally {
      await admin.close();
    }
  });
}

/** The packets of a file of a capture on IPv4, by who has sent them. */
function packetsOf(file: string): { flags: number; payload: Uint8Array; isInbound: boolean }[] {
  const bytes = readFileSync(file);
  const packets = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at + 4);
    assert.equal(bytes.readUInt32LE(at + length - 4), length);
    if (bytes.readUInt32LE(at) === 6) { // an Enhanced Packet Block
      const size = bytes.readUInt32LE(at + 20);
      const packet = bytes.subarray(at + 28, at + 28 + size);
      assert.equal(packet[0], 0x45);
      const flagsAt = at + 28 + Math.ceil(size / 4) * 4 + 4; // the first option
      packets.push({
        flags: packet[33]!,
        payload: packet.subarray(20 + (packet[32]! >> 4) * 4),
        isInbound: (bytes[flagsAt]! & 3) === 1,
      });
    }
    at += length;
  }
  return packets;
}

/** Captures a session of a few lines, and checks the file. */
async function captureLines(
  directory: string,
  options: ServeOptions,
  dialling: Parameters<typeof dial>[1],
): Promise<void> {
  const file = `${directory}/test.pcapng`;
  await withServer(options, answer, async (server) => {
    const captured = capture(server, file);
    await withSession(dial(server, dialling), async (session) => {
      for (const name of ["rose", "tulip", "lily"]) {
        await session.send(`${name}\n`);
        await expectLine(session, `re:${name}`);
      }
      await session.close();
    });
    await server.shutdown();
    await captured.close();
    const { sessions, packets: count, droppedPackets, bytesWritten } = captured.stats();
    assert.deepEqual([sessions, droppedPackets], [1, 0]);
    assert.equal(statSync(file).size, bytesWritten);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const packets = packetsOf(file);
    assert.equal(packets.length, count);
    const said = (isIn: boolean): string =>
      new TextDecoder().decode(
        concat(packets.filter(({ isInbound }) => isInbound === isIn).map((one) => one.payload)),
      );
    assert.equal(said(true), "rose\ntulip\nlily\n");
    assert.equal(said(false), "re:rose\nre:tulip\nre:lily\n");
    const withFlag = (flag: number): number => packets.filter(({ flags }) => flags & flag).length;
    assert.deepEqual([withFlag(2), withFlag(1), withFlag(4)], [2, 2, 0]); // SYN, FIN, RST
  });
}

export const operations: Scenarios = {
  "metrics have their type through node:http": () =>
    withServer({}, answer, async (server) => {
      const metrics = new Metrics();
      metrics.addServer("answers", server);
      const http = createServer(async ({ headers: { accept = "*/*" } }, response) => {
        const request = new Request("http://localhost/metrics", { headers: { accept } });
        const answer = metrics.handler(request);
        response.writeHead(answer.status, Object.fromEntries(answer.headers));
        response.end(await answer.text());
      });
      await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
      try {
        const { port } = http.address() as { port: number };
        for (const type of ["text/plain", "application/openmetrics-text"]) {
          const headers = { accept: `${type};q=0.5` };
          const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers });
          assert(response.headers.get("content-type")?.startsWith(`${type}; version=`));
          assert.match(await response.text(), /^parley_active_sessions{.*} 0$/m);
        }
      } finally {
        await new Promise((resolve) => {
          http.close(resolve);
          http.closeAllConnections();
        });
      }
    }),

  "an admin server answers what monitoring asks": () =>
    withAdmin({}, (admin, server) =>
      withSession(dial(server), async (session) => {
        await session.send("rose\n");
        await expectLine(session, "re:rose");
        assert.deepEqual(await ask(admin, "/healthz"), { status: 200, text: "ok\n" });
        assert.deepEqual(await ask(admin, "/readyz"), { status: 200, text: "ready\n" });
        const metrics = await ask(admin, "/metrics", { headers: { accept: "text/plain" } });
        assert.match(metrics.text, /^parley_active_sessions{parley_server_name="answers",.*} 1$/m);
        const { sessions } = JSON.parse((await ask(admin, "/sessions.json")).text);
        assert.deepEqual([sessions.length, sessions[0].bytesRead], [1, 5]);
        assert.match((await ask(admin, "/")).text, /^<!doctype html>/i);
        assert.equal((await ask(admin, "/nothing")).status, 404);
      })),

  "an admin server changes what a token allows": () =>
    withAdmin({}, async (admin, server) => {
      const session = await dial(server);
      await session.send("rose\n");
      await expectLine(session, "re:rose");
      assert.equal(await change(admin, "suspend", {}, "0123456789abcdee"), 401);
      assert.equal(server.state, "listening");
      assert.equal(await change(admin, "suspend"), 200);
      assert.equal((await ask(admin, "/readyz")).status, 503);
      assert.equal(await change(admin, "resume"), 200);
      assert.equal((await ask(admin, "/readyz")).status, 200);
      const [{ id }] = [...server.sessions] as [Session];
      assert.equal(await change(admin, "end", { id }), 200);
      await session.readLine().catch(() => {});
      await until(() => server.sessions.size === 0);
      assert.equal(await change(admin, "drain"), 200);
      await server.finished;
    }),

  "an admin server works on a Unix socket": () =>
    withDirectory((directory) =>
      withServer({}, answer, async (server) => {
        const path = `${directory}/admin`;
        const admin = serveAdmin({ path, mode: 0o600, control: true }, { answers: server });
        await admin.listening;
        assert.equal(statSync(path).mode & 0o777, 0o600);
        await withSession(connect({ path }), async (session) => {
          await session.send("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
          await expectLine(session, "HTTP/1.1 200 OK");
        });
        await admin.close();
      })
    ),

  "a server that is about to drain still accepts, but is not ready": () =>
    withAdmin({ drainDelay: LONG }, async (admin, server) => {
      const states: ServerState[] = [];
      server.observe({ onStateChange: (state) => void states.push(state) });
      const old = await dial(server);
      const finished = server.shutdown();
      assert.deepEqual(await ask(admin, "/healthz"), { status: 200, text: "ok\n" });
      const unready = { status: 503, text: "answers is lame-duck\n" };
      assert.deepEqual(await ask(admin, "/readyz"), unready);
      const late = await dial(server);
      for (const session of [old, late]) {
        await session.send("rose\n");
        await expectLine(session, "re:rose");
      }
      server.shutdown({ drainDelay: 20 });
      for (const session of [old, late]) {
        await expectLine(session, undefined);
        await session.close();
      }
      await finished;
      assert.deepEqual(states, ["lame-duck", "draining", "closed"]);
      await assert.rejects(dial(server), ConnectError);
    }),

  "an admin server says that a server drains, until its last session has ended": async () => {
    const leaving = Promise.withResolvers<void>();
    const server = serve({ port: 0 }, () => leaving.promise);
    await server.listening;
    const admin = serveAdmin({ port: 0 }, { slow: server });
    await admin.listening;
    const session = await dial(server);
    await until(() => server.sessions.size === 1);
    const finished = server.shutdown();
    assert.deepEqual(await ask(admin, "/readyz"), { status: 503, text: "slow is draining\n" });
    assert.deepEqual(await ask(admin, "/healthz"), { status: 200, text: "ok\n" });
    leaving.resolve();
    await session.close();
    await finished;
    await admin.close();
  },

  "a capture has the packets of a session, and shows what was inside TLS": async () => {
    await withDirectory((directory) => captureLines(directory, {}, {}));
    await withDirectory((directory) => captureLines(directory, { tls: own }, { tls: trusting }));
  },
};
