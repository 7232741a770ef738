import type { Direction, HexDump } from "./hex_dump.ts";
import { writeError } from "../program.ts";

/** The destination of an output. */
export interface Sink {
  /** Its name in errors, such as `standard output`. */
  readonly name: string;
  /** Called before the first write, and for each connection that writes. */
  open?(): Promise<void>;
  write(bytes: Uint8Array): Promise<number>;
  /** All is written. */
  finish?(): Promise<void>;
}

/** Where a relay writes to. */
interface Sinks {
  /** Takes what comes. */
  bytes?: Sink | undefined;
  /** Receives a dump of both directions. */
  dump?: { sink: Sink; format: HexDump } | undefined;
}

const encoder = new TextEncoder();

/** The output of a relay. It awaits each write, which is its back-pressure. */
export class RelayOutput {
  readonly #sinks: Sinks;
  #beginning: string | undefined;
  /** The last line of the dump, so that lines of the two directions do not mix. */
  #dumped: Promise<void> = Promise.resolve();

  constructor(sinks: Sinks) {
    this.#sinks = sinks;
  }

  /** The first received bytes, as characters. */
  get beginning(): string {
    return this.#beginning ?? "";
  }

  /** Prepares for a new connection. */
  async open(): Promise<void> {
    await this.#sinks.bytes?.open?.();
  }

  /** The input has ended. */
  async finish(): Promise<void> {
    await this.#sinks.bytes?.finish?.();
  }

  /** Takes received bytes. */
  async received(chunk: Uint8Array): Promise<void> {
    this.#beginning ??= String.fromCharCode(...chunk.subarray(0, 8));
    const { bytes, dump } = this.#sinks;
    if (dump !== undefined) await this.#dump("received", chunk);
    if (bytes !== undefined) await writeTo(bytes, chunk);
  }

  /** Called with bytes before they are sent. */
  async sending(chunk: Uint8Array): Promise<void> {
    if (this.#sinks.dump !== undefined) await this.#dump("sent", chunk);
  }

  #dump(direction: Direction, chunk: Uint8Array): Promise<void> {
    const { sink, format } = this.#sinks.dump!;
    return this.#dumped = this.#dumped.then(async () => {
      await writeTo(sink, encoder.encode(format.lines(direction, chunk)));
    });
  }
}

async function writeTo(sink: Sink, bytes: Uint8Array): Promise<void> {
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await sink.write(rest));
  } catch (error) {
    throw writeError(error, sink.name);
  }
}
