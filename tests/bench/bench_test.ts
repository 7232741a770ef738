import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { readArguments } from "../../bench/harness/arguments.ts";
import type { Goal } from "../../bench/harness/case.ts";
import { CASES } from "../../bench/harness/cases.ts";
import { chart } from "../../bench/harness/chart.ts";
import { regressions } from "../../bench/harness/check.ts";
import { digits, report, reportRegressions } from "../../bench/harness/report.ts";
import {
  type CaseResult,
  type ContenderResult,
  isReported,
  lastReported,
  type Run,
  seriesOf,
} from "../../bench/harness/results.ts";
import { estimate, median, ratios } from "../../bench/harness/stats.ts";
import { judge, summarize } from "../../bench/harness/summary.ts";

const pure = { permissions: "none" } as const;
const ROUNDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** A contender with these costs, and as much memory as nobody looks at. */
function contender(name: string, cost: readonly number[], isOurs = false): ContenderResult {
  const memory = cost.map(() => 2048);
  return { name, isOurs, series: { cost, rss: memory, pss: memory } };
}

function resultOf(...contenders: ContenderResult[]): CaseResult {
  return {
    name: "echo",
    title: "Echo <of> 64 B & more",
    cost: ["CPU per message", "µs"],
    counted: "messages",
    reference: "by hand",
    contenders,
    missing: {},
    failed: {},
  };
}

function run(commit: string, isDirty: boolean, ...cases: CaseResult[]): Run {
  return { date: "", commit, isDirty, machine: {}, versions: {}, settings: {}, cases };
}

Deno.test("median() is the middle value, or the mean of two", pure, () => {
  assertEquals(median([7]), 7);
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([10, 9, 1, 2]), 5.5);
});

Deno.test("estimate() resamples, in the same way each time", pure, () => {
  assertEquals(estimate(ROUNDS), { median: 5.5, low: 3, high: 8 });
  const many = Array.from({ length: 40 }, (_, i) => i ** 1.5);
  assertEquals(estimate(many), estimate(many));
  assertNotEquals(estimate(many), estimate(many, 2));
});

Deno.test(
  "estimate() of equal values has no spread, and a stray one does not widen it",
  pure,
  () => {
    assertEquals(estimate([3, 3, 3]), { median: 3, low: 3, high: 3 });
    assertEquals(estimate([4]), { median: 4, low: 4, high: 4 });
    assertEquals(estimate([...Array(11).fill(3), 1000]), { median: 3, low: 3, high: 3 });
    assertThrows(() => estimate([]), RangeError, "got none");
  },
);

Deno.test("ratios() puts each value beside the reference's of the same round", pure, () => {
  assertEquals(ratios([2, 6, 9], [1, 2, 3]), [2, 3, 3]);
  assertThrows(() => ratios([1], [1, 2]), RangeError, "got 1 and 2");
});

Deno.test("summarize() sorts by cost and computes ratios within a round", pure, () => {
  // The second round was twice as slow for everybody, which no ratio shows.
  const result = resultOf(contender("by hand", [1, 2]), contender("Parley", [0.5, 1], true));
  const [first, second] = summarize(result);
  assertEquals(first!.name, "Parley");
  assertEquals(first!.ratio, { median: 0.5, low: 0.5, high: 0.5 });
  assertEquals(second!.ratio.median, 1);
  assertThrows(() => summarize(resultOf(contender("Parley", [1]))), Error, '"by hand"');
});

Deno.test("summarize() reports that the load was the bottleneck", pure, () => {
  const loaded = (load: number, server: number): CaseResult => {
    const one = contender("by hand", [1]);
    const shares = { loadShare: [load], serverShare: [server] };
    return resultOf({ ...one, series: { ...one.series, ...shares } });
  };
  const boundOf = (result: CaseResult) => summarize(result)[0]!.loadBound;
  assertEquals(boundOf(loaded(0.99, 0.7)), { load: 0.99, server: 0.7 });
  assertEquals(boundOf(loaded(0.99, 0.97)), undefined);
  assertEquals(boundOf(loaded(0.9, 0.7)), undefined);
  assertStringIncludes(
    report(loaded(0.99, 0.7)),
    "the load was the bottleneck of by hand: it took 99 % of its core, the server 70 %",
  );
});

