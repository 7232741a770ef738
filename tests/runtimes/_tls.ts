import { strict as assert } from "node:assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Handler, Session, systemErrors, TlsHandshakeError } from "@parley/tcp";
import type { TlsClientOptions, TlsServerOptions } from "@parley/tcp";
import { type Connection, memoryListener, memoryPair } from "@parley/tcp/transport";
import {
  answer,
  dial,
  expectLine,
  isBun,
  pattern,
  rawClient,
  readAll,
  type Scenarios,
  until,
  withServer,
  withSession,
} from "./_harness.ts";
import { ca, inMemory, own, pems, trusting, VERSIONS } from "./_tls_harness.ts";

const { client: mine } = pems;
const behindProxy = { proxyProtocol: "required", trusted: ["127.0.0.0/8"] } as const;

/** Collects garbage, if the runtime lets a program do so. */
function collector(): (() => void) | undefined {
  const { Bun } = globalThis as { Bun?: { gc(isSync: boolean): void } };
  if (Bun !== undefined) return () => Bun.gc(true);
  setFlagsFromString("--expose-gc");
  const { gc } = globalThis as { gc?: () => void };
  return gc ?? runInNewContext("globalThis.gc");
}

export const tls: Scenarios = {
  "TLS carries sessions, and reports what was negotiated": async () => {
    for (const maxVersion of VERSIONS) {
      const options: TlsServerOptions = {
        ...own,
        ca,
        clientCertificate: "required",
        alpn: ["b", "a"],
      };
      await withServer({ tls: options }, async (session) => {
        const { protocol, alpn, serverName, peerCertificate } = session.tls!;
        assert.deepEqual([protocol, alpn, serverName], [maxVersion, "a", "localhost"]);
        assert.equal(peerCertificate!.subject, "CN=rose,O=Garden");
        await answer(session);
      }, (server) => {
        const client = { ...trusting, ...mine, alpn: ["a"], maxVersion };
        return withSession(dial(server, { tls: client }), async (session) => {
          assert.equal(session.tls!.peerCertificate!.subject, "CN=garden");
          await session.send("rose\n");
          await expectLine(session, "re:rose");
        });
      });
    }
  },

  "16 MiB are echoed unchanged under TLS": () =>
    withServer({ tls: own }, async (session) => {
      for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
    }, (server) =>
      withSession(dial(server, { tls: trusting }), async (session) => {
        const block = pattern(1024 * 1024);
        const sending = (async () => {
          for (let at = 0; at < 16; at++) await session.send(block);
        })();
        for (let at = 0; at < 16; at++) {
          assert.deepEqual(new Uint8Array(await session.readExactly(block.length)), block);
        }
        await sending;
      })),

  "peers without a common protocol or version are refused": () =>
    withServer({ tls: { ...own, alpn: ["a"], minVersion: "TLSv1.3" } }, answer, async (server) => {
      for (const options of [{ alpn: ["b"] }, { maxVersion: "TLSv1.2" }] as const) {
        const tls = { ...trusting, ...options } as TlsClientOptions;
        await assert.rejects(dial(server, { tls }), TlsHandshakeError);
      }
    }),

  "a peer that does not speak TLS is refused": () =>
    withServer({ tls: own, handshakeTimeout: 200 }, answer, async (server) => {
      const garbage = await rawClient(server);
      garbage.write("GET / HTTP/1.1\r\n\r\n");
      await readAll(garbage);
      const silent = await rawClient(server);
      await readAll(silent); // after the timeout
      await until(() => server.stats().refusals.handshake === 2);
    }),

  "a truncated session throws UnexpectedEof, after the data before": async () => {
    const { promise, resolve } = Promise.withResolvers<[string, unknown]>();
    const handler: Handler = async (session) => {
      let text = "";
      try {
        for await (const chunk of session) text += chunk;
        resolve([text, undefined]);
      } catch (error) {
        resolve([text, (error as Error).cause]);
      }
    };
    await inMemory({ handler }, async (session, raw) => {
      await session.send("half");
      await session.flush();
      await raw.closeWrite();
      const [text, error] = await promise;
      assert.equal(text, "half");
      assert(error instanceof systemErrors.UnexpectedEof, String(error));
    });
  },

  "a changed record ends a session with an error": async () => {
    let isChanging = false;
    const change = (bytes: Uint8Array): void => {
      if (isChanging) bytes[bytes.length - 1]! ^= 1;
    };
    await inMemory({ change }, async (session) => {
      await session.send("rose\n");
      await expectLine(session, "re:rose");
      isChanging = true;
      await session.send("rose\n");
      await assert.rejects(session.readLine());
      assert.notEqual((await session.closed).cause, undefined);
    });
  },

  "a changed record from a client is no proper end of input": async () => {
    const changes: ((bytes: Uint8Array) => void)[] = [
      (bytes) => bytes[bytes.length - 1]! ^= 1,
      (bytes) => bytes.fill(65),
      (bytes) => bytes[0] = 99,
      (bytes) => bytes.fill(255, 3, 5),
      (bytes) => bytes.set([21, 3, 3, 0, 2, 1, 0]), // a plaintext close_notify
    ];
    for (const maxVersion of VERSIONS) {
      for (const one of changes) {
        let isChanging = false;
        const { promise, resolve } = Promise.withResolvers<unknown>();
        const handler: Handler = async (session) => {
          await session.send(`${await session.readLine()}\n`);
          await session.readLine().then(resolve, ({ cause }) => resolve(cause));
        };
        const changeOutput = (bytes: Uint8Array): void => {
          if (isChanging) one(bytes);
        };
        await inMemory({ tls: { ...own, maxVersion }, handler, changeOutput }, async (session) => {
          await session.send("rose\n");
          await expectLine(session, "rose");
          isChanging = true;
          await session.send("tulip\n");
          await session.flush();
          const cause = await promise;
          assert(cause instanceof systemErrors.InvalidData, `${one}: ${cause}`);
        });
      }
    }
  },

  "half-closing under TLS leaves the other direction open, or fails with an error": () =>
    withServer({ tls: own }, async (session) => {
      let count = 0;
      for await (const chunk of session.bytes()) count += chunk.length;
      await session.send(`${count}\n`).catch(() => {});
    }, (server) =>
      withSession(dial(server, { tls: trusting }), async (session) => {
        await session.send(pattern(100_000));
        await session.closeWrite();
        if (isBun) await assert.rejects(session.readLine());
        else {
          await expectLine(session, "100000");
          await expectLine(session, undefined);
        }
      })),

  "close() under TLS delivers what was sent": () =>
    withServer({ tls: own }, async (session) => {
      await session.send(pattern(2 * 1024 * 1024));
    }, (server) =>
      withSession(dial(server, { tls: trusting }), async (session) => {
        const all = await session.readExactly(2 * 1024 * 1024);
        assert.deepEqual(new Uint8Array(all), pattern(2 * 1024 * 1024));
        await expectLine(session, undefined);
      })),

  "a peer under TLS that sends endlessly gets back-pressure": async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    await withServer(
      { tls: own },
      async (session) => {
        await session.readLine();
        await promise;
      },
      (server) =>
        withSession(dial(server, { tls: trusting, writeTimeout: Infinity }), async (session) => {
          await session.send("go\n");
          let sent = 0;
          const sending = (async () => {
            for (;; sent++) await session.send(pattern(1024 * 1024));
          })().catch(() => {});
          let before = -1;
          while (sent !== before) {
            before = sent;
            await new Promise((resolve) => setTimeout(resolve, 300));
          }
          assert(sent < 40, `${sent} MiB were taken in`);
          resolve();
          session.abort();
          await sending;
        }),
    );
  },

  "STARTTLS begins within a session": () =>
    withServer({ tls: { ...own, mode: "starttls" } }, async (session) => {
      assert.equal(await session.readLine(), "STARTTLS");
      await session.send("go on\n");
      await session.upgradeTls();
      await answer(session);
    }, (server) =>
      withSession(dial(server), async (session) => {
        await session.send("STARTTLS\n");
        await expectLine(session, "go on");
        await session.upgradeTls(trusting);
        await session.send("rose\n");
        await expectLine(session, "re:rose");
      })),

  "TLS follows a PROXY header": () =>
    withServer({ tls: own, ...behindProxy }, answer, (server) => {
      const source = { transport: "tcp", hostname: "192.0.2.7", port: 1 } as const;
      const proxyHeader = {
        version: 2 as const,
        source,
        destination: { ...source, hostname: "192.0.2.8" },
      };
      return withSession(dial(server, { tls: trusting, proxyHeader }), async (session) => {
        await session.send("rose\n");
        await expectLine(session, "re:rose");
      });
    }),

  "nothing is kept of clients that leave within the handshake": async () => {
    const collect = collector();
    if (collect === undefined) return;
    const listener = memoryListener();
    const kept: WeakRef<Connection>[] = [];
    const watched = {
      addr: listener.addr,
      close: () => listener.close(),
      async accept(): Promise<Connection> {
        const connection = await listener.accept();
        kept.push(new WeakRef(connection));
        return connection;
      },
    };
    await withServer({ listener: watched, tls: own, handshakeTimeout: 200 }, answer, async () => {
      for (let at = 0; at < 100; at++) {
        const client = listener.connect();
        if (at % 3 > 0) await client.write(Uint8Array.of(22, 3, 1)); // the begin of a hello
        if (at % 3 < 2) client.close(); // the others stall
      }
      // The garbage collector of Bun finds some references that do not exist.
      await until(() => {
        collect();
        return kept.length === 100 && kept.filter((one) => one.deref()).length < 25;
      });
    });
  },

  "a handshake can be aborted": async () => {
    await withServer({}, (session) => session.closed, async (server) => {
      await assert.rejects(dial(server, { tls: trusting, connectTimeout: 200 }), /connectTimeout/);
    });
    const session = new Session(memoryPair()[0]);
    const reason = new Error("no more");
    const controller = new AbortController();
    const upgrade = session.upgradeTls({ ...trusting, signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(upgrade, reason);
  },

  "many handshakes at once": () =>
    withServer({ tls: own }, answer, async (server) => {
      const all = await Promise.all(
        Array.from({ length: 50 }, () => dial(server, { tls: trusting })),
      );
      for (const session of all) await session.send("rose\n");
      for (const session of all) await expectLine(session, "re:rose");
      for (const session of all) session.abort();
    }),
};
