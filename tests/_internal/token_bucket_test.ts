import { assertEquals } from "@std/assert";
import { TokenBucket } from "../../_internal/token_bucket.ts";

const rate = { perSecond: 10, burst: 5 };

Deno.test("TokenBucket is full at first, and fills at its rate up to its burst", () => {
  const bucket = new TokenBucket(rate, 1000);
  assertEquals(bucket.take(4, rate, 1000), 1);
  assertEquals(bucket.level(rate, 1100), 2);
  assertEquals(bucket.level(rate, 1300), 4);
  assertEquals(bucket.level(rate, 100_000), 5);
});

Deno.test("TokenBucket may be owed, and is given back what is owed first", () => {
  const bucket = new TokenBucket(rate, 0);
  assertEquals(bucket.take(25, rate, 0), -20);
  assertEquals(bucket.level(rate, 1900), -1);
  assertEquals(bucket.level(rate, 2000), 0);
  assertEquals(bucket.take(1, rate, 2050), -0.5);
});

Deno.test("TokenBucket takes a clock that goes back for one that stands still", () => {
  const bucket = new TokenBucket(rate, 1000);
  bucket.take(5, rate, 1000);
  assertEquals(bucket.level(rate, 0), 0);
  assertEquals(bucket.level(rate, 1100), 1);
});

Deno.test("TokenBucket lets no more pass than its burst and its rate, whatever is asked for", () => {
  const bucket = new TokenBucket(rate, 0);
  let taken = 0;
  for (let now = 0; now <= 10_000; now += 7) {
    while (bucket.level(rate, now) >= 1) {
      bucket.take(1, rate, now);
      taken++;
    }
  }
  assertEquals(taken, 104); // 5 and, in 9,996 ms, 99 whole ones
});