Deno.test("judge() holds goals against medians, of ratios or of figures themselves", pure, () => {
  const result = resultOf(contender("by hand", [10, 10, 10]), contender("Parley", [11, 11, 90]));
  const goal = (more: Partial<Goal>): Goal => ({ contender: "Parley", figure: "cost", ...more });
  const goals = [
    goal({ against: "by hand", atMost: 1.1 }),
    goal({ against: "by hand", atMost: 1.09 }),
    goal({ atMost: 11 }),
    goal({ atLeast: 12 }),
  ];
  assertEquals(judge(result, goals).map(({ isHeld }) => isHeld), [true, false, true, false]);
  assertEquals(judge(result, [goal({ against: "nobody" }), goal({ figure: "rate" })]), []);
  assertStringIncludes(
    report(result, goals),
    "- held: Parley, at most 1.10 × by hand: 1.10 (1.10–9.00)",
  );
  assertStringIncludes(report(result, goals), "- MISSED: Parley, at least 12.0: 11.0 (11.0–90.0)");
});

Deno.test("regressions() finds our ratios that are worse by more than the spread", pure, () => {
  const reference = contender("by hand", [1, 1, 1]);
  const recorded = resultOf(
    reference,
    contender("Parley", [1, 1.1, 1.2], true),
    contender("Node", [1, 1, 1]),
  );
  const now = (...costs: number[]): CaseResult =>
    resultOf(reference, contender("Parley", costs, true), contender("Node", [9, 9, 9]));
  assertEquals(regressions(now(1, 1.1, 1.2), recorded), []);
  assertEquals(regressions(now(1.2, 1.3, 1.4), recorded), []);
  assertEquals(regressions(now(0.1, 0.1, 0.1), recorded), []);
  const [worse, ...others] = regressions(now(1.21, 1.3, 1.4), recorded);
  assertEquals(others, []);
  assertEquals([worse!.contender, worse!.now.median, worse!.recorded.median], ["Parley", 1.3, 1.1]);
  assertEquals(
    reportRegressions([worse!]),
    "worse: echo: Parley: 1.30 (1.21–1.40) × the reference, recorded 1.10 (1.00–1.20)",
  );
});

Deno.test("regressions() does not compare times, nor ratios to something else", pure, () => {
  const recorded = resultOf(contender("by hand", [1, 1]), contender("Parley", [1, 1], true));
  const slower = resultOf(contender("by hand", [50, 90]), contender("Parley", [50, 90], true));
  assertEquals(regressions(slower, recorded), []);
  const worse = resultOf(contender("by hand", [1, 1]), contender("Parley", [3, 3], true));
  assertEquals(regressions(worse, recorded).length, 1);
  assertEquals(regressions(worse, { ...recorded, reference: "Parley" }), []);
  assertEquals(regressions(worse, resultOf(contender("by hand", [1, 1]))), []);
});

Deno.test("isReported() is so of the first run of a case at a clean commit", pure, () => {
  const [echo, lines] = [resultOf(), { ...resultOf(), name: "lines" }];
  const runs = [
    run("a", true, echo),
    run("a", false, echo),
    run("a", false, echo, lines),
    run("b", true, echo, lines),
  ];
  assertEquals(runs.map((one) => isReported(runs, one, "echo")), [false, true, false, false]);
  assertEquals(runs.map((one) => isReported(runs, one, "lines")), [false, false, true, false]);
});

Deno.test("lastReported() is of the last commit that has a reported run", pure, () => {
  const marked = (title: string): CaseResult => ({ ...resultOf(), title });
  const runs = [
    run("a", false, marked("first")),
    run("b", false, marked("second")),
    run("b", false, marked("again")),
    run("c", true, marked("dirty")),
  ];
  assertEquals(lastReported(runs, "echo")?.title, "second");
  assertEquals(lastReported(runs, "lines"), undefined);
});

Deno.test("seriesOf() keeps four digits of what every round has", pure, () => {
  const series = seriesOf([{ cost: 1.23456, rss: 1, pss: 123456, rate: 5 }, {
    cost: 2,
    rss: 1,
    pss: 1,
  }]);
  assertEquals(series, { cost: [1.235, 2], rss: [1, 1], pss: [123500, 1] });
});

