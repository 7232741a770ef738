import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import { SessionRates } from "../../serve/session_rates.ts";
import { blockOf } from "../../serve/cidr.ts";
import { connect } from "../../mod.ts";
import { BlockKeys } from "../../workers/block_keys.ts";
import { BLOCK_CELLS, BlockTable } from "../../workers/block_table.ts";
import { serveWorkers, type ServeWorkersOptions } from "../../workers/mod.ts";
import { makeLimitsMemory, SharedLimits } from "../../workers/shared_limits.ts";
import { makeRatesMemory, SharedRates } from "../../workers/shared_rates.ts";
import { bounded, clock, until } from "../_serving.ts";
import { dial, dialEach, kill, serveCommands, service, stop, withWorkers } from "./_workers.ts";

/** Has many clients come, `inFlight` at a time, each of which leaves as soon as it is in, and returns the most sessions at a time. */
async function storm(
  options: Partial<ServeWorkersOptions>,
  clients: number,
  inFlight: number,
): Promise<
  { most: number; served: number; byWorker: number[] }
> {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const server = serveWorkers(service("_counting"), {
    port: 0,
    workers: 4,
    workerData: cells,
    ...options,
  });
  await server.listening;
  const { port } = server.addr as Deno.NetAddr;
  let left = clients;
  let served = 0;
  const visit = async (): Promise<void> => {
    while (left-- > 0) {
      const client = await connect({ port });
      if (await client.readLine() === "in") served++;
      await client.close();
    }
  };
  await Promise.all(Array.from({ length: inFlight }, visit));
  await until(() => Atomics.load(cells, 0) === 0);
  await until(() => server.stats().active === 0);
  const byWorker = server.stats().workers.map(({ stats }) => stats.accepted);
  await server.shutdown();
  return { most: Atomics.load(cells, 1), served, byWorker };
}

Deno.test(
  "serveWorkers() never has more than maxSessions in all workers, and lets the others wait",
  withWorkers,
  async () => {
    const { most, served, byWorker } = await storm({ maxSessions: 50 }, 2000, 200);
    assertEquals([most, served], [50, 2000]);
    assert(byWorker.every((accepted) => accepted > 0), `${byWorker}`);
  },
);

Deno.test(
  "serveWorkers() serves one session at a time with maxSessions: 1",
  withWorkers,
  async () => {
    const { most, served } = await storm({ maxSessions: 1 }, 200, 20);
    assertEquals([most, served], [1, 200]);
  },
);

Deno.test(
  "serveWorkers() refuses whoever is over maxSessions in all workers",
  withWorkers,
  async () => {
    const { most, served, byWorker } = await storm(
      { maxSessions: 50, overload: "refuse" },
      2000,
      200,
    );
    assertEquals([most, served], [50, byWorker.reduce((a, b) => a + b)]);
  },
);

Deno.test("serveWorkers() counts maxSessionsPerAddress over all workers", withWorkers, async () => {
  const server = serveWorkers(service("_counting"), {
    port: 0,
    workers: 3,
    workerData: new Int32Array(new SharedArrayBuffer(8)),
    maxSessionsPerAddress: 5,
  });
  await server.listening;
  const { port } = server.addr as Deno.NetAddr;
  const from = async (localAddress: string): Promise<[net.Socket, boolean]> => {
    const socket = net.connect({ port, host: "127.0.0.1", localAddress });
    socket.on("error", () => {});
    const isIn = await Promise.race([
      once(socket, "data").then(() => true),
      once(socket, "close").then(() => false),
    ]);
    return [socket, isIn];
  };
  for (let round = 0; round < 3; round++) {
    const sockets: net.Socket[] = [];
    for (const address of ["127.0.0.1", "127.0.0.2"]) {
      const visits = await Promise.all(Array.from({ length: 20 }, () => from(address)));
      assertEquals(visits.filter(([, isIn]) => isIn).length, 5);
      sockets.push(...visits.map(([socket]) => socket));
    }
    for (const socket of sockets) socket.destroy();
    // Figures are late: these are those after all that.
    await until(() => {
      const { active, accepted, refusals } = server.stats();
      return active === 0 && accepted === 10 * (round + 1) &&
        refusals.maxSessionsPerAddress === 30 * (round + 1);
    });
  }
  await server.shutdown();
});

Deno.test("serveWorkers() gives back what a worker had that died", withWorkers, async () => {
  const { server } = await serveCommands({ maxSessions: 4, maxSessionsPerAddress: 4 });
  for (let round = 1; round <= 3; round++) {
    const clients = await dialEach(server, 2);
    clients.push(await dial(server), await dial(server));
    for (const client of clients) await client.send("thread\n");
    for (const client of clients) assert(await client.readLine());
    await Promise.all(clients.map((client) => kill(client)));
    await until(() =>
      server.stats().workers.every(({ deaths, state }) => deaths === round && state === "serving")
    );
  }
  await stop(server);
});

