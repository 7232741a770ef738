// What a server costs: its own CPU time per request, with the load in another process on another core.
//
// Contenders take turns (A B C A B C …), and ratios are computed within a round, so that what else the machine does
// falls on all of them.

/** One server to measure. */
export interface Contender {
  name: string;
  /** The command that starts it. `PORT` in it stands for the port, which is in its environment by that name, too. */
  command: string[];
}

/** A load: sends so many requests to the port and checks that they are answered. */
export type Load = (port: number, requests: number) => Promise<void>;

interface Measured {
  name: string;
  /** CPU time per request in microseconds, one a round. */
  costs: number[];
}

export interface Plan {
  title: string;
  contenders: Contender[];
  load: Load;
  rounds: number;
  requests: number;
}

const SERVER_CORE = "0";
const LOAD_CORE = "1";
/** What `/proc/PID/stat` counts in: 1/100 s on Linux, whatever the kernel's own tick is. */
const TICK = 10_000;

/** Runs a plan, with a line of progress for each round, and prints its table. */
export async function measure(plan: Plan): Promise<Measured[]> {
  const results = plan.contenders.map(({ name }): Measured => ({ name, costs: [] }));
  for (let round = 0; round < plan.rounds; round++) {
    for (const [i, contender] of plan.contenders.entries()) {
      results[i]!.costs.push(await costOf(contender, plan));
    }
    console.error(`${plan.title}: round ${round + 1} of ${plan.rounds}`);
  }
  print(plan, results);
  return results;
}

async function costOf({ command }: Contender, { load, requests }: Plan): Promise<number> {
  const port = freePort();
  const [program, ...args] = command.map((part) => part.replace("PORT", String(port)));
  const child = new Deno.Command("taskset", {
    args: ["-c", SERVER_CORE, program!, ...args],
    env: { PORT: String(port) },
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  try {
    await untilListening(port);
    await load(port, Math.ceil(requests / 10)); // to warm up
    const before = await cpuTime(child.pid);
    await load(port, requests);
    return (await cpuTime(child.pid) - before) / requests;
  } finally {
    try {
      child.kill("SIGKILL");
    } catch { /* it has ended by itself: the load has told */ }
    await child.status;
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function untilListening(port: number): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`nothing listens on port ${port} after 10 s`);
}

/** User and system time of a process, in microseconds (proc(5), fields 14 and 15). */
async function cpuTime(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/** A load of `redis-benchmark`, from Debian's redis-tools. */
export function redisBenchmark(test: string, depth: number): Load {
  return async (port, requests) => {
    const args = [
      "-c",
      LOAD_CORE,
      "redis-benchmark",
      "-p",
      `${port}`,
      "-t",
      test,
      "-P",
      `${depth}`,
    ];
    const { success, stderr } = await new Deno.Command("taskset", {
      args: [...args, "-c", "50", "-n", `${requests}`, "-q"],
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`redis-benchmark: ${new TextDecoder().decode(stderr)}`);
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function print({ title, rounds, requests }: Plan, results: Measured[]): void {
  const first = results[0]!;
  console.log(
    `\n## ${title}\n\n${rounds} rounds of ${requests} requests, server CPU per request\n`,
  );
  console.log("| server | µs | against the first | lowest and highest |\n|---|---|---|---|");
  for (const { name, costs } of results) {
    const ratios = costs.map((cost, round) => cost / first.costs[round]!);
    const spread = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
    console.log(
      `| ${name} | ${median(costs).toFixed(3)} | ${median(ratios).toFixed(2)} | ${spread} |`,
    );
  }
}

/** Whether a program is there to be run. */
export async function has(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("which", { args: [program], stdout: "null" }).output();
  if (!success) console.error(`${program} is not installed: left out`);
  return success;
}
