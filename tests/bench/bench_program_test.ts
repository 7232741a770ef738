// Runs the benchmark harness with its smallest settings: that it works, not what it measures.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Run } from "../../bench/harness/results.ts";
import { canNet, canRead, canRun, canWrite } from "../_permissions.ts";
import { runModule } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const cannotMeasure = Deno.build.os !== "linux" || navigator.hardwareConcurrency < 2 || !canNet ||
  !canRead || !canWrite ||
  !await canRun("deno") || !await canRun("gcc") || !await canRun("taskset");
const measuring = { ignore: cannotMeasure, timeout: 120_000 };
const ON = "(needs gcc and taskset)";

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the harness. */
async function bench(...args: string[]): Promise<Ended> {
  return await ended("deno", ["run", "--quiet", "--allow-all", "bench/main.ts", ...args]);
}

async function ended(program: string, args: string[]): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: new URL("../..", import.meta.url),
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const TINY = ["--quick", "--case", "echo-64b-1", "--only", "Parley, bytes"];
const [OURS, BY_HAND] = ["Parley, bytes", "Deno.listen by hand"];

Deno.test(
  `bench measures, records and draws, and compares with the record ${ON}`,
  measuring,
  async () => {
    await using folder = await makeTempDir();
    const file = `${folder.path}/results.json`;
    const first = await bench(...TINY, "--output", folder.path);
    assertEquals(first.code, 0, first.stderr);
    assertMatch(first.stderr, /^0 %: echo-64b-1, round 1 of 1$/m);
    for (const name of [OURS, BY_HAND]) {
      assertMatch(first.stdout, RegExp(`^\\| ${name} +\\|( +[\\d.]+ \\|){8}$`, "m"));
    }

    const text = await Deno.readTextFile(file);
    assertMatch(text, /^ *"cost": \[[\d.]+\],$/m); // a series in one line
    const { runs } = JSON.parse(text) as { runs: Run[] };
    assertEquals(runs.length, 1);
    const { commit, date, machine, versions, settings, cases: [result] } = runs[0]!;
    assertMatch(commit, /^([0-9a-f]{40}|none)$/);
    assert(Date.parse(date) > 0);
    assertEquals(Object.keys(versions), ["parley", "deno"]);
    assertStringIncludes(versions["deno"]!, Deno.version.deno);
    assertEquals([settings["rounds"], typeof machine["cpu"]], [1, "string"]);
    assertEquals(result!.contenders.map(({ name }) => name).sort(), [BY_HAND, OURS]);
    for (const { series: { cost, rate, p50, p99, p999, pss, rss } } of result!.contenders) {
      for (const figures of [cost, rate, p50, p99, p999, pss, rss]) {
        assert(figures?.length === 1 && figures[0]! > 0);
      }
      assert(p50![0]! <= p99![0]! && p99![0]! <= p999![0]!);
      assert(pss[0]! <= rss[0]!);
    }

    const svg = await Deno.readTextFile(`${folder.path}/charts/echo-64b-1.svg`);
    assertStringIncludes(svg, OURS);
    assertStringIncludes(svg, BY_HAND);
    const formatted = await ended("deno", ["fmt", "--check", file]);
    assertEquals(formatted.code, 0, formatted.stderr);

    // As if it had been recorded that ours cost a hundred times as much, and then a hundredth.
    for (const [factor, code, says] of [[100, 0, "no worse"], [0.01, 1, "worse: "]] as const) {
      const contenders = result!.contenders.map((one) => ({
        ...one,
        series: one.isOurs
          ? { ...one.series, cost: one.series.cost.map((cost) => cost * factor) }
          : one.series,
      }));
      const recorded = { ...runs[0]!, isDirty: false, cases: [{ ...result!, contenders }] };
      await Deno.writeTextFile(file, JSON.stringify({ runs: [recorded] }));
      const checked = await bench(...TINY, "--check", "--output", folder.path);
      assertEquals(checked.code, code, checked.stdout);
      assertMatch(checked.stdout, RegExp(`^(echo-64b-1: )?${says}`, "m"));
      assertEquals(JSON.parse(await Deno.readTextFile(file)).runs.length, 1);
    }
  },
);