Deno.test("SharedLimits are those of all workers, and forget one that died", bounded, () => {
  const memory = makeLimitsMemory({ maxSessions: 4, maxSessionsPerAddress: 2 }, 3, true);
  const told: number[] = [];
  const limits = [0, 1, 2].map((worker) =>
    new SharedLimits(memory, worker, () => told.push(worker))
  );
  const [a, b, c] = limits as [SharedLimits, SharedLimits, SharedLimits];
  const block = blockOf(new Uint8Array([10, 0, 0, 1]), 32);
  assertEquals([a.takeBlock(block), b.takeBlock(block), c.takeBlock(block)], [true, true, false]);
  assertEquals([a.take(), b.take(), b.take(), a.take()], [true, true, true, true]);
  assertEquals([c.take(), c.isFull, a.count], [false, true, 4]);
  assertEquals(told, []);
  a.release();
  assertEquals([told, c.take()], [[0], true]); // c was told once
  c.release();
  assertEquals(told, [0]);
  a.clear(1);
  assertEquals([a.count, c.takeBlock(block), c.takeBlock(block)], [1, true, false]);
  a.releaseBlock(block);
  assertEquals([b.takeBlock(block), a.takeBlock(block)], [true, false]);
});

Deno.test("SharedLimits free a lock whose worker died", bounded, () => {
  const memory = makeLimitsMemory({ maxSessions: 4, maxSessionsPerAddress: Infinity }, 2, true);
  const limits = new SharedLimits(memory, 0, () => {});
  new Int32Array(memory.buffer)[0] = 2; // the second worker has died with it
  limits.clear(1);
  assertEquals(limits.take(), true);
});

Deno.test("SharedRates decide as SessionRates do, for all workers", bounded, () => {
  for (const waits of [false, true]) {
    for (let round = 0; round < 20; round++) {
      const sessionRate = {
        perSecond: 2 ** Math.floor(Math.random() * 4),
        burst: 1 + Math.floor(Math.random() * 10),
        waits,
      };
      const memory = makeRatesMemory(sessionRate);
      const seeds = BlockKeys.makeSeeds();
      const shared = [new SharedRates(memory, seeds), new SharedRates(memory, seeds)];
      using time = clock();
      const own = new SessionRates(sessionRate);
      for (let step = 0; step < 500; step++) {
        time.now += 125 * Math.floor(Math.random() * 3); // both count exactly
        const block = blockOf(new Uint8Array([10, 0, 0, Math.random() * 4]), 32);
        const [expected, got] = [own.take(block), shared[step % 2]!.take(block, 1e12 + time.now)];
        if (expected === undefined || got === undefined) assertEquals(got, expected);
        else assertAlmostEquals(got, expected, 0.1);
      }
    }
  }
});

Deno.test(
  "SharedRates outlive a clock that is set back, and more addresses than they remember",
  bounded,
  () => {
    const rates = new SharedRates(
      makeRatesMemory({ perSecond: 1, burst: 2, waits: false }),
      BlockKeys.makeSeeds(),
    );
    const block = blockOf(new Uint8Array([10, 0, 0, 1]), 32);
    assertEquals([1, 2, 3].map(() => rates.take(block, 9e12)), [0, 0, undefined]);
    assertEquals(rates.take(block, 1e12), undefined);
    assertEquals(rates.take(block, 1e12 + 500), undefined);
    assertEquals(rates.take(block, 1e12 + 1000), 0);
    for (let i = 0; i < 200_000; i++) {
      const ip = new Uint8Array([11, i >> 16, i >> 8, i]);
      assertEquals(rates.take(blockOf(ip, 32), 1e12 + 5000), 0);
    }
  },
);

Deno.test("serveWorkers() counts sessionRate over all workers", withWorkers, async () => {
  const server = serveWorkers(service("_service"), {
    port: 0,
    workers: 3,
    sessionRate: { perSecond: 1, burst: 50 },
  });
  await server.listening;
  const begun = performance.now();
  const clients = await Promise.all(Array.from({ length: 200 }, () => dial(server)));
  await until(() => server.stats().accepted + server.stats().refusals.sessionRate === 200);
  const { accepted } = server.stats();
  const refilled = Math.ceil((performance.now() - begun) / 1000);
  assert(accepted >= 50 && accepted <= 50 + refilled, `${accepted} of 50 + ${refilled}`);
  await stop(server, clients);
});

Deno.test("BlockTable counts as a Map does", bounded, () => {
  for (let round = 0; round < 20; round++) {
    const capacity = BlockTable.capacityFor(40);
    const cells = new Int32Array(capacity * BLOCK_CELLS);
    const keys = new BlockKeys(BlockKeys.makeSeeds());
    const table = new BlockTable(cells, keys);
    const counts = new Map<string, number>();
    let all = 0;
    for (let step = 0; step < 2000; step++) {
      const ip = Math.random() < 0.5
        ? new Uint8Array([10, 0, 0, Math.random() * 60])
        : new Uint8Array([0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), Math.random() * 60]);
      const block = blockOf(ip, ip.length * 8);
      const count = counts.get(block) ?? 0;
      if (Math.random() < 0.5 && all < 40) {
        table.add(keys.keyOf(block));
        counts.set(block, count + 1);
        all++;
      } else if (count > 0) {
        table.remove(keys.keyOf(block));
        counts.set(block, count - 1);
        all--;
      }
      for (const [block, count] of counts) assertEquals(table.count(keys.keyOf(block)), count);
    }
    for (const [block, count] of counts) {
      for (let i = 0; i < count; i++) table.remove(keys.keyOf(block));
    }
    assertEquals(cells.every((cell) => cell === 0), true);
  }
  assertThrows(() => BlockTable.capacityFor(2 ** 30), RangeError, "maxSessions must be at most");
});
