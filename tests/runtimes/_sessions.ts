import { strict as assert } from "node:assert";
import {
  connect,
  ConnectionRefusedError,
  FrameTooLargeError,
  OutputLimitError,
  prepare,
  Session,
  SessionEndedError,
  systemErrors,
} from "@parley/tcp";
import * as codecs from "@parley/tcp/codecs";
import type { Codec } from "@parley/tcp";
import { memoryPair } from "@parley/tcp/transport";
import {
  answer,
  concat,
  dial,
  expectLine,
  pattern,
  rawClient,
  readAll,
  type Scenarios,
  until,
  withServer,
  withSession,
} from "./_harness.ts";

const MIB = 1024 * 1024;

/** The messages that each codec must decode as they were encoded, in one piece and byte by byte. */
async function comesBack<Frame>(codec: Codec<Frame>, frames: Frame[]): Promise<void> {
  for (const chop of [Infinity, 1]) {
    const [near, far] = memoryPair();
    const [sender, receiver] = [new Session(near), new Session(far, { chunkSize: 1 })];
    void (async () => {
      const out = sender.frames(codec);
      for (const frame of frames) {
        await out.send(frame);
        if (chop === 1) await sender.flush();
      }
      await sender.close();
    })();
    const got: Frame[] = [];
    for await (const frame of receiver.frames(codec)) got.push(frame);
    assert.deepEqual(got, frames);
    receiver.abort();
  }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export const sessions: Scenarios = {
  "a server greets and answers": () =>
    withServer({}, async (session) => {
      await session.send("welcome!\n");
      await answer(session);
    }, (server) =>
      withSession(dial(server), async (session) => {
        await expectLine(session, "welcome!");
        await session.send("rose\n");
        await expectLine(session, "re:rose");
        const { reason } = await session.close();
        assert.equal(reason, "local");
      })),

  "lines that arrive together are answered in order": () =>
    withServer({}, answer, (server) =>
      withSession(dial(server), async (session) => {
        const lines = Array.from({ length: 1000 }, (_, at) => `${at}`);
        await session.send(lines.map((line) => `${line}\n`).join(""));
        for (const line of lines) await expectLine(session, `re:${line}`);
      })),

  "text is decoded across reads": () =>
    withServer({}, async (session) => {
      let text = "";
      for await (const chunk of session) text += chunk;
      await session.send(text);
    }, async (server) => {
      const socket = await rawClient(server);
      for (const byte of bytes("añ€😀")) {
        socket.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      socket.end();
      assert.deepEqual(await readAll(socket), new Uint8Array(bytes("añ€😀")));
    }),

  "readings take turns and lose no byte": () =>
    withServer({}, async (session) => {
      assert.equal(await session.readLine(), "5");
      assert.deepEqual(new Uint8Array(await session.readExactly(5)), bytes("a\nb\nc"));
      session.unread(bytes("x"));
      await session.send(`${await session.readLine()}\n`);
    }, (server) =>
      withSession(dial(server), async (session) => {
        await session.send("5\na\nb\ncd\n");
        await expectLine(session, "xd");
      })),

  "64 MiB are echoed unchanged": () =>
    withServer({}, async (session) => {
      for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
    }, (server) =>
      withSession(dial(server), async (session) => {
        const block = pattern(MIB);
        const count = 64;
        const sending = (async () => {
          for (let at = 0; at < count; at++) await session.send(block);
        })();
        for (let at = 0; at < count; at++) {
          assert.deepEqual(new Uint8Array(await session.readExactly(MIB)), block);
        }
        await sending;
      })),

  "half-closing leaves the other direction open": () =>
    withServer({}, async (session) => {
      let count = 0;
      for await (const chunk of session.bytes()) count += chunk.length;
      await session.send(`${count}\n`);
      await session.send(pattern(MIB));
    }, (server) =>
      withSession(dial(server), async (session) => {
        await session.send(pattern(3 * MIB));
        await session.closeWrite();
        await expectLine(session, `${3 * MIB}`);
        assert.deepEqual(new Uint8Array(await session.readExactly(MIB)), pattern(MIB));
        await expectLine(session, undefined);
      })),

  "close() delivers what was sent to a peer that reads late": () =>
    withServer({}, async (session) => {
      await session.send(pattern(4 * MIB));
    }, async (server) => {
      const socket = await rawClient(server);
      socket.pause();
      await until(() => server.stats().bytesWritten > 0);
      const all = readAll(socket);
      socket.resume();
      assert.deepEqual(await all, pattern(4 * MIB));
    }),

  "a reset ends a session with its cause": async () => {
    const { promise, resolve } = Promise.withResolvers<Session>();
    await withServer({}, async (session) => {
      resolve(session);
      await session.closed;
    }, async (server) => {
      const socket = await rawClient(server);
      const session = await promise;
      socket.resetAndDestroy();
      const { reason, cause } = await session.closed;
      assert.equal(reason, "peer");
      assert(cause instanceof systemErrors.ConnectionReset, String(cause));
      assert.equal((cause as { code?: string }).code, "ECONNRESET");
      assert.equal((cause as Error).name, "ConnectionReset");
    });
  },

  "abort() ends both sides at once": () =>
    withServer(
      {},
      answer,
      (server) =>
        withSession(dial(server), async (session) => {
          const reading = session.readLine();
          session.abort(new Error("enough"));
          await assert.rejects(reading, SessionEndedError);
          await until(() => server.stats().active === 0);
        }),
    ),

  "an idle session ends": () =>
    withServer({ idleTimeout: 100 }, async (session) => {
      await session.closed;
    }, (server) =>
      withSession(dial(server), async (session) => {
        await expectLine(session, undefined);
      })),

  "a frame that stalls ends its session": () =>
    withServer(
      { frameTimeout: 100 },
      answer,
      (server) =>
        withSession(dial(server), async (session) => {
          await session.send("never ended");
          await expectLine(session, undefined);
        }),
    ),

  "a peer that reads nothing ends its session, not the server": async () => {
    const { promise, resolve } = Promise.withResolvers<Session>();
    await withServer({ writeTimeout: 200 }, async (session) => {
      resolve(session);
      for (;;) await session.send(pattern(MIB));
    }, async (server) => {
      const socket = await rawClient(server);
      socket.pause();
      const { reason } = await (await promise).closed;
      assert.equal(reason, "write-stalled");
      socket.destroy();
    });
  },

  "output that is not awaited is bounded": async () => {
    const { promise, resolve } = Promise.withResolvers<Session>();
    await withServer({ maxBufferedOutput: 256 * 1024 }, async (session) => {
      resolve(session);
      await session.readLine();
      for (let at = 0; at < 1000; at++) void session.send("x".repeat(8000));
      await session.closed;
    }, async (server) => {
      const socket = await rawClient(server);
      socket.pause();
      socket.write("go\n");
      const { reason, cause } = await (await promise).closed;
      assert.equal(reason, "limit");
      assert(cause instanceof OutputLimitError);
      socket.destroy();
    });
  },

  "a line that is too long ends its session": async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    await withServer({}, async (session) => {
      await session.readLine({ maxLength: 10 }).catch(resolve);
    }, (server) =>
      withSession(dial(server), async (session) => {
        await session.send("x".repeat(1000));
        const error = await promise;
        assert(error instanceof FrameTooLargeError && error.limit === 10, String(error));
      }));
  },

  "a prepared message is sent to many sessions": () => {
    const all = new Set<Session>();
    return withServer({}, async (session) => {
      all.add(session);
      await session.closed;
    }, async (server) => {
      const clients = await Promise.all(Array.from({ length: 50 }, () => dial(server)));
      await until(() => all.size === 50);
      const news = prepare("news\n");
      for (const session of all) void session.send(news);
      for (const client of clients) await expectLine(client, "news");
      for (const client of clients) client.abort();
    });
  },

  "socket options are accepted": () =>
    withServer({ noDelay: false, keepAlive: true, tcpBacklog: 16 }, answer, (server) => {
      const options = { localAddress: "127.0.0.1", keepAlive: 5_000, transport: "node" } as const;
      return withSession(dial(server, options), async (session) => {
        await session.send("rose\n");
        await expectLine(session, "re:rose");
        assert.equal(session.remoteAddr.transport, "tcp");
      });
    }),

  "an address on which nothing listens is refused": async () => {
    const port = await withServer({}, answer, (server) => Promise.resolve(server.addr));
    const dialled = connect({ port: (port as { port: number }).port });
    await assert.rejects(dialled, (error: Error) => {
      assert(error instanceof ConnectionRefusedError, String(error));
      assert(error.cause instanceof systemErrors.ConnectionRefused, String(error.cause));
      return true;
    });
  },

  "an aborted dial rejects with its reason": async () => {
    const reason = new Error("no more");
    await assert.rejects(connect({ port: 9, signal: AbortSignal.abort(reason) }), reason);
  },

  "codecs decode what they have encoded": async () => {
    const chunks = ["", "rose", "x".repeat(3000)].map((text) => bytes(text));
    await comesBack(codecs.lines(), ["rose", "", "añ€😀"]);
    for (const width of [1, 2, 4, "varint"] as const) {
      const some = width === 1 ? chunks.slice(0, 2) : chunks;
      await comesBack(codecs.lengthPrefixed({ width }), some);
    }
    await comesBack(codecs.netstring(), chunks);
    await comesBack(codecs.octetCounted(), chunks.slice(1));
    await comesBack(codecs.delimited(bytes("\0")), chunks.slice(1));
    await comesBack(codecs.fixed(4), [bytes("rose"), bytes("tree")]);
    await comesBack(codecs.jsonLines(), [{ a: 1 }, ["ñ"], "text", 0]);
  },

  "web streams carry bytes": () =>
    withServer({}, async (session) => {
      await session.readable.pipeTo(session.writable);
    }, (server) =>
      withSession(dial(server), async (session) => {
        const writer = session.writable.getWriter();
        void writer.write(pattern(100_000)).then(() => writer.close());
        const chunks: Uint8Array[] = [];
        for await (const chunk of session.bytes()) chunks.push(chunk);
        assert.deepEqual(concat(chunks), pattern(100_000));
      })),
};
