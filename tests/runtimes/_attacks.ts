import { strict as assert } from "node:assert";
import { serve } from "@parley/tcp";
import {
  answer,
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

/** Whether a server still answers. */
function answers(server: Parameters<typeof dial>[0]): Promise<void> {
  return withSession(dial(server), async (session) => {
    await session.send("rose\n");
    await expectLine(session, "re:rose");
  });
}

export const attacks: Scenarios = {
  "clients that connect and reset do not end other sessions": () =>
    withServer({}, answer, async (server) => {
      for (let round = 0; round < 10; round++) {
        const sockets = await Promise.all(Array.from({ length: 20 }, () => rawClient(server)));
        for (const socket of sockets) socket.resetAndDestroy();
      }
      await answers(server);
      await until(() => server.stats().active === 0);
    }),

  "silent clients do not keep others out": () =>
    withServer({ maxSessions: 500 }, answer, async (server) => {
      const sockets = await Promise.all(Array.from({ length: 200 }, () => rawClient(server)));
      await answers(server);
      for (const socket of sockets) socket.destroy();
      await until(() => server.stats().active === 0);
    }),

  "a peer that sends endlessly gets back-pressure": async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    await withServer({}, async (session) => {
      await session.readLine();
      await promise; // and reads nothing meanwhile
    }, async (server) => {
      const socket = await rawClient(server);
      socket.write("go\n");
      const chunk = pattern(1024 * 1024);
      let taken = 0;
      for (let at = 0; at < 64; at++) socket.write(chunk, (error) => void (error ?? taken++));
      let before = -1;
      while (taken !== before) {
        before = taken;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      assert(taken < 40, `${taken} MiB were taken in`); // what the system buffers itself is less
      assert(server.stats().bytesRead < 4 * 1024 * 1024, `${server.stats().bytesRead} were read`);
      resolve();
      socket.destroy();
    });
  },

  "a handler that throws ends its own session only": async () => {
    const errors: unknown[] = [];
    await withServer({ onError: (error) => void errors.push(error) }, async (session) => {
      const line = await session.readLine();
      if (line === "throw") throw new Error("thrown");
      await session.send(`re:${line}\n`);
      await answer(session);
    }, async (server) => {
      const socket = await rawClient(server);
      socket.write("throw\n");
      await readAll(socket);
      await answers(server);
      assert.deepEqual(errors.map(String), ["Error: thrown"]);
    });
  },

  "a server closes while clients connect": async () => {
    for (let round = 0; round < 10; round++) {
      const server = serve({ port: 0, onError: () => {} }, answer);
      await server.listening;
      const dialled = Promise.allSettled(Array.from({ length: 10 }, () => dial(server)));
      server.abort();
      await server.finished;
      for (const one of await dialled) if (one.status === "fulfilled") one.value.abort();
    }
  },
};
