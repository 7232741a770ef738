import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { memoryListener, memoryPair } from "../../transport/memory.ts";
import { isPending } from "../_transports.ts";

const buffer = (): Uint8Array => new Uint8Array(100);

Deno.test("memoryPair() carries bytes both ways", async () => {
  const [a, b] = memoryPair();
  assertEquals(await a.write(Uint8Array.of(1, 2, 3)), 3);
  const got = buffer();
  assertEquals(await b.read(got), 3);
  assertEquals([...got.subarray(0, 3)], [1, 2, 3]);
  const reading = a.read(got);
  await b.write(Uint8Array.of(9));
  assertEquals(await reading, 1);
  assertEquals([a.remoteAddr, a.localAddr], [b.localAddr, b.remoteAddr]);
});

Deno.test("memoryPair() accepts no more than its capacity, and wraps around", async () => {
  const [a, b] = memoryPair({ capacity: 4 });
  const got = buffer();
  for (let i = 0; i < 10; i++) {
    assertEquals(await a.write(Uint8Array.of(i, i + 1, i + 2, i + 3, i + 4)), 4);
    const more = a.write(Uint8Array.of(100));
    assert(await isPending(more));
    assertEquals(await b.read(got.subarray(0, 3)), 3);
    assertEquals([...got.subarray(0, 3)], [i, i + 1, i + 2]);
    assertEquals(await more, 1);
    assertEquals(await b.read(got), 2);
    assertEquals([...got.subarray(0, 2)], [i + 3, 100]);
  }
  assertThrows(() => memoryPair({ capacity: 0 }), RangeError, "capacity");
});

Deno.test("memoryPair() half-closes", async () => {
  const [a, b] = memoryPair();
  await a.write(Uint8Array.of(1));
  await a.closeWrite();
  assertEquals(await b.read(buffer()), 1);
  assertEquals(await b.read(buffer()), null);
  assertEquals(await b.read(buffer()), null);
  await b.write(Uint8Array.of(2));
  assertEquals(await a.read(buffer()), 1);
  await assertRejects(() => a.write(Uint8Array.of(3)), Deno.errors.BrokenPipe);
});

Deno.test("memoryPair() closes: what was written still arrives, and then writes fail", async () => {
  const [a, b] = memoryPair();
  await a.write(Uint8Array.of(1, 2));
  const reading = a.read(buffer());
  a.close();
  await assertRejects(() => reading, Deno.errors.Interrupted);
  await assertRejects(() => a.read(buffer()), Deno.errors.Interrupted);
  await assertRejects(() => a.write(buffer()), Deno.errors.BadResource);
  assertEquals(await b.read(buffer()), 2);
  assertEquals(await b.read(buffer()), null);
  await assertRejects(() => b.write(buffer()), Deno.errors.BrokenPipe);
});

Deno.test("memoryPair() resets if unread input is discarded, and reports it once", async () => {
  const [a, b] = memoryPair({ capacity: 4 });
  await a.write(Uint8Array.of(1, 2, 3, 4));
  await b.write(Uint8Array.of(1));
  const blocked = a.write(Uint8Array.of(5));
  b.close();
  await assertRejects(() => blocked, Deno.errors.ConnectionReset);
  await assertRejects(() => a.read(buffer()), Deno.errors.ConnectionReset);
  assertEquals(await a.read(buffer()), null);
});

Deno.test("memoryListener() accepts those who dial, in order, and refuses once closed", async () => {
  const listener = memoryListener();
  const first = listener.connect();
  const waiting = [await listener.accept(), listener.accept()] as const;
  await assertRejects(() => listener.accept(), Deno.errors.Busy);
  const second = listener.connect({ capacity: 10 });
  await second.write(Uint8Array.of(2));
  assertEquals(await (await waiting[1]).read(buffer()), 1);
  await first.write(Uint8Array.of(1, 1));
  assertEquals(await waiting[0].read(buffer()), 2);
  const queued = listener.connect();
  const last = listener.accept();
  await last;
  const never = listener.accept();
  const left = listener.connect();
  await never;
  const unserved = listener.connect();
  const end = listener.accept().then(() => listener.accept());
  listener.close();
  await assertRejects(() => end, Deno.errors.BadResource);
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
  assertThrows(() => listener.connect(), Deno.errors.ConnectionRefused);
  for (const connection of [queued, left, unserved]) connection.close();
});

Deno.test("memoryListener() closes those in its backlog", async () => {
  const listener = memoryListener();
  const client = listener.connect();
  listener.close();
  assertEquals(await client.read(buffer()), null);
});
