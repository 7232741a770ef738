import { type Session, SessionEndedError } from "../../mod.ts";
import { ProgramError } from "../program.ts";
import type { RelayInput } from "./relay_input.ts";
import type { RelayOutput } from "./relay_output.ts";

/** How many bytes fit into the peer's system, which delivers them whatever happens to the connection. */
const SURE = 64 * 1024;
/** How long a peer that was sent more may be silent before it finishes its side, by default, in milliseconds. */
const SILENCE = 60_000;

/** The ends of a relay, and when it is over. */
export interface RelayOptions {
  /** The source of bytes to send, if any. */
  input?: RelayInput | undefined;
  /** Takes received bytes. Without it, they are dropped, and the relay is over once the peer has all input. */
  output?: RelayOutput | undefined;
  /** Called with bytes before they are sent. */
  watcher: RelayOutput;
  /** Whether the connection is half-closed at the end of input. */
  shutsDown: boolean;
  /** Whether the relay is over when the peer has finished, even if there is more input. */
  leavesWithPeer: boolean;
}

/**
 * Relays byte for byte, in both directions at once. Each direction waits for its receiver, so at most two chunks of
 * 64 KiB are buffered in each direction.
 *
 * @returns Resolves when it is over. The session is left open.
 * @throws {SessionEndedError} If the connection is lost.
 */
export async function relay(session: Session, options: RelayOptions): Promise<void> {
  const { input, output, leavesWithPeer } = options;
  let isOver = false;
  const receiving = receive(session, output);
  receiving.catch(() => {}); // it may end after the relay
  try {
    if (input === undefined) return await receiving;
    const sending = send(session, input, options, () => isOver).catch(async (error) => {
      // The last data of a lost peer is still to be received: it may say why.
      if (error instanceof SessionEndedError) await receiving;
      throw error;
    });
    if (output === undefined) {
      await Promise.race([sending, failureOf(receiving)]);
      await arrival(session, receiving);
    } else if (leavesWithPeer) await Promise.race([receiving, sending.then(() => receiving)]);
    else await Promise.all([receiving, sending]);
  } finally {
    isOver = true;
  }
}

/**
 * Waits until the peer has received everything: its end of input is the only sign. If this side closed earlier, the
 * system would send the rest, but only until the peer sends something: the answer is a reset, which destroys the rest.
 */
async function arrival(session: Session, receiving: Promise<void>): Promise<void> {
  if (session.bytesWritten <= SURE) return;
  if (session.idleTimeout === Infinity) session.idleTimeout = SILENCE;
  try {
    await receiving;
  } catch (error) {
    if (!(error instanceof SessionEndedError && error.reason === "idle")) throw error;
    const problem = `it has not finished after ${session.idleTimeout} ms of silence`;
    throw new ProgramError(
      `the server may not have got everything: ${problem}, try a longer --idle`,
    );
  }
}

async function receive(session: Session, output: RelayOutput | undefined): Promise<void> {
  for await (const chunk of session.bytes({ borrow: true })) await output?.received(chunk);
}

async function send(
  session: Session,
  input: RelayInput,
  { watcher, shutsDown }: RelayOptions,
  isOver: () => boolean,
): Promise<void> {
  for (;;) {
    const chunk = await input.next();
    if (isOver()) return; // it belongs to the next connection
    if (chunk === undefined) break;
    await watcher.sending(chunk);
    const before = session.bytesWritten;
    try {
      session.send(chunk);
      await session.flush();
      input.consume(chunk.length);
    } catch (error) {
      await session.closed; // the connection may take bytes until then
      input.consume(session.bytesWritten - before);
      throw error;
    }
  }
  if (shutsDown) await session.closeWrite();
}

/** Rejects if the promise does, and never resolves. */
async function failureOf(promise: Promise<void>): Promise<never> {
  await promise;
  return await new Promise<never>(() => {});
}
