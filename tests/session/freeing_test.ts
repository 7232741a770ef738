// Memory that is freed at once, without the collection of garbage: an array that has lost it is empty.

import { assert, assertEquals } from "@std/assert";
import { Session } from "../../session.ts";
import { BufferPool } from "../../session/buffer_pool.ts";
import { InputBuffer } from "../../session/input.ts";
import { OutputBuffer } from "../../session/output_buffer.ts";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { memoryPair } from "../../transport/memory.ts";
import { bounded, settle, until } from "../_serving.ts";

const KIB = 1024;

/** An input with some unread bytes. */
function filled(size: number): InputBuffer {
  const input = new InputBuffer(KIB);
  input.commit(input.room(size), size);
  return input;
}

Deno.test("InputBuffer frees what it has grown out of, unless bytes of it may be lent", () => {
  for (const isLent of [false, true]) {
    const input = filled(64 * KIB);
    const before = input.buffer;
    input.accept(new Uint8Array(4 * KIB), 4 * KIB, isLent);
    assertEquals(before.length, isLent ? 64 * KIB : 0);
    assertEquals(input.unread, 68 * KIB);
  }
  const input = filled(64 * KIB);
  const before = input.buffer;
  input.room();
  assertEquals(before.length, 0);
});

Deno.test("InputBuffer frees the memory of small reads once reads are larger", () => {
  const input = filled(4 * KIB);
  const before = input.buffer;
  input.consume(4 * KIB);
  input.room(16 * KIB);
  assertEquals(before.length, 0);
});

Deno.test("InputBuffer frees what was given to it and is not used any more, unless it is small or lent", () => {
  for (
    const [size, isLent, left] of [[4 * KIB, false, 0], [4 * KIB, true, 4 * KIB], [
      KIB,
      false,
      KIB,
    ]] as const
  ) {
    const input = new InputBuffer(KIB);
    const first = new Uint8Array(size);
    input.accept(first, 4 * KIB, false, true);
    input.consume(size);
    input.accept(new Uint8Array(10), 4 * KIB, isLent, true);
    assertEquals(first.length, left);
  }
});

Deno.test("InputBuffer never frees a frame that it has handed over", () => {
  const input = filled(64 * KIB);
  const frame = input.take(64 * KIB);
  input.commit(input.room(64 * KIB), 64 * KIB);
  input.accept(new Uint8Array(4 * KIB), 4 * KIB, false);
  input.clear(false);
  assertEquals(frame.length, 64 * KIB);
});

Deno.test("InputBuffer.clear() frees its memory, unless bytes of it may be lent", () => {
  for (const isLent of [false, true]) {
    const input = filled(64 * KIB);
    const before = input.buffer;
    input.clear(isLent);
    assertEquals(before.length, isLent ? 64 * KIB : 0);
  }
});

Deno.test("InputBuffer.abandon() frees what clear() had to spare for the outstanding read", () => {
  for (const isLent of [false, true]) {
    const input = filled(64 * KIB);
    const room = input.room();
    const before = input.buffer;
    input.clear(isLent);
    assert(room.length > 0);
    input.abandon();
    assertEquals(before.length, isLent ? 128 * KIB : 0);
  }
});

Deno.test("InputBuffer.abandon() leaves what is unread, and what was replaced", () => {
  const input = filled(64 * KIB);
  input.room();
  const before = input.buffer;
  input.abandon();
  assertEquals(input.buffer.length, before.length);
  input.room();
  input.unshift(new Uint8Array(8)); // bytes of the old memory may be lent
  input.abandon();
  assert(before.length > 0);
});

Deno.test("OutputBuffer frees what it has grown out of, and what a failed encoding has added", () => {
  const pool = new BufferPool();
  const out = new OutputBuffer(pool);
  out.bytes(new Uint8Array(3000).fill(97));
  const before = pool.budget.held;
  const seen: Uint8Array[] = [];
  const encode = (): never => {
    for (let i = 0; i < 40; i++) out.bytes(new Uint8Array(5000));
    out.bytes(new Uint8Array(20_000)); // it refers to these
    out.text("b");
    throw new RangeError("no such message");
  };
  try {
    out.addFrame({ encode }, undefined);
  } catch (error) {
    assert(error instanceof RangeError);
  }
  out.text("c");
  while (!out.isEmpty) seen.push(out.take().bytes);
  assertEquals(seen.map((bytes) => new TextDecoder().decode(bytes)), ["a".repeat(3000) + "c"]);
  assertEquals([before, pool.budget.held], [3000, seen[0]!.buffer.byteLength]);
});

Deno.test("Session leaves a borrowed chunk alone when it ends", bounded, async () => {
  const [near, far] = memoryPair();
  const session = new Session(near);
  const chunks = session.bytes({ borrow: true });
  far.write(new Uint8Array(60 * KIB).fill(7)).catch(() => {});
  let chunk: Uint8Array;
  do chunk = (await chunks.next()).value!; while (chunk.length < 4 * KIB); // reads grow
  const { length } = chunk;
  session.abort();
  await session.closed;
  await settle();
  assert(chunk.length === length && chunk.every((byte) => byte === 7));
  far.close();
});

Deno.test("Session frees an incomplete frame as soon as it ends", bounded, async () => {
  const [near, far] = memoryPair({ capacity: 64 * KIB });
  const session = new Session(near);
  const frame = session.frames(lengthPrefixed()).read();
  frame.catch(() => {});
  const input = new Uint8Array(60 * KIB);
  new DataView(input.buffer).setUint32(0, 100 * KIB);
  far.write(input);
  await until(() => session.bytesRead === 60 * KIB);
  let freed = 0;
  const { transfer } = ArrayBuffer.prototype;
  ArrayBuffer.prototype.transfer = function (length): ArrayBuffer {
    freed += this.byteLength;
    return transfer.call(this, length);
  };
  try {
    session.abort();
    await session.closed;
  } finally {
    ArrayBuffer.prototype.transfer = transfer;
  }
  assert(freed >= 60 * KIB, `${freed} bytes were freed`);
  far.close();
});
