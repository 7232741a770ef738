// Measures what servers cost beside their peers. Linux, two cores; `bench/README.md` says what to install.
//
//     deno task bench            ten rounds
//     deno task bench --quick    two short rounds

import { type Contender, has, measure, redisBenchmark } from "./harness.ts";

const isQuick = Deno.args.includes("--quick");
const rounds = isQuick ? 2 : 10;
const here = (path: string): string => new URL(path, import.meta.url).pathname;
const deno = (
  path: string,
  ...args: string[]
): string[] => ["deno", "run", "-A", here(path), ...args, "PORT"];

if (!await has("redis-benchmark") || !await has("taskset")) Deno.exit(1);

await lines();
await redis();

async function lines(): Promise<void> {
  const contenders: Contender[] = [
    { name: "Parley, session.lines()", command: deno("peers/lines_parley.ts") },
    { name: "Deno, split and gathered by hand", command: deno("peers/lines_by_hand.ts") },
  ];
  if (await has("go")) {
    const binary = `${await Deno.makeTempDir()}/lines`;
    const { success } = await new Deno.Command("go", {
      args: ["build", "-o", binary, here("peers/lines.go")],
    }).output();
    if (success) contenders.unshift({ name: "Go, bufio", command: [binary, "PORT"] });
  }
  if (await has("node")) {
    contenders.push({
      name: "Node, readline",
      command: ["node", here("peers/lines_readline.mjs"), "PORT"],
    });
  }
  await measure({
    title: "Lines, 16 in flight on 50 connections",
    contenders,
    load: redisBenchmark("ping_inline", 16),
    rounds,
    requests: isQuick ? 200_000 : 3_000_000,
  });
}

async function redis(): Promise<void> {
  if (!await has("redis-server")) return;
  const contenders: Contender[] = [
    {
      name: "redis-server",
      command: ["redis-server", "--port", "PORT", "--save", "", "--appendonly", "no"],
    },
    { name: "examples/redis", command: deno("../examples/redis/server.ts") },
  ];
  for (const test of ["set", "get"]) {
    for (const depth of [1, 16]) {
      await measure({
        title: `${test.toUpperCase()}, ${depth} in flight on 50 connections`,
        contenders,
        load: redisBenchmark(test, depth),
        rounds,
        requests: (isQuick ? 1 : 5) * (depth === 1 ? 20_000 : 100_000),
      });
    }
  }
}
