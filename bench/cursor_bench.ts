/**
 * Reading and writing the fields of a frame, compared with a DataView by hand.
 *
 *     deno bench bench/cursor_bench.ts
 */

import { Cursor, type FrameWriter } from "@parley/tcp/codecs";
import { prepare } from "@parley/tcp/session";

const COUNT = 100;

/** COUNT frames, each with a type, an id, a time, a price, flags and a name. */
const NAME = "rose babala";
const SIZE = 1 + 4 + 8 + 8 + 2 + 2 + NAME.length;
const frame = prepare(undefined, { encode: (_, out) => write(out) });
if (frame.byteLength !== SIZE) throw new Error(`${frame.byteLength} bytes`);
const bytes = byHand();
const decoder = new TextDecoder();

function write(out: FrameWriter): void {
  out.uint(7, 1);
  out.uint(123_456_789, 4);
  out.int(-1_700_000_000_000, 8);
  out.float(12.5, 8);
  out.uint(0x8001, 2, true);
  out.prefixed(2, writeName);
}

function writeName(out: FrameWriter): void {
  out.text(NAME);
}

function byHand(): Uint8Array {
  const name = new TextEncoder().encode(NAME);
  const frame = new Uint8Array(SIZE);
  const view = new DataView(frame.buffer);
  view.setUint8(0, 7);
  view.setUint32(1, 123_456_789);
  view.setBigInt64(5, -1_700_000_000_000n);
  view.setFloat64(13, 12.5);
  view.setUint16(21, 0x8001, true);
  view.setUint16(23, name.length);
  frame.set(name, 25);
  return frame;
}

/** The sum of what was read, so that no read is optimized away. */
export let sum = 0;

Deno.bench({
  name: "Cursor",
  group: `read ${COUNT} frames of ${SIZE} B`,
  baseline: true,
  fn: () => {
    for (let i = 0; i < COUNT; i++) {
      const cursor = new Cursor(bytes);
      sum += cursor.uint(1) + cursor.uint(4) + cursor.int(8) + cursor.float(8);
      sum += cursor.uint(2, true) + cursor.text(cursor.uint(2)).length;
    }
  },
});

Deno.bench({
  name: "by hand: DataView, TextDecoder",
  group: `read ${COUNT} frames of ${SIZE} B`,
  fn: () => {
    for (let i = 0; i < COUNT; i++) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      sum += view.getUint8(0) + view.getUint32(1) + Number(view.getBigInt64(5)) +
        view.getFloat64(13);
      const length = view.getUint16(23);
      sum += view.getUint16(21, true) + decoder.decode(bytes.subarray(25, 25 + length)).length;
    }
  },
});

Deno.bench({
  name: "Cursor",
  group: `read ${COUNT} frames of 5 integers`,
  baseline: true,
  fn: () => {
    for (let i = 0; i < COUNT; i++) {
      const cursor = new Cursor(bytes);
      sum += cursor.uint(1) + cursor.uint(4) + cursor.uint(2) + cursor.int(2) + cursor.int(4);
    }
  },
});

Deno.bench({
  name: "by hand: DataView",
  group: `read ${COUNT} frames of 5 integers`,
  fn: () => {
    for (let i = 0; i < COUNT; i++) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      sum += view.getUint8(0) + view.getUint32(1) + view.getUint16(5) + view.getInt16(7) +
        view.getInt32(9);
    }
  },
});

Deno.bench({
  name: "FrameWriter",
  group: `write ${COUNT} frames of ${SIZE} B`,
  baseline: true,
  fn: () => {
    prepare(undefined, {
      encode: (_, out) => {
        for (let i = 0; i < COUNT; i++) write(out);
      },
    });
  },
});

Deno.bench({
  name: "by hand: DataView, TextEncoder",
  group: `write ${COUNT} frames of ${SIZE} B`,
  fn: () => {
    prepare(undefined, {
      encode: (_, out) => {
        for (let i = 0; i < COUNT; i++) out.bytes(byHand());
      },
    });
  },
});
