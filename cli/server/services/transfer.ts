import type { Session } from "../../../mod.ts";

/** How long a draining server waits for more of a transfer, in milliseconds. It may take up to twice as long. */
const QUIET = 1_000;

/**
 * Passes the bytes of a session to `take`, up to the end of input. They are valid until its promise settles.
 *
 * A stream of bytes does not show when a client is done. So when the server drains, a client that sends may continue. A
 * client that is silent for a moment, with nothing left to take, is disconnected.
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
    if (isOver) throw draining.reason; // this becomes the reason in the log
  } finally {
    draining.removeEventListener("abort", onDrain);
    clearInterval(timer);
  }
}
