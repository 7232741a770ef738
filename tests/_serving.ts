import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { setImmediate } from "node:timers/promises";
import { hasDenoSockets } from "../_internal/deno_sockets.ts";
import { SessionEndedError } from "../errors.ts";
import type { ServerObserver } from "../serve/observer.ts";
import { serve, type ServeOptions } from "../serve/serve.ts";
import { Session } from "../session.ts";
import {
  type Address,
  type Connection,
  formatAddress,
  type Listener,
  memoryListener,
} from "../transport/mod.ts";
import { canNet, canRun } from "./_permissions.ts";

/** A test that hangs fails: nothing that is tested here takes long. */
export const bounded: { timeout: number } = { timeout: 60_000 };
/** The same for tests that open sockets. */
export const overNet: { timeout: number; ignore: boolean } = { ...bounded, ignore: !canNet };
/** The same for tests that give Deno's own sockets to the library. */
export const overDenoNet: { timeout: number; ignore: boolean } = {
  ...bounded,
  ignore: !canNet || !hasDenoSockets,
};
/** The same for tests that also count descriptors. */
export const overNetCounting: { timeout: number; ignore: boolean } = {
  ...bounded,
  ignore: !canNet || Deno.build.os !== "linux" || !(await canRun("bash")),
};

/** Whether this machine has IPv6, which some containers lack. */
export const canIpv6: boolean = canNet && hasIpv6();

function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

/** How long `until` waits, in milliseconds. */
const PATIENCE = 20_000;