Deno.test("report() is a table of what was measured, and of who is missing", pure, () => {
  const parley = contender("Parley", [4, 4, 5], true);
  const series = { ...parley.series, rate: [9000, 9000, 1], p50: [1, 2, 3], p99: [4, 5, 6] };
  const result = {
    ...resultOf(contender("by hand", [2, 2, 2]), { ...parley, series }),
    missing: { Bun: "needs the npm package bun" },
    failed: { Go: "in round 2: it is gone" },
  };
  assertEquals(
    report(result),
    `## Echo <of> 64 B & more

| server  | CPU per message, µs |  × the reference | messages/s | p50 µs | p99 µs | p99.9 µs | PSS MiB | RSS MiB |
| ------- | ------------------: | ---------------: | ---------: | -----: | -----: | -------: | ------: | ------: |
| by hand |                2.00 |                1 |            |        |        |          |     2.0 |     2.0 |
| Parley  |    4.00 (4.00–5.00) | 2.00 (2.00–2.50) |       9000 |      2 |      5 |          |     2.0 |     2.0 |

- left out: Bun needs the npm package bun
- FAILED: Go in round 2: it is gone`,
  );
});

Deno.test("digits() keeps three or so", pure, () => {
  assertEquals([0.0123, 1.234, 12.34, 1234.5].map(digits), ["0.012", "1.23", "12.3", "1235"]);
});

Deno.test(
  "chart() draws a bar for each, ours in a colour of its own, and cuts the long ones",
  pure,
  () => {
    const svg = chart(resultOf(
      contender("by hand", [2, 2, 3]),
      contender("Parley & co", [1, 1, 1], true),
      contender("slow", [100, 100, 100]),
    ));
    assertStringIncludes(svg, "Echo &lt;of> 64 B &amp; more");
    assertStringIncludes(svg, "Parley &amp; co</text>");
    assertStringIncludes(svg, "1.00 · 0.500 ×");
    const widths = [...svg.matchAll(/<rect x="[\d.]+" y="\d+" width="([\d.]+)".*?fill="(.*?)"/g)];
    const [ours, reference, cut, ...ends] = widths.map(([, width]) => Number(width));
    assertEquals(ours! * 2, reference);
    assertEquals(ends.length, 1); // the end of the bar that is cut
    assert(cut! > reference! && cut! < 760);
    assertEquals(new Set(widths.map(([, , colour]) => colour)).size, 2);
  },
);

Deno.test("readArguments() records whole runs only", pure, () => {
  const isRecorded = (...args: string[]): boolean => readArguments(args).isRecorded;
  assert(isRecorded());
  assert(isRecorded("--case", "idle", "--rounds", "3"));
  assert(isRecorded("--quick", "--output", "somewhere"));
  assert(!isRecorded("--quick"));
  assert(!isRecorded("--only", "Parley"));
  assert(!isRecorded("--check"));
  assert(!isRecorded("--check", "--output", "somewhere"));
});

Deno.test("readArguments() checks them", pure, () => {
  const { settings, cases } = readArguments([
    "--case",
    "idle",
    "--case=connect-and-leave",
    "--rounds=3",
  ]);
  assertEquals([settings.rounds, cases], [3, ["idle", "connect-and-leave"]]);
  assertEquals(readArguments([]).settings.rounds, 10);
  for (const rounds of ["0", "1.5", "many"]) {
    assertThrows(() => readArguments(["--rounds", rounds]), RangeError, `got ${rounds}`);
  }
  assertThrows(() => readArguments(["--fast"]), TypeError, "--fast");
});

Deno.test("CASES name contenders that take part", pure, () => {
  assertEquals(new Set(CASES.map(({ name }) => name)).size, CASES.length);
  for (const { name, reference, contenders, goals = [] } of CASES) {
    const names = new Set(contenders.map((one) => one.name));
    assertEquals(names.size, contenders.length, name);
    for (const { contender, against = reference } of goals) {
      assert(names.has(contender) && names.has(against), `${name}: ${contender}, ${against}`);
    }
    assert(names.has(reference), name);
  }
});
