/** The relay of `--raw`: standard input goes to the server, and its output to standard output. */

import { type ConnectOptions, formatAddress, type Session, SessionEndedError } from "../../mod.ts";
import { dial, dialError, dialOptions } from "./dial.ts";
import type { Plan, RawPlan } from "./options.ts";
import { reconnecting } from "./reconnecting.ts";
import { HexDump } from "./hex_dump.ts";
import { OutputFile } from "./output_file.ts";
import { ProgramError } from "../program.ts";
import { silenceOf } from "./silence.ts";
import { say } from "../standard_error.ts";
import { isColourless, stdin, stdout } from "../standard_streams.ts";
import { relay, type RelayOptions } from "./relay.ts";
import { RelayInput } from "./relay_input.ts";
import { RelayOutput } from "./relay_output.ts";
import { isTlsAlert, mayWantTls } from "./tls_hint.ts";

/** Relays until both sides have finished. With `--reconnect`, until the input has. Returns the exit code. */
export async function relayStandardStreams(plan: Plan, raw: RawPlan): Promise<number> {
  // Only --idle limits how long a peer may take no bytes.
  const dialling = dialOptions(plan, { writeTimeout: Infinity, chunkSize: 64 * 1024 });
  const watcher = outputOf(raw);
  const options: RelayOptions = {
    input: raw.sends ? new RelayInput(stdin, raw) : undefined,
    output: raw.receives ? watcher : undefined,
    watcher,
    shutsDown: raw.shutsDown,
    leavesWithPeer: plan.reconnect || stdin.isTerminal(),
  };
  if (!plan.reconnect) await relayOnce(await dial(dialling, plan), options, plan);
  else await relayAgainAndAgain(plan, dialling, options);
  return 0;
}

async function relayOnce(session: Session, options: RelayOptions, plan: Plan): Promise<void> {
  try {
    await options.watcher.open();
    await relay(session, options);
    await options.watcher.finish();
    tellEnd(session, options.watcher, plan);
    const { reason, cause } = await session.close();
    if (session.bytesBuffered > 0) throw new SessionEndedError(reason, { cause });
  } catch (error) {
    session.abort();
    throw dialError(lossOf(error, session), plan);
  }
}

async function relayAgainAndAgain(
  plan: Plan,
  dialling: ConnectOptions,
  options: RelayOptions,
): Promise<void> {
  const { input, watcher } = options;
  const client = reconnecting(dialling, plan, () => input?.isDone ?? false);
  try {
    await client.run(async (session) => {
      await watcher.open();
      try {
        await relay(session, options);
      } catch (error) {
        if (error instanceof SessionEndedError && !input?.isDone) throw error; // it reconnects
        throw lossOf(error, session);
      }
      if (!input?.isDone) return;
      await watcher.finish();
      tellEnd(session, watcher, plan);
      client.close();
    });
  } catch (error) {
    throw dialError(error, plan);
  }
}

/** Tells the user why nothing happens any more. */
function tellEnd(session: Session, { beginning }: RelayOutput, { verbose, raw }: Plan): void {
  const { remoteAddr, bytesRead, bytesWritten } = session;
  const address = formatAddress(remoteAddr);
  if (isTlsAlert(session, beginning)) say(`${address} speaks TLS: try --tls`);
  if ((verbose || stdin.isTerminal()) && raw?.receives) {
    const hint = mayWantTls(session) ? " without a word: it may want --tls" : "";
    say(`${address} closed the connection${hint}`);
  }
  if (verbose) say(`sent ${bytesWritten} bytes, received ${bytesRead}`);
}

/** Describes a lost connection in one line. */
function lossOf(error: unknown, session: Session): unknown {
  if (!(error instanceof SessionEndedError)) return error;
  const silence = silenceOf(error, session);
  if (silence !== undefined) return new ProgramError(silence);
  const { cause, message } = error;
  const why = cause instanceof Error ? cause.message : message;
  const address = formatAddress(session.remoteAddr);
  return new ProgramError(`the connection to ${address} was lost: ${why}`);
}

/** Where received bytes, and the dump, go. */
export function outputOf({ hex, output: path, receives }: RawPlan): RelayOutput {
  const isColoured = stdout.isTerminal() && !isColourless();
  const sink = {
    name: "standard output",
    write: (bytes: Uint8Array) => stdout.write(bytes),
  };
  const file = path === undefined ? undefined : new OutputFile(path);
  return new RelayOutput({
    bytes: receives ? file ?? (hex ? undefined : sink) : undefined,
    dump: hex ? { sink, format: new HexDump(isColoured) } : undefined,
  });
}
