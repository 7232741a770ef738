import { assert, assertEquals, assertMatch } from "@std/assert";
import { serve } from "@parley/tcp";
import { redis } from "../../examples/redis/redis.ts";
import { canNet, canRun } from "../_permissions.ts";
import { fromBytes, hasRedisTools, toBytes } from "../_redis.ts";
import { bounded, portOf } from "../_serving.ts";

const withTools = { ...bounded, ignore: !hasRedisTools };
const withDeno = { ...bounded, ignore: !canNet || !await canRun("deno") };
const root = new URL("../..", import.meta.url);

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(program: string, args: string[], stdin = ""): Promise<Ran> {
  const process = new Deno.Command(program, {
    args,
    cwd: root,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(toBytes(stdin));
  await writer.close();
  const { code, stdout, stderr } = await process.output();
  return { code, stdout: fromBytes(stdout), stderr: fromBytes(stderr) };
}

for (const flags of [["-2"], ["-3"]]) {
  Deno.test(`redis serves redis-cli ${flags}`, withTools, async () => {
    await using server = serve({ port: 0 }, redis());
    const script = [
      "PING",
      "SET name rose EX 100",
      "GET name",
      "TTL name",
      'SET "a b" "\\x00\\xff"',
      'GET "a b"',
      "HSET hash a 1 b 2",
      "HGETALL hash",
      "RPUSH list a b",
      "LRANGE list 0 -1",
      "LPOP nothing",
      "INCR name",
      "NONSENSE a",
    ];
    const args = ["-p", `${portOf(server)}`, "--no-raw", ...flags];
    const { code, stdout, stderr } = await run("redis-cli", args, script.join("\n") + "\n");
    assertEquals([code, stderr], [0, ""]);
    const [pair, arrow] = flags[0] === "-3" ? ["1# ", " => "] : ["1) ", "\n2) "];
    assertEquals(
      stdout.replaceAll(/\n+/g, "\n"),
      [
        "PONG",
        "OK",
        '"rose"',
        "(integer) 100",
        "OK",
        '"\\x00\\xff"',
        "(integer) 2",
        `${pair}"a"${arrow}"1"`,
        flags[0] === "-3" ? '2# "b" => "2"' : '3) "b"\n4) "2"',
        "(integer) 2",
        '1) "a"\n2) "b"',
        "(nil)",
        "(error) ERR value is not an integer or out of range",
        "(error) ERR unknown command 'NONSENSE', with args beginning with: 'a' ",
        "",
      ].join("\n"),
    );
  });
}

Deno.test("redis serves redis-cli --pipe", withTools, async () => {
  await using server = serve({ port: 0 }, redis());
  const commands = Array.from({ length: 5000 }, (_, i) => `SET key:${i} ${i}\r\n`).join("");
  const { code, stdout } = await run("redis-cli", ["-p", `${portOf(server)}`, "--pipe"], commands);
  assertEquals(code, 0);
  assertMatch(stdout, /errors: 0, replies: 5000\n/);
});

Deno.test("redis serves redis-cli -x with a value of megabytes", withTools, async () => {
  await using server = serve({ port: 0 }, redis());
  const value = "\0\r\n\xff".repeat(1024 * 1024);
  const args = ["-p", `${portOf(server)}`];
  assertEquals((await run("redis-cli", [...args, "-x", "SET", "a"], value)).stdout, "OK\n");
  assert((await run("redis-cli", [...args, "GET", "a"])).stdout === `${value}\n`);
});

/** All but those that need commands that are not here. */
const TESTS = [
  ...["ping", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop", "sadd", "hset"],
  ...["lrange_100", "mset"],
];

for (const inFlight of [1, 16]) {
  Deno.test(`redis serves redis-benchmark with ${inFlight} in flight`, withTools, async () => {
    const errors: unknown[] = [];
    await using server = serve({ port: 0, onError: (error) => errors.push(error) }, redis());
    const { code, stdout, stderr } = await run("redis-benchmark", [
      ...["-p", `${portOf(server)}`, "-P", `${inFlight}`, "-c", "50", "-n", "2000", "-r", "1000"],
      ...["--csv", "-t", TESTS.join(",")],
    ]);
    assertEquals([code, stderr, errors], [0, "", []]);
    const names = stdout.split("\n").slice(1, -1).map((line) => line.split(",")[0]);
    assertEquals(names.length, TESTS.length + 2, stdout); // ping has two, and LRANGE needs a list
    assertEquals(server.stats().handlerErrors, 0);
  });
}

Deno.test("redis serves the clients ioredis and redis", withDeno, async () => {
  const errors: unknown[] = [];
  await using server = serve({ port: 0, onError: (error) => errors.push(error) }, redis());
  const { code, stdout, stderr } = await run("deno", [
    ...["run", "--quiet", "--allow-all", "tests/_redis_clients.ts", `${portOf(server)}`],
  ]);
  assertEquals([code, stdout, errors], [
    0,
    "ioredis\nredis with RESP2\nredis with RESP3\n",
    [],
  ], stderr);
});

Deno.test(
  "redis as a program says where it listens, and drains when it is told to stop",
  withDeno,
  async () => {
    const process = new Deno.Command("deno", {
      args: ["run", "--quiet", "--allow-net", "examples/redis/server.ts", "0"],
      cwd: root,
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    let isTold = false;
    const tell = (): void => {
      if (!isTold) process.kill("SIGTERM"); // a second one, at the very end, would find no listener
      isTold = true;
    };
    try {
      const output = process.stdout.values({ preventCancel: true });
      const line = fromBytes((await output.next()).value!);
      assertMatch(line, /^ready for Redis clients on 127\.0\.0\.1:\d+\n$/);
      await output.return!();
      const port = Number(line.trim().split(":")[1]);
      using client = await Deno.connect({ hostname: "127.0.0.1", port });
      await client.write(toBytes("PING\r\n"));
      const buffer = new Uint8Array(16);
      assertEquals(await client.read(buffer), 7);
      tell();
      assertEquals(await client.read(buffer), null);
    } finally {
      tell();
      await process.stdout.pipeTo(new WritableStream());
    }
    assertEquals((await process.status).code, 0);
  },
);
