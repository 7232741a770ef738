// How connections end, one direction after the other or both at once, whatever the other side does meanwhile.

import { strict as assert } from "node:assert";
import { once } from "node:events";
import net from "node:net";
import { SessionEndedError, systemErrors } from "@parley/tcp";
import type { Handler, ServeOptions, Server, Session } from "@parley/tcp";
import { pattern, portOf, type Scenarios, until, withDirectory, withServer } from "./_harness.ts";

const MIB = 1024 * 1024;
/** More than the system takes for a peer that does not read. */
const MUCH = pattern(16 * MIB);

/** Runs a function with a server and a client without the library that half-closes, and resets at the end. */
async function withClient(
  options: ServeOptions,
  handler: Handler,
  run: (client: net.Socket, server: Server) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  await withServer({ transport: "node", ...options }, async (session) => {
    try {
      await handler(session);
    } catch (error) {
      failures.push(error);
    }
  }, async (server) => {
    const { path } = options;
    const to = path === undefined ? { host: "127.0.0.1", port: portOf(server) } : { path };
    const client = net.connect({ ...to, allowHalfOpen: true });
    client.pause();
    try {
      await once(client, "connect");
      await run(client, server);
      await until(() => server.stats().active === 0);
    } finally {
      client.destroy();
    }
  });
  assert.deepEqual(failures, []);
}

/** Runs it over TCP, and over a Unix socket. */
function overBoth(
  handler: Handler,
  run: (client: net.Socket, server: Server) => Promise<void>,
): () => Promise<void> {
  return async () => {
    await withClient({}, handler, run);
    await withDirectory((directory) => withClient({ path: `${directory}/socket` }, handler, run));
  };
}

function write(client: net.Socket, data: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  client.write(data, (error) => error ? reject(error) : resolve());
  return promise;
}

/** Resolves to the number of bytes that arrive until the end of input. Checks that they are those of `pattern()`. */
async function receive(client: net.Socket): Promise<number> {
  let count = 0;
  client.on("data", (chunk: Uint8Array) => count = check(chunk, count)).resume();
  await once(client, "end");
  return count;
}

/** Checks a piece of `pattern()` that begins at an offset, and returns where it ends. */
function check(chunk: Uint8Array, at: number): number {
  const expected = MUCH.subarray(at % 251, at % 251 + chunk.length);
  assert.equal(Buffer.compare(chunk, expected), 0, `other bytes after ${at}`);
  return at + chunk.length;
}

