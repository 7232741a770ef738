import { assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { BufferPool } from "../../session/buffer_pool.ts";

const KIB = 1024;

Deno.test("BufferPool gives again what was given back, the last first", {
  permissions: "none",
}, () => {
  const pool = new BufferPool();
  const [first, second] = [pool.take(10), pool.take(2000)];
  assertEquals([first.length, second.length], [512, 2000]);
  pool.give(first);
  pool.give(second);
  assertStrictEquals(pool.take(600), second);
  assertEquals(pool.take(600).length, 600); // what was kept is too small
  assertNotStrictEquals(pool.take(10), first);
});

Deno.test("BufferPool.first() makes a view again only for another buffer or length", {
  permissions: "none",
}, () => {
  const pool = new BufferPool();
  const [one, other] = [pool.take(10), pool.take(3000)];
  const view = pool.first(one, 5);
  assertEquals([view.buffer, view.length], [one.buffer, 5]);
  assertStrictEquals(pool.first(one, 5), view);
  assertEquals(pool.first(one, 6).length, 6);
  const last = pool.first(other, 6);
  assertStrictEquals(last.buffer, other.buffer);
  pool.drop(other); // which frees it
  assertEquals([other.length, pool.first(one, 6).length], [0, 6]);
});

Deno.test("BufferPool keeps 1 MiB, and what was not used until trim() not at all", {
  permissions: "none",
}, () => {
  const pool = new BufferPool();
  let buffers = Array.from({ length: 20 }, () => pool.take(64 * KIB));
  for (const buffer of buffers) pool.give(buffer);
  const reused = (): number => {
    const taken = Array.from({ length: 20 }, () => pool.take(64 * KIB));
    const count = taken.filter((buffer) => buffers.includes(buffer)).length;
    for (const buffer of taken.slice(0, count)) pool.give(buffer);
    return count;
  };
  assertEquals(reused(), 16);
  pool.trim(); // all were used
  const one = pool.take(1);
  assertEquals(buffers.includes(one), true);
  pool.give(one);
  pool.trim(); // one was used
  assertEquals(reused(), 1);
  pool.trim();
  pool.trim();
  assertEquals(reused(), 0);
  assertEquals(new Set(buffers.map(({ length }) => length)), new Set([0])); // they are freed
  buffers = Array.from({ length: 20 }, () => pool.take(64 * KIB));
  for (const buffer of buffers) pool.give(buffer);
  assertEquals(reused(), 16);
});
