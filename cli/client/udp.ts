/** The client over datagrams: names and their greetings, or with `--raw` what `nc -u` does. */

import { formatAddress, systemErrors } from "../../mod.ts";
import { connectDatagrams, type DatagramClient } from "../../datagram/mod.ts";
import { type Arguments, ProgramError, UsageError } from "../program.ts";
import { say } from "../standard_error.ts";
import { stdin } from "../standard_streams.ts";
import { dialError } from "./dial.ts";
import { checkNames, isAnswerable, show } from "./greet.ts";
import type { Place, Plan, RawPlan } from "./options.ts";
import { outputOf } from "./raw.ts";
import { RelayInput } from "./relay_input.ts";
import type { RelayOutput } from "./relay_output.ts";
import { standardInput } from "./standard_input.ts";

/** The options that have a meaning with `--udp`. */
const USABLE = new Set([
  ...["udp", "hostname", "port", "timeout", "idle", "verbose"],
  ...["raw", "crlf", "send-only", "recv-only", "hex", "output"],
]);
/** What is sent in one datagram at most, as by `nc`, in bytes. */
const MAX_PIECE = 16 * 1024;
/** How long a silence after the end of input ends the relay, by default, in milliseconds. */
const SILENCE = 1_000;

/** Throws if an option is given that is of no use with `--udp`. */
export function checkUdp({ options, flags }: Arguments): void {
  for (const name of [...Object.keys(options), ...flags]) {
    if (!USABLE.has(name)) throw new UsageError(`--${name} is of no use with --udp`);
  }
}

/** Greets, or relays. Returns the exit code. */
export async function talkByDatagrams(plan: Plan, names: readonly string[]): Promise<number> {
  if (plan.raw === undefined) checkNames(names);
  const { hostname, port } = plan.place as Extract<Place, { port: number }>;
  let client: DatagramClient;
  try {
    client = await connectDatagrams({ hostname, port });
  } catch (error) {
    throw dialError(error, plan);
  }
  if (plan.verbose) say(`sending datagrams to ${formatAddress(client.remoteAddr)}`);
  try {
    return plan.raw === undefined
      ? await greet(client, plan, names)
      : await relay(client, plan, plan.raw);
  } catch (error) {
    throw refusal(error, client);
  } finally {
    await client.close();
  }
}

async function greet(
  client: DatagramClient,
  plan: Plan,
  names: readonly string[],
): Promise<number> {
  let code = 0;
  for await (const name of names.length > 0 ? names : standardInput().lines()) {
    if (name === "") continue;
    if (!isAnswerable(name)) {
      code = 1;
      continue;
    }
    await client.send(name);
    show(new TextDecoder().decode(await answer(client, plan.timeout)));
    if (name === "exit") break;
  }
  return code;
}

async function answer(client: DatagramClient, timeout: number): Promise<Uint8Array | undefined> {
  try {
    return await client.receive({ timeout });
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    const address = formatAddress(client.remoteAddr);
    throw new ProgramError(
      `no reply from ${address} within ${timeout} ms: it may be lost, or nothing receives there`,
    );
  }
}

/** Each read of standard input is a datagram; what comes is written. Over after a silence that follows the end of input. */
async function relay(client: DatagramClient, plan: Plan, raw: RawPlan): Promise<number> {
  const watcher = outputOf(raw);
  await watcher.open();
  const ended = new AbortController();
  const sending = send(client, raw, watcher).finally(() => ended.abort());
  sending.catch(() => {}); // it is awaited below
  if (raw.sends && !raw.receives) await sending;
  else {
    await receive(client, raw, plan.idle, watcher, ended.signal);
    if (ended.signal.aborted) await sending;
  }
  await watcher.finish();
  const { sent, received } = client.stats();
  if (plan.verbose) say(`sent ${sent} datagrams, received ${received}`);
  return 0;
}

async function send(client: DatagramClient, raw: RawPlan, watcher: RelayOutput): Promise<void> {
  if (!raw.sends) return await new Promise<never>(() => {});
  const input = new RelayInput(stdin, raw);
  for (;;) {
    const chunk = await input.next();
    if (chunk === undefined) return;
    const piece = chunk.subarray(0, MAX_PIECE);
    await watcher.sending(piece);
    await client.send(piece);
    input.consume(piece.length);
  }
}

async function receive(
  client: DatagramClient,
  raw: RawPlan,
  idle: number,
  watcher: RelayOutput,
  ended: AbortSignal,
): Promise<void> {
  for (;;) {
    const isOver = ended.aborted;
    const timeout = isOver && idle === Infinity ? SILENCE : idle;
    try {
      const message = await client.receive({ timeout, ...(!isOver && { signal: ended }) });
      if (message === undefined) return;
      if (raw.receives) await watcher.received(message);
    } catch (error) {
      if (!isOver && ended.aborted && error === ended.reason) continue; // the input has ended
      if (error instanceof DOMException && error.name === "TimeoutError") return;
      throw error;
    }
  }
}

/** Says where nothing receives. Deno is not told. */
function refusal(error: unknown, client: DatagramClient): unknown {
  if (!(error instanceof systemErrors.ConnectionRefused)) return error;
  const address = formatAddress(client.remoteAddr);
  return new ProgramError(
    `nothing receives at ${address}: start the server, or choose another with --hostname and --port`,
  );
}
