import { strict as assert } from "node:assert";
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import {
  connect,
  ConnectError,
  type NetAddr,
  reconnect,
  type Refusal,
  requests,
  serve,
  type ServeOptions,
  type Session,
  sessionPool,
  systemErrors,
} from "@parley/tcp";
import { jsonLines, lines } from "@parley/tcp/codecs";
import { handOver, keep } from "@parley/tcp/handover";
import { encodeProxyHeader } from "@parley/tcp/proxy-protocol";
import { Metrics } from "@parley/tcp/metrics";
import { serveWorkers } from "@parley/tcp/workers";
import {
  answer,
  dial,
  expectLine,
  isBun,
  portOf,
  rawClient,
  readAll,
  type Scenarios,
  until,
  withDirectory,
  withServer,
  withSession,
} from "./_harness.ts";

const FROM = { transport: "tcp", hostname: "192.0.2.7", port: 51324 } as const;
const TO = { transport: "tcp", hostname: "198.51.100.1", port: 443 } as const;

const behindProxy = { proxyProtocol: "required", trusted: ["127.0.0.0/8"] } as const;

/** Runs a server on a path and kills it, which leaves the file of its socket. */
async function leaveFile(path: string): Promise<void> {
  const code = `require("net").createServer().listen(process.argv[1], () => console.log("on"))`;
  const child = spawn(process.env.PARLEY_NODE ?? "node", ["-e", code, path]);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
  assert(existsSync(path));
}

/** The error of a server that cannot listen, which is thrown at once or reported later. */
async function whyNot(options: ServeOptions): Promise<unknown> {
  try {
    const server = serve(options, answer);
    const error = await server.listening.catch((error: unknown) => error);
    await server.finished.catch(() => {});
    return error;
  } catch (error) {
    return error;
  }
}