/** Reads all of `pattern()` that arrives, with a pause now and then. Returns the number of bytes. */
async function readSlowly(session: Session, from = 0): Promise<number> {
  let count = from;
  let reads = 0;
  for await (const chunk of session.bytes({ borrow: true })) {
    count = check(chunk, count);
    if (++reads % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return count;
}

/** Asserts that a promise rejects because the peer has reset the connection. */
async function expectReset(promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(() => assert.fail("it did not fail"), (error) => error);
  assert(error instanceof SessionEndedError, String(error));
  assert.equal(error.reason, "peer");
  const { cause } = error;
  const isReset = cause instanceof systemErrors.ConnectionReset ||
    cause instanceof systemErrors.BrokenPipe;
  assert(isReset, String(cause));
}

/** In Deno 2.9, a `net.Socket` fails to write what has to wait when the server half-closes. So the client cannot be one. */
function unlessDeno(scenario: () => Promise<void>): () => Promise<void> {
  return "Deno" in globalThis ? () => Promise.resolve() : scenario;
}

export const endings: Scenarios = {
  "what came before a reset is read first": async () => {
    for (const isReading of [true, false]) {
      const gone = Promise.withResolvers<void>();
      await withClient({}, async (session) => {
        let count = check(new Uint8Array(await session.readExactly(1)), 0);
        if (!isReading) await gone.promise;
        await expectReset((async () => {
          for await (const chunk of session.bytes()) count = check(chunk, count);
        })());
        assert.equal(count, 5000);
      }, async (client, server) => {
        await write(client, MUCH.subarray(0, 5000));
        await until(() => server.stats().bytesRead > (isReading ? 4999 : 0));
        client.resetAndDestroy();
        await once(client, "close");
        gone.resolve();
      });
    }
  },

  "an end of input waits behind input that is not read": overBoth(async (session) => {
    await session.readExactly(1);
    await session.readExactly(MIB); // the end is there by now, or comes while this side reads slowly
    await session.send(`${await readSlowly(session, MIB + 1)}`);
  }, async (client) => {
    client.end(MUCH.subarray(0, 2 * MIB));
    const [answer] = await once(client.resume(), "data");
    assert.equal(String(answer), `${2 * MIB}`);
    await once(client, "end");
  }),

  "input goes on after this side has half-closed": unlessDeno(overBoth(async (session) => {
    await session.closeWrite();
    assert.equal(await readSlowly(session), 4 * MIB);
  }, async (client) => {
    await once(client.resume(), "end"); // the server's
    await write(client, MUCH.subarray(0, 3 * MIB));
    await write(client, MUCH.subarray(3 * MIB % 251, 3 * MIB % 251 + MIB));
    client.end();
  })),

  "output goes on after the peer has half-closed, also if it waits": overBoth(async (session) => {
    const sending = session.send(MUCH);
    assert.equal((await session.readExactly(2)).length, 2);
    assert.equal(await session.readLine(), undefined);
    await sending;
    await session.send(MUCH.subarray(MUCH.length % 251, MUCH.length % 251 + 7));
  }, async (client, server) => {
    await until(() => server.stats().bytesWritten > 0); // and takes no more now
    client.end("ab");
    await until(() => server.stats().bytesRead === 2);
    assert.equal(await receive(client), MUCH.length + 7);
  }),

  "both sides send more than fits, and half-close": unlessDeno(overBoth(async (session) => {
    const sending = session.send(MUCH).then(() => session.closeWrite());
    assert.equal(await readSlowly(session), MUCH.length);
    await sending;
  }, async (client) => {
    client.end(MUCH);
    assert.equal(await receive(client), MUCH.length);
  })),

  "a reset ends output that waits": () =>
    withClient({}, async (session) => {
      await session.readExactly(1);
      await expectReset(session.send(MUCH));
    }, async (client, server) => {
      client.write("a");
      await until(() => server.stats().bytesWritten > 0);
      client.resetAndDestroy();
    }),

  "a peer that has closed refuses output": () =>
    withClient({}, async (session) => {
      assert.equal(await session.readLine(), undefined);
      await expectReset((async () => {
        for (;;) {
          await session.send("a");
          await session.flush();
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      })());
    }, (client) => {
      client.destroy(); // by an end: there is no input
      return Promise.resolve();
    }),

  "output that waits ends with its session": overBoth(async (session) => {
    await session.readExactly(1);
    const sending = session.send(MUCH);
    const reading = session.readLine();
    setTimeout(() => session.abort(new Error("enough")), 20);
    await assert.rejects(sending, /enough/);
    await assert.rejects(reading, /enough/);
  }, (client) => write(client, MUCH.subarray(0, 1))),

  "a client sees a reset of the server as one, and a close as an end": async () => {
    for (const isAbort of [true, false]) {
      await withClient({}, async (session) => {
        await session.readExactly(1);
        if (isAbort) session.abort();
        else await session.close();
      }, async (client) => {
        client.write("a");
        client.resume();
        const { promise, resolve } = Promise.withResolvers<unknown>();
        client.on("error", resolve);
        client.on("end", () => client.end(() => resolve("end")));
        const ending = await promise;
        if (isAbort) assert.equal((ending as { code?: string }).code, "ECONNRESET");
        else assert.equal(ending, "end");
      });
    }
  },

  "input that arrives while nothing is read is bounded": async () => {
    const read = Promise.withResolvers<void>();
    await withClient({}, async (session) => {
      await session.readExactly(1);
      await read.promise;
      assert.equal(await readSlowly(session, 1), MUCH.length);
    }, async (client) => {
      client.end(MUCH);
      let before = -1;
      while (client.bytesWritten - client.writableLength !== before) { // until the system takes no more
        before = client.bytesWritten - client.writableLength;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert(client.writableLength > 0, "everything was taken in");
      read.resolve();
      await once(client.resume(), "end");
    });
  },
};