/** Waits until `condition` holds, and fails if it never does. */
export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`it never came to ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Waits for many turns of the event loop. If something has not happened by then, it is not only waiting for a turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await setImmediate();
}

/** Replaces the clock by one that the test sets. */
export function clock(): Disposable & { now: number } {
  const real = performance.now;
  const fake = {
    now: 12_345,
    [Symbol.dispose]: () => void (performance.now = real),
  };
  performance.now = () => fake.now;
  return fake;
}

/** Collects what the library prints, instead of printing it. */
export function capturePrinted(): Disposable & { texts: string[] } {
  const real = console.error;
  const texts: string[] = [];
  console.error = (text: string): void => void texts.push(text);
  return { texts, [Symbol.dispose]: () => void (console.error = real) };
}

/** How many descriptors this process has open. Without `--allow-all`, it may not look itself. */
async function descriptors(): Promise<number> {
  const { stdout } = await new Deno.Command("bash", {
    args: ["-c", 'set -- "/proc/$0/fd/"*; echo $#', `${Deno.pid}`],
    stdin: "null",
    stderr: "inherit",
  }).output();
  return Number(new TextDecoder().decode(stdout));
}

/** Fails if `work` leaves descriptors open. A first run lets the runtime open those that it keeps. */
export async function assertNoDescriptorLeft(work: () => Promise<void>): Promise<void> {
  await work();
  const before = await descriptors();
  await work();
  const deadline = performance.now() + PATIENCE;
  let left: number;
  while ((left = await descriptors() - before) > 0) {
    if (performance.now() > deadline) throw new Error(`${left} descriptors are left open`);
  }
}

/** The port of a server or listener. */
export function portOf({ addr }: { addr: Address }): number {
  return (addr as Deno.NetAddr).port;
}

/** A service that answers each line. */
export async function echo(session: Session): Promise<void> {
  for await (const line of session.lines()) await session.send(`${line}!\n`);
}

/** Sends a line and reads the answer. */
export async function ask(client: Session, line: string): Promise<string | undefined> {
  await client.send(`${line}\n`);
  return await client.readLine();
}

/** All text until the end of input. */
export async function readAll(session: Session): Promise<string> {
  let all = "";
  for await (const text of session) all += text;
  return all;
}

/** All text until the connection is reset, as by a server whose handler threw. */
export async function readToReset(session: Session): Promise<string> {
  let all = "";
  const error = await assertRejects(async () => {
    for await (const text of session) all += text;
  }, SessionEndedError);
  assertInstanceOf(error.cause, Deno.errors.ConnectionReset);
  return all;
}

/** An observer that records a short line for each event. */
export interface Recorder extends Required<ServerObserver> {
  readonly events: string[];
}

export function recorder(): Recorder {
  const events: string[] = [];
  const note = (...words: unknown[]): void => void events.push(words.join(" "));
  return {
    events,
    onStateChange: (state) => note(state),
    onSessionStart: ({ id }) => note("start", id),
    onSessionEnd: ({ id }, { reason }) => note("end", id, reason),
    onRefusal: ({ remoteAddr, reason }) => note("refused", formatAddress(remoteAddr), reason),
    onMemoryPressure: ({ pressure }) => note("memory", pressure),
    onAcceptError: (error, retryIn) => note("accept", error, retryIn),
    onHandlerError: (error, { id }) => note("handler", id, error),
  };
}

/** A connection that wraps another, so that a test can watch or change one of its methods. */
export class ConnectionOver implements Connection {
  readonly inner: Connection;

  constructor(inner: Connection) {
    this.inner = inner;
  }

  get remoteAddr(): Address {
    return this.inner.remoteAddr;
  }

  get localAddr(): Address {
    return this.inner.localAddr;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.inner.read(buffer);
  }

  write(data: Uint8Array): Promise<number> {
    return this.inner.write(data);
  }

  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }

  close(): void {
    this.inner.close();
  }

  setNoDelay(noDelay?: boolean): void {
    this.inner.setNoDelay?.(noDelay);
  }

  setKeepAlive(keepAlive?: boolean | number): void {
    this.inner.setKeepAlive?.(keepAlive);
  }
}

/** A listener that passes each connection through `wrap`. */
export function listenerOver(
  inner: Listener,
  wrap: (connection: Connection) => Connection,
): Listener {
  return {
    addr: inner.addr,
    accept: async () => wrap(await inner.accept()),
    close: () => inner.close(),
  };
}

/** How many connections of a listener are open. */
export interface Tally {
  open: number;
  peak: number;
}

/** Counts connections from the accept to the close. */
export function tallied(inner: Listener): [Listener, Tally] {
  const tally: Tally = { open: 0, peak: 0 };
  class Counted extends ConnectionOver {
    override close(): void {
      tally.open--;
      super.close();
    }
  }
  const listener = listenerOver(inner, (connection) => {
    tally.peak = Math.max(tally.peak, ++tally.open);
    return new Counted(connection);
  });
  return [listener, tally];
}

/** Asserts that a connection is closed without any output. */
export async function seeRefused(client: Connection): Promise<void> {
  assertEquals(await client.read(new Uint8Array(1)), null);
  client.close();
}

/** A listener whose first accept fails. */
function failingOnce(inner: Listener): Listener {
  let isFirst = true;
  return {
    addr: inner.addr,
    accept(): Promise<Connection> {
      if (!isFirst) return inner.accept();
      isFirst = false;
      return Promise.reject(new Error("out of luck"));
    },
    close: () => inner.close(),
  };
}

/** Causes every event of an observer, and asserts that the server works regardless. */
export async function serveThrough(options: ServeOptions): Promise<void> {
  const inner = memoryListener();
  const listener = failingOnce(inner);
  const server = serve({ ...options, listener, maxSessions: 1, overload: "refuse" }, async (s) => {
    await echo(s);
    throw new Error("no such command");
  });
  const client = new Session(inner.connect());
  assertEquals(await ask(client, "rose"), "rose!");
  await seeRefused(inner.connect());
  await client.closeWrite();
  assertEquals(await readToReset(client), "");
  await client.close();
  await server.shutdown();
  const { accepted, refused, acceptErrors, handlerErrors } = server.stats();
  assertEquals([accepted, refused, acceptErrors, handlerErrors], [1, 1, 1, 1]);
  await settle();
}

/** A signal that counts its listeners. */
export function countedSignal(signal: AbortSignal): { readonly listeners: number } {
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: [string, unknown]): void => {
    listeners.add(args[1]);
    Reflect.apply(addEventListener, signal, args);
  };
  signal.removeEventListener = (...args: [string, unknown]): void => {
    listeners.delete(args[1]);
    Reflect.apply(removeEventListener, signal, args);
  };
  return {
    get listeners(): number {
      return listeners.size;
    },
  };
}

/**
 * Whether a program can be given a network of its own, without any way out, and set it up; with further `flags` of
 * `unshare`, whether `command` can do there what it does.
 */
export async function canUnshare(
  flags: readonly string[] = [],
  command: readonly string[] = ["ip", "link"],
): Promise<boolean> {
  if (!canNet || !await canRun("deno") || !await canRun("unshare")) return false;
  try {
    const args = ["--net", "--map-root-user", ...flags, ...command];
    const program = new Deno.Command("unshare", { args, stdout: "null", stderr: "null" });
    return (await program.output()).success;
  } catch {
    return false;
  }
}

/** What a program printed and how it ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a module is run: Deno's flags, and a command that starts Deno. */
interface RunOptions {
  flags?: string[];
  through?: [command: string, ...args: string[]];
}

/** Runs a module in a process of its own. `library/` stands for this package's directory in its source. */
export async function runModule(
  source: string,
  { flags = [], through = ["deno"] }: RunOptions = {},
): Promise<Outcome> {
  const root = new URL("../", import.meta.url);
  const [command, ...args] = through;
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args, "eval", ...flags, source.replaceAll("library/", root.href)],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
