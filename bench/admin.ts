/**
 * What an admin server with its page open costs a server: 10,000 sessions are open, and 1,000 a second come and go.
 *
 *     deno run --allow-all bench/admin.ts [--rounds N] [--open N] [--rate N] [--chromium]
 *
 * Two servers, one with an admin server and one without, take turns under the same load, on a core of their own. A client
 * asks for what the page asks for, at the same times; with `--chromium`, the page itself is open in a browser.
 */

import { parseArgs } from "node:util";
import { cpuTime, LOAD_CORE, pinned, pinThisProcess, SERVER_CORE } from "./harness/process.ts";
import { estimate, median } from "./harness/stats.ts";

/** A turn, in seconds: two samples, and one time the page asks for the sessions. */
const TURN = 4;
/** Turns until the code is compiled. */
const WARM_UP = 2;

const here = (path: string): string => new URL(path, import.meta.url).pathname;

/** A program that answers in lines. */
class Talker implements AsyncDisposable {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;

  constructor(core: string, file: string, ...args: string[]) {
    const command = ["deno", "run", "--quiet", "--no-check", "--allow-all", here(file), ...args];
    this.#child = new Deno.Command("taskset", {
      args: pinned(core, command),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.pid = this.#child.pid;
    this.#input = this.#child.stdin.getWriter();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Its next line. */
  async line(): Promise<string> {
    const { value } = await this.#output.read();
    if (value === undefined) throw new Error("a program of the benchmark has ended");
    return value.trim();
  }

  async ask(line: string): Promise<string> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
    return await this.line();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#output.cancel();
    await this.#input.abort().catch(() => {});
  }
}

/** A server under load. */
interface Contender extends AsyncDisposable {
  readonly adminPort: number;
  /** Lets sessions come and go for a turn. Returns what part of a core the server took. */
  turn(): Promise<number>;
}

async function contender(open: number, rate: number, ...args: string[]): Promise<Contender> {
  await using started = new AsyncDisposableStack();
  const server = started.use(new Talker(SERVER_CORE, "servers/operated.ts", ...args));
  const [port, adminPort] = (await server.line()).split(" ");
  const load = started.use(new Talker(LOAD_CORE, "load/sessions.ts", port!, `${open}`, `${rate}`));
  await load.line();
  const all = started.move();
  return {
    adminPort: Number(adminPort),
    async turn(): Promise<number> {
      const [before, start] = [await cpuTime(server.pid), performance.now()];
      await load.ask(`${rate * TURN}`);
      return (await cpuTime(server.pid) - before) * 1000 / (performance.now() - start);
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Does what the page does: reads the events, and after every second one asks for the sessions. */
async function readAsPage(port: number, signal: AbortSignal): Promise<void> {
  const url = `http://127.0.0.1:${port}`;
  const get = async (path: string) => await (await fetch(url + path, { signal })).json();
  const { body } = await fetch(`${url}/events`, { signal });
  await get("/servers.json");
  await get("/history.json?server=server");
  let events = 0;
  for await (const text of body!.pipeThrough(new TextDecoderStream())) {
    if (!text.endsWith("\n\n") || ++events % 2 === 1) continue;
    const query = "server=server&limit=50&state=open&sort=id&order=desc&search=&offset=0";
    await get(`/sessions.json?${query}`);
  }
}

/** Opens the page in a browser. */
async function openChromium(port: number): Promise<AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "parley-page-" });
  const child = new Deno.Command("chromium", {
    args: [
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"],
      ...[`--user-data-dir=${folder}`, `http://127.0.0.1:${port}/`],
    ],
    ...{ stdin: "null", stdout: "null", stderr: "null" },
  }).spawn();
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      child.kill();
      await child.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function percent(part: number): string {
  return `${(part * 100).toFixed(2)} %`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "10" },
      open: { type: "string", default: "10000" },
      rate: { type: "string", default: "1000" },
      chromium: { type: "boolean", default: false },
    },
  });
  const [open, rate] = [Number(values.open), Number(values.rate)];
  await pinThisProcess();
  await using plain = await contender(open, rate);
  await using operated = await contender(open, rate, "admin");
  const closing = new AbortController();
  const reading = values.chromium ? undefined : readAsPage(operated.adminPort, closing.signal);
  await using _tab = values.chromium ? await openChromium(operated.adminPort) : undefined;
  const [without, differences]: number[][] = [[], []];
  const watched = reading?.then(() => {
    throw new Error("the events have ended");
  });
  watched?.catch(() => {});
  for (let round = -WARM_UP; round < Number(values.rounds); round++) {
    const turns = round % 2 === 0 ? [plain, operated] : [operated, plain];
    const parts = [await turns[0]!.turn(), await turns[1]!.turn()];
    const [mine, other] = turns[0] === plain ? parts : parts.toReversed();
    if (round < 0) continue;
    without!.push(mine!);
    differences!.push(other! - mine!);
  }
  closing.abort();
  await watched?.catch((error) => {
    if (!closing.signal.aborted || error !== closing.signal.reason) throw error;
  });
  const { median: cost, low, high } = estimate(differences!);
  console.log(`the server takes ${percent(median(without!))} of a core`);
  console.log(
    `the admin server and its page take ${percent(cost)} (${percent(low)} to ${percent(high)})`,
  );
}

await main();
