import type { Session } from "../../../mod.ts";

/** How long a draining server waits for more of a transfer, in milliseconds, and up to once more as long. */
const QUIET = 1_000;

/**
 * Hands over a session's bytes, lent until `take` has settled, up to the end of input.
 *
 * Bytes do not say where a client is done. So when the server drains, whoever sends goes on, and whoever is silent for
 * a moment while all is taken has its session ended.
 */
export async function transfer(
  session: Session,
  take: (chunk: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const { draining } = session;
  const reading = session.bytes({ borrow: true });
  let isWaiting = false;
  let isOver = false;
  let heard = -1;
  let timer: ReturnType<typeof setInterval> | undefined;

  const look = () => {
    isOver = isWaiting && session.bytesRead === heard;
    heard = session.bytesRead;
    if (isOver) reading.return();
  };
  const onDrain = () => timer = setInterval(look, QUIET);
  if (draining.aborted) onDrain();
  else draining.addEventListener("abort", onDrain);
  try {
    for (;;) {
      isWaiting = true;
      const { value, done } = await reading.next();
      isWaiting = false;
      if (done) break;
      await take(value);
    }
    if (isOver) throw draining.reason; // so that this is the reason that the log tells
  } finally {
    draining.removeEventListener("abort", onDrain);
    clearInterval(timer);
  }
}
