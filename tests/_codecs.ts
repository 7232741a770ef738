// Runs a codec without a session: what a decoder makes of bytes that come in given pieces.

import { concat } from "../_internal/concat.ts";
import { InputBuffer } from "../session/input.ts";
import { type IoEvents, Output } from "../session/output.ts";
import { Budget } from "../session/budget.ts";
import { BufferPool } from "../session/buffer_pool.ts";
import { FlushQueue } from "../session/flush_queue.ts";
import { Reader } from "../session/reader.ts";
import { Reading } from "../session/reading.ts";
import type { Codec } from "../codecs/codec.ts";

const NO_EVENTS: IoEvents = {
  onFailure: () => {},
  onWriteFailure: () => {},
  onIdle: () => {},
  onBlocked: () => {},
};

export { concat, InputBuffer };

/** What came of decoding: the frames, and then the end of input or an error. */
export interface Decoded<Frame> {
  frames: Frame[];
  error: Error | undefined;
  /** The most memory that the input held at any time, in bytes. */
  memory: number;
}

/** Decodes pieces as a session does, one read a piece (larger ones are split), then the end of input. */
export async function decode<In>(
  codec: Codec<In, never>,
  pieces: Iterable<Uint8Array>,
): Promise<Decoded<In>> {
  const queue: Uint8Array[] = [...pieces].filter(({ length }) => length > 0);
  const source = {
    read(buffer: Uint8Array): Promise<number | null> {
      const piece = queue.shift();
      if (piece === undefined) return Promise.resolve(null);
      const count = Math.min(buffer.length, piece.length);
      buffer.set(piece.subarray(0, count));
      if (count < piece.length) queue.unshift(piece.subarray(count));
      return Promise.resolve(count);
    },
  };
  const output = {
    queued: false,
    writing: false,
    isUnanswered: false,
    buffered: 0,
    flush: () => {},
  };
  const group = { drained: undefined, budget: new Budget(), pace: () => {} };
  const reader = new Reader(source, 1024, output, group, NO_EVENTS);
  const reading = new Reading(reader, codec);
  const frames: In[] = [];
  let memory = 0;
  try {
    for (;;) {
      const { value, done } = await reading.next();
      memory = Math.max(memory, reader.input.buffer.length);
      if (done) return { frames, error: undefined, memory };
      frames.push(value);
    }
  } catch (error) {
    memory = Math.max(memory, reader.input.buffer.length);
    return { frames, error: error as Error, memory };
  }
}

/** The bytes that a codec makes of messages. */
export async function encode<Out>(
  codec: Pick<Codec<unknown, Out>, "encode">,
  messages: Iterable<Out>,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const sink = {
    write(data: Uint8Array): Promise<number> {
      parts.push(data.slice());
      return Promise.resolve(data.length);
    },
    closeWrite: () => Promise.resolve(),
  };
  const limits = { highWaterMark: 64 * 1024, maxBufferedOutput: 2 ** 40 };
  const output = new Output(sink, new FlushQueue(), new BufferPool(), limits, NO_EVENTS);
  for (const message of messages) await output.sendFrame(codec, message);
  await output.flushed();
  return concat(parts);
}

/** Text or numbers as bytes, for tables of cases. */
export function toBytes(input: string | readonly number[] | Uint8Array): Uint8Array {
  return typeof input === "string" ? new TextEncoder().encode(input) : Uint8Array.from(input);
}

/** The three ways that every case of a codec's table comes in, each with the frames that must follow it. */
export function threeWays(input: Uint8Array): [way: string, pieces: Uint8Array[]][] {
  return [
    ["in one chunk", [input]],
    ["byte by byte", Array.from(input, (_, i) => input.subarray(i, i + 1))],
    ["cut in two", [input.subarray(0, input.length >> 1), input.subarray(input.length >> 1)]],
  ];
}
