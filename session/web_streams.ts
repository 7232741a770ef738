import { ownedChunks } from "./chunks.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Reader } from "./reader.ts";
import { Reading } from "./reading.ts";

/** The input as a web stream. It reads the session only when it is read, so that other bytes stay in the session. */
export class InputStream {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #chunks: Reading<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #isReading = false;

  constructor(reader: Reader) {
    this.#chunks = new Reading(reader, ownedChunks);
    this.stream = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#pull(),
      cancel: async () => void await this.#chunks.return(),
    }, { highWaterMark: 0, size: ({ length }) => length });
  }

  /**
   * How many unread bytes are in the stream, for example after an abandoned read. Throws while the stream is in use: a
   * pipe or a tee may hold bytes that cannot be counted.
   */
  get held(): number {
    if (this.stream.locked || this.#isReading) {
      throw new TypeError(
        "TLS cannot begin while session.readable is locked or a read of it waits",
      );
    }
    return -(this.#controller.desiredSize ?? 0);
  }

  async #pull(): Promise<void> {
    this.#isReading = true;
    try {
      const { value, done } = await this.#chunks.next();
      if (done) this.#controller.close();
      else this.#controller.enqueue(value as Uint8Array<ArrayBuffer>);
    } finally {
      this.#isReading = false;
    }
  }
}

/** The output as a web stream. Closing it half-closes the session; aborting it aborts the session. */
export function writableOf(life: Lifecycle): WritableStream<string | Uint8Array> {
  const { output } = life;
  let half = ""; // the first half of a surrogate pair, whose second half may begin the next chunk
  return new WritableStream({
    start(controller): void {
      const { signal } = life;
      if (signal.aborted) controller.error(signal.reason);
      else signal.addEventListener("abort", () => controller.error(signal.reason));
    },
    write(chunk): Promise<void> {
      if (typeof chunk !== "string") {
        if (half !== "") output.send(half);
        half = "";
        return output.send(chunk);
      }
      const text = half + chunk;
      half = isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.slice(-1) : "";
      return output.send(half === "" ? text : text.slice(0, -1));
    },
    close(): Promise<void> {
      if (half !== "") output.send(half);
      return life.closeWrite();
    },
    abort: (reason) => life.terminate("local", reason),
  });
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
