import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InputBuffer } from "../../session/input.ts";

/** Puts bytes in as reads do. */
function fill(input: InputBuffer, bytes: Uint8Array, limit?: number): void {
  for (let rest = bytes; rest.length > 0;) {
    const room = input.room(limit);
    const count = Math.min(room.length, rest.length);
    room.set(rest.subarray(0, count));
    input.commit(room, count);
    rest = rest.subarray(count);
  }
}

Deno.test("InputBuffer gives back the bytes that came, whatever is done with it", {
  permissions: "none",
}, () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("read"), count: fc.nat({ max: 3000 }) }),
    fc.record({ kind: fc.constant("take"), count: fc.nat({ max: 4000 }) }),
    fc.record({ kind: fc.constant("take"), count: fc.nat({ max: 30 }) }),
    fc.record({ kind: fc.constant("change and put back"), count: fc.nat({ max: 30 }) }),
    fc.record({ kind: fc.constant("consume"), count: fc.nat({ max: 500 }) }),
    fc.record({ kind: fc.constant("unshift"), count: fc.nat({ max: 200 }) }),
    fc.record({ kind: fc.constant("late read"), count: fc.nat({ max: 900 }) }),
    fc.record({ kind: fc.constant("accept"), count: fc.nat({ max: 900 }) }),
    fc.record({ kind: fc.constant("accept while bytes are lent"), count: fc.nat({ max: 900 }) }),
    fc.record({ kind: fc.constant("accept what is given"), count: fc.nat({ max: 900 }) }),
    fc.record({ kind: fc.constant("accept what is given"), count: fc.nat({ max: 30 }) }),
    fc.record({
      kind: fc.constant("accept what is given while bytes are lent"),
      count: fc.nat({ max: 900 }),
    }),
    fc.record({ kind: fc.constant("lend"), count: fc.nat({ max: 900 }) }),
    fc.record({ kind: fc.constant("lend"), count: fc.nat({ max: 30 }) }),
    fc.record({ kind: fc.constant("release"), count: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const input = new InputBuffer(16);
      let model: number[] = [];
      let next = 0;
      let outstanding: Uint8Array | undefined;
      const some = (count: number) => Uint8Array.from({ length: count }, () => next++);
      const given: [bytes: Uint8Array, expected: Uint8Array][] = [];
      const take = (count: number) => {
        given.push([input.take(count), Uint8Array.from(model.slice(0, count))]);
        model = model.slice(count);
      };
      for (const { kind, count } of steps) {
        if (kind === "late read") {
          // A read that was begun comes back after other things were done.
          if (outstanding === undefined) outstanding = input.room();
          else {
            const bytes = some(Math.min(count, outstanding.length));
            outstanding.set(bytes);
            input.commit(outstanding, bytes.length);
            model.push(...bytes);
            outstanding = undefined;
          }
        } else if (kind === "read" && outstanding === undefined) {
          const bytes = some(count);
          fill(input, bytes);
          model.push(...bytes);
        } else if (kind.startsWith("accept") && outstanding === undefined && count > 0) {
          const lent = input.buffer.subarray(0, input.end);
          const before = lent.slice();
          const bytes = some(count);
          const isLent = kind.endsWith("lent");
          input.accept(bytes, 900, isLent, kind.includes("given"));
          if (isLent) assertEquals(lent, before);
          model.push(...bytes);
        } else if (kind === "lend" && outstanding === undefined && count > 0) {
          const bytes = some(count);
          if (!input.lend(bytes, 900)) continue;
          model.push(...bytes);
          take(count % 3 === 0 ? count : Math.floor(count / 3));
          if (count % 5 === 0) {
            input.unshift(Uint8Array.of(next));
            model.unshift(next++ & 0xff);
          }
          input.keep();
          bytes.fill(0); // by the next read of whoever shares this memory
        } else if (kind === "release" && outstanding === undefined) {
          input.release();
        } else if (kind === "unshift") {
          const bytes = some(count);
          input.unshift(bytes);
          model = [...bytes, ...model];
        } else if (kind === "take") {
          take(Math.min(count, model.length));
        } else if (kind === "consume") {
          const amount = Math.min(count, model.length);
          input.consume(amount);
          model = model.slice(amount);
        } else if (kind === "change and put back") {
          const amount = Math.min(count, model.length);
          const bytes = input.buffer.subarray(input.start, input.start + amount);
          input.consume(amount);
          bytes.forEach((_, at) => bytes[at] = next++);
          input.unshift(bytes);
          model.splice(0, amount, ...bytes);
        }
        assertEquals(input.unread, model.length);
      }
      take(model.length);
      for (const [bytes, expected] of given) assertEquals(bytes, expected);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("InputBuffer gives away what was given to it, and does not copy it", {
  permissions: "none",
}, () => {
  const input = new InputBuffer(16);
  for (const size of [1, 64, 5000]) {
    const bytes = new Uint8Array(size);
    input.accept(bytes, 16 * 1024, false, true);
    assertStrictEquals(input.take(size), bytes);
  }
  const [first, second] = [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)];
  input.accept(first, 1024, false, true);
  assertEquals(input.take(1), Uint8Array.of(1)); // a copy, since the rest is not given away
  input.accept(second, 1024, false, true);
  const rest = input.take(4);
  assertEquals(rest, Uint8Array.of(2, 3, 4, 5));
  rest.fill(0);
  assertEquals([first, second], [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5)]);
});