Deno.test(`bench says what it cannot do ${ON}`, measuring, async () => {
  const unknown = await bench("--case", "nothing");
  assertEquals(unknown.code, 2);
  assertStringIncludes(unknown.stderr, 'error: there is no case "nothing": see --list');
  const nobody = await bench("--case", "echo-64b-1", "--only", "Parley,Go");
  assertEquals(nobody.code, 2);
  assertStringIncludes(nobody.stderr, 'error: there is no contender with "Parley,Go" in its name');
  assertEquals((await bench("--fast")).code, 2);
  const { code, stdout } = await bench("--list");
  assertEquals(code, 0);
  assertMatch(stdout, /^lines-16: Lines of 32 B/m);
});

/** Starts the harness where there is no program but `taskset`, Deno, and Node if Deno is a script of it. */
const WITHOUT_GCC = `
  deno=$(command -v deno)
  for tool in taskset node; do
    if path=$(command -v "$tool"); then ln -s "$path" "$0/$tool"; fi
  done
  PATH=$0 exec "$deno" run --quiet --allow-all bench/main.ts --quick`;

Deno.test(`bench says that gcc is missing ${ON}`, {
  ...measuring,
  ignore: cannotMeasure || !await canRun("bash"),
}, async () => {
  await using folder = await makeTempDir();
  const { code, stderr } = await ended("bash", ["-c", WITHOUT_GCC, folder.path]);
  assertEquals(code, 2);
  assertEquals(stderr, "error: the load needs gcc: install Debian's gcc and libc6-dev\n");
});

/** A server in one process with the load of it. What the load finds is printed. */
const LOADED = (hello: string, service: string, reply: string): string => `
  import { Generator } from "library/bench/harness/generator.ts";
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async (connection) => {
    await connection.write(new TextEncoder().encode("${hello}"));
    const buffer = new Uint8Array(1024);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) return connection.close();
      const request = buffer.slice(0, count);
      ${reply}
    }
  };
  (async () => {
    for await (const connection of listener) serve(connection).catch(() => {});
  })();
  const generator = await Generator.build();
  const server = { pid: Deno.pid, port: listener.addr.port };
  const load = { service: "${service}", connections: 3, size: 10 };
  for (const mode of ["talk", "connect"]) {
    try {
      const { units } = await generator.run(server, { ...load, mode }, { warmup: 1, duration: 1 });
      console.log(units > 0);
    } catch (error) {
      console.log(error.message);
    }
  }
  Deno.exit();
`;

const ECHO = "await connection.write(request);";
const BYTEWISE = "for (const byte of request) await connection.write(Uint8Array.of(byte));";
const WELCOME = "welcome!";
const CASES: [what: string, hello: string, service: string, reply: string, finds: RegExp][] = [
  ["takes right replies", "", "echo", ECHO, /^true\ntrue\n$/],
  ["takes replies in pieces", "", "echo", BYTEWISE, /^true\ntrue\n$/],
  ["takes a hello", WELCOME, "broadcast", ECHO, /^true\ntrue\n$/],
  ["sees a wrong byte", "", "echo", `request[9] ^= 1; ${ECHO}`, /^(load: .* wrong.*\n){2}$/],
  ["sees what nobody asked for", "", "echo", ECHO + ECHO, /^(load: .* wrong.*\n){2}$/],
  ["sees a wrong hello", "welcome?", "broadcast", ECHO, /^(load: .*wrong: wanted !.*\n){2}$/],
  ["misses the greeting", WELCOME, "greeting", ECHO, /^(load: .*wanted hello, .*\n){2}$/],
  ["sees a leaver", "", "echo", "return connection.close();", /^(load: .*(closed|lost).*\n){2}$/],
];