export const servers: Scenarios = {
  "a Unix socket gets its mode, works, and is removed": () =>
    withDirectory(async (directory) => {
      const path = `${directory}/socket`;
      await withServer({ path, mode: 0o600 }, answer, async (server) => {
        assert.deepEqual(server.addr, { transport: "unix", path });
        assert.equal(statSync(path).mode & 0o777, 0o600);
        await withSession(connect({ path }), async (session) => {
          await session.send("rose\n");
          await expectLine(session, "re:rose");
          await session.closeWrite();
          await expectLine(session, undefined);
        });
        assert((await whyNot({ path })) instanceof systemErrors.AddrInUse);
      });
      assert(!existsSync(path));
      await assert.rejects(connect({ path }), ConnectError);
    }),

  "the socket of a killed server is replaced, and no other file": () =>
    withDirectory(async (directory) => {
      const path = `${directory}/socket`;
      await leaveFile(path);
      await withServer({ path }, answer, () =>
        withSession(connect({ path }), async (session) => {
          await session.send("rose\n");
          await expectLine(session, "re:rose");
        }));
      writeFileSync(path, "mine");
      assert((await whyNot({ path })) instanceof systemErrors.AddrInUse);
      assert.equal(statSync(path).size, 4);
    }),

  "a port that is in use throws AddrInUse": () =>
    withServer({}, answer, async (server) => {
      const error = await whyNot({ port: portOf(server) });
      assert(error instanceof systemErrors.AddrInUse, String(error));
      assert.equal((error as { code?: string }).code, "EADDRINUSE");
      const where = `127.0.0.1:${portOf(server)}`;
      assert.equal(error.message, `cannot listen on ${where}: the address is in use (EADDRINUSE)`);
    }),

  "errors of listening name the address": async () => {
    const foreign = await whyNot({ port: 0, hostname: "192.0.2.1" }) as Error;
    assert(foreign instanceof systemErrors.AddrNotAvailable, String(foreign));
    assert.equal(
      foreign.message,
      "cannot listen on 192.0.2.1:0: the address is not one of this machine (EADDRNOTAVAIL)",
    );
    const unknown = await whyNot({ port: 0, hostname: "nonexistent.invalid" }) as Error;
    assert(unknown.message.startsWith("cannot listen on nonexistent.invalid:0: "), String(unknown));
    if (typeof process.versions.bun === "string") return; // Bun does not say what is wrong
    assert(unknown.message.endsWith(": the host name has no address (ENOTFOUND)"), String(unknown));
  },

  "PROXY headers give the addresses, in both versions": async () => {
    for (const version of [1, 2] as const) {
      await withServer({ ...behindProxy }, async (session) => {
        assert.deepEqual(session.remoteAddr, FROM);
        await session.send(`v${session.proxy!.version}\n`);
        await answer(session);
      }, async (server) => {
        const socket = await rawClient(server);
        const header = encodeProxyHeader({ version, source: FROM, destination: TO });
        for (const byte of header) socket.write(Uint8Array.of(byte));
        socket.write("rose\n");
        socket.end();
        const all = new TextDecoder().decode(await readAll(socket));
        assert.equal(all, `v${version}\nre:rose\n`);
      });
    }
  },

  "a peer without a PROXY header is refused": async () => {
    const refusals: Refusal[] = [];
    const observer = { onRefusal: (refusal: Refusal) => void refusals.push(refusal) };
    await withServer({ ...behindProxy, observer }, answer, async (server) => {
      const socket = await rawClient(server);
      socket.write("GET / HTTP/1.1\r\n\r\n");
      await readAll(socket);
      await until(() => refusals.length === 1);
    });
  },

  "connect() sends a PROXY header": () =>
    withServer({ ...behindProxy }, async (session) => {
      await session.send(`${JSON.stringify(session.remoteAddr)}\n`);
    }, (server) =>
      withSession(
        dial(server, { proxyHeader: { version: 2, source: FROM, destination: TO } }),
        (session) => expectLine(session, JSON.stringify(FROM)),
      )),

  "reconnect() connects again to a restarted server": async () => {
    const greet = async (session: Session): Promise<void> => {
      await session.send("hello\n");
      await session.readLine();
    };
    let server = serve({ port: 0, onError: () => {} }, greet);
    await server.listening;
    const port = portOf(server);
    const client = reconnect({ port, minDelay: 5, maxDelay: 20 });
    let count = 0;
    for await (const session of client) {
      await expectLine(session, "hello");
      if (++count === 3) break;
      server.abort();
      await server.finished;
      server = serve({ port, onError: () => {} }, greet);
      await server.listening;
    }
    await client.close();
    server.abort();
    await server.finished;
  },

  "a pool reuses sessions": () => {
    let accepted = 0;
    return withServer({}, async (session) => {
      accepted++;
      await answer(session);
    }, async (server) => {
      const pool = sessionPool({ port: portOf(server), maxSessions: 2 });
      for (let at = 0; at < 10; at++) {
        const lease = await pool.get();
        await lease.session.send("rose\n");
        await expectLine(lease.session, "re:rose");
        lease.release();
      }
      await pool.close();
      assert.equal(accepted, 1);
    });
  },

  "requests get their replies, in order and by id": () =>
    withServer({}, async (session) => {
      const frames = session.frames(jsonLines<{ id: number }>());
      const first = await frames.read();
      const second = await frames.read();
      await frames.send(second!);
      await frames.send(first!);
      for await (const line of session.lines()) await session.send(`re:${line}\n`);
    }, (server) =>
      withSession(dial(server), async (session) => {
        const byId = requests(session.frames(jsonLines<{ id: number }>()), {
          requestId: ({ id }) => id,
          replyId: ({ id }) => id,
        });
        const replies = await Promise.all([byId.request({ id: 1 }), byId.request({ id: 2 })]);
        assert.deepEqual(replies, [{ id: 1 }, { id: 2 }]);
        await byId.close();
      })),

  "pipelined requests are answered in order": () =>
    withServer({}, answer, (server) =>
      withSession(dial(server), async (session) => {
        const pipe = requests(session.frames(lines()));
        const texts = Array.from({ length: 200 }, (_, at) => `${at}`);
        const replies = await Promise.all(texts.map((text) => pipe.request(text)));
        assert.deepEqual(replies, texts.map((text) => `re:${text}`));
        await pipe.close();
      })),

  "shutdown() lets handlers finish": () =>
    withServer({}, async (session) => {
      for await (const line of session.lines()) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        await session.send(`re:${line}\n`);
      }
    }, async (server) => {
      const session = await dial(server);
      await session.send("rose\n");
      await until(() => server.stats().bytesRead > 0);
      const shutdown = server.shutdown();
      await expectLine(session, "re:rose");
      await expectLine(session, undefined);
      await shutdown;
      await assert.rejects(dial(server), ConnectError);
    }),

  "shutdown() waits at most shutdownTimeout": () =>
    withServer({ shutdownTimeout: 50 }, async (session) => {
      await session.readExactly(1000);
    }, async (server) => {
      await withSession(dial(server), async (session) => {
        await session.send("half");
        await until(() => server.stats().bytesRead > 0);
        await server.shutdown();
      });
    }),

  "Metrics has the numbers of a server and of the process": () =>
    withServer({}, answer, async (server) => {
      const metrics = new Metrics();
      metrics.addServer("answers", server);
      await withSession(dial(server), async (session) => {
        await session.send("rose\n");
        await expectLine(session, "re:rose");
        const request = new Request("http://localhost/", { headers: { accept: "text/plain" } });
        const text = await metrics.handler(request).text();
        assert.match(text, /^parley_active_sessions{parley_server_name="answers",.*} 1$/m);
        assert.match(text, /^process_memory_usage_bytes [1-9]\d+$/m);
        assert.match(text, /^process_cpu_time_seconds_total{cpu_mode="user"} [\d.]+$/m);
      });
    }),

  "sessions go on in another process": () =>
    withServer({ transport: "node", readRate: { perSecond: 1, burst: 9 } }, async (session) => {
      keep(session, "kept");
      await answer(session);
    }, async (server) => {
      const session = await dial(server);
      await session.send("rose\n");
      await expectLine(session, "re:rose");
      if (isBun) {
        await assert.rejects(handOver(server, process), TypeError);
        await session.close();
        return;
      }
      const successor = fork(new URL("./_successor.ts", import.meta.url));
      const exit = once(successor, "exit");
      try {
        await once(successor, "message");
        await session.send("tulip and lily\n");
        await until(() => server.stats().bytesRead >= 9); // the rate holds the rest back
        assert.equal(await handOver(server, successor), 1);
        await expectLine(session, "kept:tulip and lily");
        await session.close();
      } finally {
        successor.kill("SIGKILL"); // it has the standard output of this process, too
        await exit;
      }
    }),

  "workers share a port": async () => {
    const module = new URL("./_service.ts", import.meta.url).href;
    const server = serveWorkers(module, { port: 0, workers: 2, onError: () => {} });
    const { port } = await server.listening as NetAddr;
    const threads = new Set<string>();
    while (threads.size < 2) {
      await withSession(connect({ port }), async (session) => {
        await session.send("rose\n");
        const [thread, line] = (await session.readLine())!.split(":");
        assert.equal(line, "rose");
        threads.add(thread!);
      });
    }
    await server.shutdown();
  },

  "maxSessions lets further connections wait, or refuses them": async () => {
    await withServer({ maxSessions: 1 }, answer, async (server) => {
      const first = await dial(server);
      const second = await dial(server);
      await second.send("two\n");
      await first.send("one\n");
      await expectLine(first, "re:one");
      assert.equal(server.stats().active, 1);
      await first.close();
      await expectLine(second, "re:two");
      second.abort();
    });
    await withServer({ maxSessions: 1, overload: "refuse" }, answer, async (server) => {
      const first = await dial(server);
      await first.send("one\n");
      await expectLine(first, "re:one");
      const second = await rawClient(server);
      await readAll(second);
      assert.equal(server.stats().refusals.maxSessions, 1);
      first.abort();
    });
  },

  "addresses are counted, denied and shown as IPv4": async () => {
    await withServer({ hostname: "::", maxSessionsPerAddress: 1 }, async (session) => {
      assert.equal((session.remoteAddr as { hostname: string }).hostname, "127.0.0.1");
      await answer(session);
    }, async (server) => {
      const first = await dial(server);
      await first.send("one\n");
      await expectLine(first, "re:one");
      await readAll(await rawClient(server));
      assert.equal(server.stats().refusals.maxSessionsPerAddress, 1);
      first.abort();
    });
    await withServer({ deny: ["127.0.0.0/8"] }, answer, async (server) => {
      await readAll(await rawClient(server));
      assert.equal(server.stats().refusals.denied, 1);
    });
  },

  "unknown options are refused": () => {
    assert.throws(() => serve({ prot: 1 } as object, answer), TypeError);
    if (!("Deno" in globalThis)) {
      assert.throws(() => serve({ transport: "deno" }, answer), /needs Deno/);
    }
    return Promise.resolve();
  },
};
