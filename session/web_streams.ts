import { ownedChunks } from "./chunks.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { Reading } from "./reading.ts";

/** Input as a web stream. It reads only when it is read, so that what nobody took stays with the session. */
export function readableOf(life: Lifecycle): ReadableStream<Uint8Array<ArrayBuffer>> {
  const chunks = new Reading(life.reader, ownedChunks);
  return new ReadableStream({
    async pull(controller): Promise<void> {
      const { value, done } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value as Uint8Array<ArrayBuffer>);
    },
    async cancel(): Promise<void> {
      await chunks.return();
    },
  }, { highWaterMark: 0 });
}

/** Output as a web stream: closing it half-closes, aborting it aborts the session. */
export function writableOf(life: Lifecycle): WritableStream<string | Uint8Array> {
  return new WritableStream({
    start(controller): void {
      const { signal } = life;
      if (signal.aborted) controller.error(signal.reason);
      else signal.addEventListener("abort", () => controller.error(signal.reason));
    },
    write: (chunk) => life.output.send(chunk),
    close: () => life.closeWrite(),
    abort: (reason) => life.terminate("local", reason),
  });
}
