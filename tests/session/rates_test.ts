import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { RateLimitError } from "../../errors.ts";
import { collect, testEach } from "../_transports.ts";

const PER_SECOND = 200_000;
const BURST = 20_000;
const COUNT = 60_000;
/** What passes before may have come before the clock is looked at. */
const LEAST = (COUNT - BURST) / PER_SECOND * 1000 - 5;

function pattern(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, at) => at * 7 + at / 251);
}

testEach("readRate makes the peer wait, and loses nothing", async (open) => {
  const readRate = { perSecond: PER_SECOND, burst: BURST };
  await using opened = await open({ readRate, frameTimeout: 60_000 });
  const { session, peer } = opened;
  const began = performance.now();
  const sent = peer.send(pattern(COUNT)).then(() => peer.closeWrite());
  const chunks = await collect(session.bytes());
  assert(performance.now() - began >= LEAST);
  assertEquals(new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()), pattern(COUNT));
  await sent;
}, { toHalfClosed: true });

testEach("readRate holds for a session that listens for its peer in any case", async (open) => {
  const readRate = { perSecond: 5000, burst: 1000 };
  await using opened = await open({ readRate, readIdleTimeout: 200, frameTimeout: 60_000 });
  const { session, peer } = opened;
  const began = performance.now();
  const sent = peer.send(pattern(4000)).then(() => peer.closeWrite());
  await collect(session.bytes());
  assert(performance.now() - began >= 595);
  await sent;
}, { toHalfClosed: true });

testEach("writeRate makes the sender wait, and loses nothing", async (open) => {
  await using opened = await open({
    writeRate: { perSecond: PER_SECOND, burst: BURST },
    highWaterMark: 5000,
  });
  const { session, peer } = opened;
  const began = performance.now();
  const received = peer.bytes(COUNT);
  const bytes = pattern(COUNT);
  for (let at = 0; at < COUNT; at += 1000) await session.send(bytes.subarray(at, at + 1000));
  assert(session.bytesBuffered <= 5000);
  await session.flush();
  assert(performance.now() - began >= LEAST);
  assertEquals(await received, bytes);
});

testEach("writeRate goes on after close()", async (open) => {
  await using opened = await open({ writeRate: { perSecond: PER_SECOND, burst: BURST } });
  const { session, peer } = opened;
  session.send(pattern(COUNT));
  const closed = session.close();
  assertEquals(await peer.bytes(COUNT), pattern(COUNT));
  peer.close();
  assertEquals((await closed).reason, "local");
});

testEach("readRate ends a session whose peer sends more, where it says so", async (open) => {
  const readRate = { perSecond: 1000, burst: 5000, exceeded: "end" } as const;
  await using opened = await open({ readRate });
  const { session, peer } = opened;
  await peer.send(pattern(4000));
  assertEquals(await session.readExactly(4000), pattern(4000));
  peer.send(pattern(20_000)).catch(() => {});
  const failed = await session.readExactly(20_000).catch((error) => error);
  const { reason, cause } = await session.closed;
  assertEquals([failed.reason, reason], ["limit", "limit"]);
  assertInstanceOf(cause, RateLimitError);
  assertEquals([cause.perSecond, cause.burst], [1000, 5000]);
});

testEach("writeRate ends a session that sends more, where it says so", async (open) => {
  const writeRate = { perSecond: 1000, burst: 5000, exceeded: "end" } as const;
  await using opened = await open({ writeRate });
  const { session } = opened;
  await session.send(pattern(4000));
  await session.flush();
  session.send(pattern(20_000)).catch(() => {});
  const { reason, cause } = await session.closed;
  assertEquals(reason, "limit");
  assertInstanceOf(cause, RateLimitError);
});

testEach("A session that waits for its rates ends at once, and leaves no timer", async (open) => {
  const rate = { perSecond: 1, burst: 10 };
  await using opened = await open({ readRate: rate, writeRate: rate });
  const { session, peer } = opened;
  await peer.send(pattern(30));
  const reading = session.readExactly(30).catch(({ reason }) => reason);
  session.send(pattern(30)).catch(() => {});
  assertEquals(await peer.bytes(10), pattern(10));
  session.abort();
  assertEquals(await reading, "local");
  await session.closed;
});
