/**
 * What a hub costs: a message to 1,000 members beside the loop by hand, and the memory of groups and memberships.
 *
 *     deno run --allow-env --v8-flags=--expose-gc bench/hub.ts
 *
 * @module
 */

import process from "node:process";
import { Hub } from "../hub/mod.ts";
import { prepare, Session } from "../session.ts";
import type { Connection } from "../transport/connection.ts";

const MEMBERS = 1000;
const ROUNDS = 41;
const MESSAGES = 200;
const GROUPS = 100_000;

const TEXT = "x".repeat(100);
const addr = { transport: "memory", name: "none" } as const;

/** A connection whose peer takes everything at once, so that nothing but the sending is measured. */
function sink(): Connection {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  return {
    ...{ remoteAddr: addr, localAddr: addr },
    read: () => promise,
    write: (data) => Promise.resolve(data.length),
    writeNow: (data: Uint8Array) => data.length,
    closeWrite: () => Promise.resolve(),
    close: () => reject(new Error("closed")),
  };
}

/** The CPU time of each message, in microseconds. */
async function timed(send: () => void): Promise<number> {
  const start = process.cpuUsage();
  for (let message = 0; message < MESSAGES; message++) {
    send();
    await new Promise((resolve) => process.nextTick(resolve)); // the sessions write
  }
  const { user, system } = process.cpuUsage(start);
  return (user + system) / MESSAGES;
}

async function speed(): Promise<void> {
  const sessions = new Set(Array.from({ length: MEMBERS }, () => new Session(sink())));
  const hub = new Hub();
  for (const session of sessions) hub.join("all", session);
  const byHub = (): void => void hub.publish("all", TEXT);
  const byHand = (): void => {
    const message = prepare(TEXT);
    for (const session of sessions) session.send(message);
  };
  const ratios: number[] = [];
  const [hubTimes, handTimes]: number[][] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const isFirst = round % 2 === 0;
    const first = await timed(isFirst ? byHub : byHand);
    const second = await timed(isFirst ? byHand : byHub);
    const [hubTime, handTime] = isFirst ? [first, second] : [second, first];
    ratios.push(hubTime / handTime);
    hubTimes!.push(hubTime);
    handTimes!.push(handTime);
  }
  const [low, middle, high] = [0.1, 0.5, 0.9].map((at) => quantile(ratios, at).toFixed(3));
  console.log(
    `a message to ${MEMBERS} members: ${quantile(hubTimes!, 0.5).toFixed(0)} µs, ` +
      `by hand ${quantile(handTimes!, 0.5).toFixed(0)} µs: ratio ${middle} (${low} to ${high})`,
  );
  await hub.close();
  for (const session of sessions) session.abort();
}

function memory(): void {
  const session = new Session(sink());
  const hub = new Hub({ maxGroupsPerSession: GROUPS });
  const names = Array.from({ length: GROUPS }, (_, at) => `group ${at}`);
  const before = heap();
  for (const name of names) hub.join(name, session);
  const each = (heap() - before) / GROUPS;
  console.log(`a group with its first member: ${each.toFixed(0)} bytes`);
  const others = Array.from({ length: 100 }, () => new Session(sink()));
  const start = heap();
  for (const other of others) for (const name of names.slice(0, 1000)) hub.join(name, other);
  const membership = (heap() - start) / (others.length * 1000);
  console.log(
    `a further membership: ${membership.toFixed(0)} bytes (100 sessions in 1,000 groups)`,
  );
}

function heap(): number {
  for (let time = 0; time < 3; time++) (globalThis as unknown as { gc(): void }).gc();
  return process.memoryUsage().heapUsed;
}

function quantile(values: number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round(at * (sorted.length - 1))]!;
}

await speed();
memory();
process.exit();