for (const [what, hello, service, reply, finds] of CASES) {
  Deno.test(`the load ${what} ${ON}`, measuring, async () => {
    const { stdout, stderr } = await runModule(LOADED(hello, service, reply));
    assertMatch(stdout, finds, stderr);
  });
}

Deno.test(
  `the load tells the CPU time of a process as the system does ${ON}`,
  measuring,
  async () => {
    const { stdout, stderr } = await runModule(`
    import { Generator } from "library/bench/harness/generator.ts";
    const generator = await Generator.build();
    const told = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    };
    while (told() < 0.2) Math.random();
    const before = told();
    const cpuTime = await generator.cpuTime(Deno.pid);
    console.log(cpuTime >= before - 0.02, cpuTime <= told() + 0.02);
  `);
    assertEquals(stdout, "true true\n", stderr);
  },
);

Deno.test(`bench continues without a contender that fails ${ON}`, measuring, async () => {
  const { stdout, stderr } = await runModule(`
    import { CASES } from "library/bench/harness/cases.ts";
    import { Generator } from "library/bench/harness/generator.ts";
    import { Progress } from "library/bench/harness/progress.ts";
    import { runCase } from "library/bench/harness/rounds.ts";
    const peer = { version: "", command: ["false"], collects: false, env: {} };
    const entries = [{ contender: { name: "nobody", peer: "c" }, peer, figures: [] }];
    const settings = { rounds: 2, warmup: 1, duration: 1, maxConnections: 1 };
    const generator = await Generator.build();
    const field = { entries, missing: {} };
    const result = await runCase(CASES[0], field, generator, settings, new Progress(2));
    console.log(result.contenders.length, result.failed.nobody);
  `);
  assertEquals(
    stdout,
    "0 in round 1: false PORT does not listen: it ended with code 1\n",
    stderr,
  );
});

Deno.test("bench/transfer.ts compares the two programs with nc and socat", {
  timeout: 60_000,
  ignore: cannotMeasure || !await canRun("bash") || !await canRun("nc") || !await canRun("socat"),
}, async () => {
  const program = ["run", "--quiet", "--allow-all", "bench/transfer.ts"];
  const { code, stdout, stderr } = await ended(
    "deno",
    [...program, "--megabytes", "1", "--rounds", "1"],
  );
  assertEquals([code, stderr], [0, ""]);
  const rows = stdout.trim().split("\n").slice(2);
  assertEquals(rows.length, 4);
  for (const row of rows) {
    assertMatch(row, /^\| (nc|client\.ts) +\| (socat|server\.ts) +\| +\d+ \| [\d.]+ \(.*\) +\|$/);
  }
  const misused = await ended("deno", [...program, "--rounds", "0"]);
  const problem = "error: --rounds must be a whole number from 1 on, got 0\n";
  assertEquals([misused.code, misused.stderr], [1, problem]);
});

Deno.test("bench/relay.ts compares the proxy with socat and HAProxy", {
  timeout: 60_000,
  ignore: cannotMeasure || !await canRun("bash") || !await canRun("socat") ||
    !await canRun("haproxy"),
}, async () => {
  const program = ["run", "--quiet", "--allow-all", "bench/relay.ts"];
  const { code, stdout, stderr } = await ended(
    "deno",
    [...program, "--megabytes", "1", "--rounds", "1"],
  );
  assertEquals([code, stderr], [0, ""]);
  const rows = stdout.trim().split("\n").slice(2);
  assertEquals(rows.length, 4);
  for (const row of rows) {
    assertMatch(row, /^\| [\w./, ]+ \| +\d+ \| [\d.]+ \(.*\) +\| +\d+ \| [\d.]+ \(.*\) +\|$/);
  }
  const misused = await ended("deno", [...program, "--rounds", "0"]);
  const problem = "error: --rounds must be a whole number from 1 on, got 0\n";
  assertEquals([misused.code, misused.stderr], [1, problem]);
});
