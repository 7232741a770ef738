// Runs the scenarios, and prints the results as one line of JSON.

import process from "node:process";
import type { Scenarios } from "./_harness.ts";
import { attacks } from "./_attacks.ts";
import { datagrams } from "./_datagrams.ts";
import { endings } from "./_endings.ts";
import { hubs } from "./_hubs.ts";
import { operations } from "./_operations.ts";
import { pools } from "./_pools.ts";
import { servers } from "./_servers.ts";
import { sessions } from "./_sessions.ts";
import { tls } from "./_tls.ts";
import { tlsCertificates } from "./_tls_certificates.ts";

/** Ends a scenario that hangs: none takes long. */
const DEADLINE = 60_000;
/** How many scenarios run at once. */
const AT_ONCE = 4;

const failures: { name: string; problem: string }[] = [];
const all: Scenarios = {
  ...sessions,
  ...servers,
  ...attacks,
  ...datagrams,
  ...endings,
  ...hubs,
  ...operations,
  ...pools,
  ...tls,
  ...tlsCertificates,
};
const [, , ...names] = process.argv;
const queue = Object.keys(all).filter((name) => names.length === 0 || names.includes(name));
const count = queue.length;

async function run(name: string): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not done within ${DEADLINE} ms`)), DEADLINE);
  try {
    await Promise.race([all[name]!(), promise]);
  } catch (error) {
    const { stack, cause } = error as Error;
    failures.push({ name, problem: `${stack ?? error} (cause: ${cause})` });
  } finally {
    clearTimeout(timer);
  }
}

async function runAll(): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) await run(name);
}

process.on("unhandledRejection", (error) => {
  failures.push({ name: "unhandled rejection", problem: String((error as Error).stack ?? error) });
});
await Promise.all(Array.from({ length: AT_ONCE }, runAll));
console.log(JSON.stringify({ count, failures }));
process.exit(failures.length === 0 ? 0 : 1);
