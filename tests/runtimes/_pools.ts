import { strict as assert } from "node:assert";
import {
  MessageQueue,
  PoolExhaustedError,
  QueueOverflowError,
  requests,
  type Session,
  sessionPool,
} from "@parley/tcp";
import {
  answer,
  dial,
  expectLine,
  portOf,
  rawClient,
  readAll,
  type Scenarios,
  until,
  withServer,
  withSession,
} from "./_harness.ts";

/** Greets, and answers each line with `re:` and the line. */
async function greet(session: Session): Promise<void> {
  await session.send("hello\n");
  await answer(session);
}

/** A port on which nothing listens. */
function unusedPort(): Promise<number> {
  return withServer({}, answer, (server) => Promise.resolve(portOf(server)));
}

export const pools: Scenarios = {
  "a pool lets callers wait, and no longer than they want": () =>
    withServer({}, answer, async (server) => {
      const pool = sessionPool({ port: portOf(server), maxSessions: 1, maxWaiting: 1 });
      const lease = await pool.get();
      await assert.rejects(pool.get({ timeout: 20 }), PoolExhaustedError);
      const next = pool.get();
      await assert.rejects(pool.get(), PoolExhaustedError);
      await lease.session.send("rose\n");
      await expectLine(lease.session, "re:rose");
      lease.release();
      assert.throws(() => lease.session, TypeError);
      (await next).release();
      await pool.close();
    }),

  "a pool sets sessions up, and replaces those that have ended": () => {
    let setUps = 0;
    return withServer({}, greet, async (server) => {
      const pool = sessionPool({
        port: portOf(server),
        async setUp(session: Session): Promise<void> {
          setUps++;
          await expectLine(session, "hello");
        },
      });
      for (let count = 1; count <= 3; count++) {
        await pool.use(async (session) => {
          await session.send("rose\n");
          await expectLine(session, "re:rose");
        });
        assert.equal(setUps, count);
        for (const session of server.sessions) session.abort();
        await until(() => pool.sessions === 0);
      }
      await pool.close();
    });
  },

  "a pool goes on to the next address": async () => {
    const nowhere = await unusedPort();
    await withServer({}, answer, async (server) => {
      const addresses = [{ port: nowhere }, { port: portOf(server) }];
      const pool = sessionPool({ addresses });
      await pool.use(async (session) => {
        await session.send("rose\n");
        await expectLine(session, "re:rose");
      });
      await pool.close();
    });
  },

  "pushes beside replies go into a queue": () =>
    withServer({}, async (session) => {
      for await (const line of session.lines()) {
        await session.send(`!1 ${line}\n!2 ${line}\nre:${line}\n`);
      }
    }, (server) =>
      withSession(dial(server), async (session) => {
        const news = new MessageQueue<string>({ maxSize: 3, overflow: "drop-oldest" });
        const rpc = requests(session.lines(), {
          isReply: (line) => !line.startsWith("!"),
          onUnmatched: (line) => void news.push(line),
        });
        const replies = await Promise.all([rpc.request("rose"), rpc.request("tulip")]);
        assert.deepEqual(replies, ["re:rose", "re:tulip"]);
        assert.deepEqual([news.length, news.dropped], [3, 1]);
        const next = async (): Promise<string | undefined> => (await news.next()).value;
        const lines = [await next(), await next(), await next()];
        assert.deepEqual(lines, ["!2 rose", "!1 tulip", "!2 tulip"]);
        await rpc.close();
      })),

  "a queue that overflows ends the loop of a session, and so does the session's end": async () => {
    const queues: MessageQueue<string>[] = [];
    const ends: unknown[] = [];
    await withServer({}, async (session) => {
      const queue = new MessageQueue<string>({ maxSize: 2, signal: session.signal });
      queues.push(queue);
      try {
        for await (const line of queue) await session.send(`${line}\n`);
      } catch (error) {
        ends.push(error);
      }
    }, async (server) => {
      const socket = await rawClient(server);
      await until(() => queues.length === 1);
      for (const name of ["a", "b", "c", "d"]) queues[0]!.push(name);
      await readAll(socket);
      assert(ends[0] instanceof QueueOverflowError, String(ends[0]));
      const session = await dial(server);
      await until(() => queues.length === 2);
      queues[1]!.push("rose");
      await expectLine(session, "rose");
      for (const served of server.sessions) served.abort();
      await until(() => ends.length === 2);
      session.abort();
    });
  },
};