Deno.test("InputBuffer takes as much memory for a first small frame as that has", {
  permissions: "none",
}, () => {
  const input = new InputBuffer(1024);
  for (const size of [64, 128, 128, 256]) { // twice as much each time, which two frames share
    assert(input.lend(new Uint8Array(64), 1024));
    assertEquals(input.take(64).buffer.byteLength, size);
    input.keep();
    assertEquals(input.size, 0);
  }
});

Deno.test("InputBuffer.take() follows bytes that are moved", { permissions: "none" }, () => {
  const bytes = Uint8Array.from({ length: 65_000 }, (_, at) => at * 7 + (at >> 8));
  // By a large one that is given away with its memory.
  const given = new InputBuffer(1024);
  fill(given, bytes);
  assertEquals(given.take(10), bytes.slice(0, 10));
  assertEquals(given.take(64_000), bytes.slice(10, 64_010));
  assertEquals(given.take(10), bytes.slice(64_010, 64_020));
  // By reads that come back once their memory is no part of the buffer any more.
  const late = new InputBuffer(1024);
  const room = late.room();
  late.unshift(bytes.subarray(0, 1000));
  assertEquals(late.take(300), bytes.slice(0, 300));
  for (const from of [1000, 2024]) {
    room.set(bytes.subarray(from, from + 1024));
    late.commit(room, 1024);
  }
  assertEquals(late.take(100), bytes.slice(300, 400));
});

Deno.test(
  "InputBuffer takes memory for what came, not for what is needed",
  { permissions: "none" },
  () => {
    const input = new InputBuffer(1024);
    input.cap = 8 * 1024 * 1024;
    input.need(8 * 1024 * 1024);
    fill(input, new Uint8Array(10));
    assert(input.buffer.length <= 1024);
    fill(input, new Uint8Array(100_000));
    assert(input.buffer.length <= 400_000, `${input.buffer.length} bytes`);
  },
);

Deno.test("InputBuffer holds little more than the cap", { permissions: "none" }, () => {
  const input = new InputBuffer(1024);
  input.cap = 1_000_000;
  fill(input, new Uint8Array(1_000_000));
  assert(input.buffer.length <= 1_000_000 + 2 * 64 * 1024, `${input.buffer.length} bytes`);
});

Deno.test("InputBuffer shrinks again when reads come back small", { permissions: "none" }, () => {
  const input = new InputBuffer(1024);
  for (let i = 0; i < 4; i++) {
    fill(input, new Uint8Array(200_000));
    input.consume(200_000);
  }
  assertEquals(input.room().length, 64 * 1024);
  input.isBorrowed = true;
  fill(input, new Uint8Array(200_000));
  input.consume(200_000);
  assertEquals(input.room().length, 128 * 1024);
  input.isBorrowed = false;
  assertEquals(input.room().length, 64 * 1024);
  for (let i = 0; i < 50; i++) {
    fill(input, new Uint8Array(10));
    input.consume(10);
  }
  assertEquals(input.room().length, 1024);
  assert(input.buffer.length <= 2048);
});

Deno.test("InputBuffer copies a byte a bounded number of times", { permissions: "none" }, () => {
  // A frame in many pieces: time in proportion to its length means memory that doubles.
  const input = new InputBuffer(1024);
  const sizes = new Set<number>();
  for (let i = 0; i < 100_000; i++) {
    fill(input, new Uint8Array(10), 1024);
    sizes.add(input.buffer.length);
  }
  assertEquals(input.unread, 1_000_000);
  assert(sizes.size < 15, `${sizes.size} sizes`);
});

Deno.test("InputBuffer refuses to give more than there is", { permissions: "none" }, () => {
  const input = new InputBuffer(16);
  fill(input, new Uint8Array(3));
  for (const count of [4, -1, NaN]) {
    assertThrows(() => input.take(count), RangeError, "3 are unread");
    assertThrows(() => input.consume(count), RangeError, "3 are unread");
  }
  assertEquals(input.unread, 3);
});
