import { strict as assert } from "node:assert";
import process from "node:process";
import { type ServeOptions, type Server, Session } from "@parley/tcp";
import { memoryListener } from "@parley/tcp/transport";
import { answer, expectLine, readPems, type Scenarios, until, withServer } from "./_harness.ts";

const { ca, server: own } = readPems();

/** The size of the heap, in bytes, after collections: handles of the runtime are let go of in turns between two. */
async function heapUsed(): Promise<number> {
  const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(isFull: boolean): void } };
  for (let at = 0; at < 4; at++) {
    if (Bun !== undefined) Bun.gc(true);
    else gc!();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return process.memoryUsage().heapUsed;
}

/** How much the heap grows with each repetition, in bytes. `settle` waits until the server has noticed all of them. */
async function growthBy(
  count: number,
  repeat: () => Promise<void>,
  settle: (repeated: number) => Promise<void>,
): Promise<number> {
  for (let at = 0; at < count; at++) await repeat();
  await settle(count);
  const before = await heapUsed();
  for (let at = 0; at < count; at++) await repeat();
  await settle(2 * count);
  return (await heapUsed() - before) / count;
}

/** Runs a function with a server that listens in memory. */
async function inMemory(
  options: ServeOptions,
  run: (dial: () => Promise<Session>, server: Server) => Promise<void>,
): Promise<void> {
  const listener = memoryListener();
  await withServer(
    { ...options, listener },
    answer,
    (server) => run(async () => new Session(await listener.connect()), server),
  );
}

/** These need a process that does nothing else. */
export const memory: Scenarios = {
  "a client that leaves before its TLS handshake leaves nothing behind": () =>
    inMemory({ tls: own }, async (dial, server) => {
      const leave = async (): Promise<void> => {
        const session = await dial();
        await session.closeWrite();
        await session.readLine().catch(() => {});
        session.abort();
      };
      const growth = await growthBy(1000, leave, async (left) => {
        await until(() => server.stats().refused === left);
      });
      assert(growth < 3000, `${growth} bytes for each`); // a socket that is kept takes 8000
    }),

  "a session over TLS leaves nothing behind": () =>
    inMemory({ tls: own }, async (dial, server) => {
      const talk = async (): Promise<void> => {
        const session = await dial();
        await session.upgradeTls({ ca, serverName: "localhost" });
        await session.send("rose\n");
        await expectLine(session, "re:rose");
        session.abort();
      };
      const growth = await growthBy(300, talk, async () => {
        await until(() => server.stats().active === 0);
      });
      assert(growth < 10_000, `${growth} bytes for each`); // a session that is kept takes 50,000
    }),
};
