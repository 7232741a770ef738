import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { FrameTooLargeError, SessionEndedError, TruncatedFrameError } from "../../errors.ts";
import type { Session } from "../../session.ts";
import {
  converse,
  type ConverseOptions,
  hostileNetwork,
  type NetworkOptions,
  sessionPair,
} from "../../testing/mod.ts";
import { memoryPair } from "../../transport/memory.ts";
import { collect, isPending } from "../_transports.ts";

async function greet(session: Session): Promise<void> {
  await session.send("welcome!");
  for await (const name of session) {
    if (name === "exit") break;
    await session.send(`hello, ${name}!`);
  }
}

async function greetLines(session: Session): Promise<void> {
  for await (const name of session.lines()) await session.send(`hello, ${name}!\n`);
}

Deno.test("converse() runs the greeting service against a script", async () => {
  const { end, error } = await converse(greet, async (peer) => {
    await peer.expect("welcome!");
    for (const name of ["rose", "think", "babala"]) {
      await peer.send(name);
      await peer.expect(`hello, ${name}!`);
    }
    await peer.send("exit");
    await peer.expectEnd();
  });
  assertEquals([end.reason, error], ["local", undefined]);
});

Deno.test("converse() returns what the handler threw", async () => {
  const thrown = new Error("no such room");
  const { end, error } = await converse(() => Promise.reject(thrown), (peer) => peer.expectReset());
  assertEquals([end.reason, end.cause, error], ["error", thrown, thrown]);
});

Deno.test("converse() rejects with an expectation that is not met", async () => {
  const wrong: [(peer: Parameters<Parameters<typeof converse>[1]>[0]) => Promise<void>, string][] =
    [
      [(peer) => peer.expect("goodbye!"), 'expected "goodbye!", got "welcome!"'],
      [(peer) => peer.expectEnd(), 'expected the end of input, got "welcome!"'],
      [(peer) => peer.expect("welcome! and more"), 'expected "welcome! and more" within 30 ms'],
      [async (peer) => {
        await peer.send("exit");
        await peer.expect("welcome! and more");
      }, 'expected "welcome! and more", got "welcome!"'],
      [async (peer) => {
        await peer.expect("welcome!");
        await peer.expectEnd();
      }, "expected the end of input within 30 ms"],
      [(peer) => peer.expectReset(), 'expected a reset, got "welcome!"'],
      [async (peer) => {
        await peer.send("exit");
        await peer.expect("welcome!");
        await peer.expectReset();
      }, "expected a reset, got the end of input"],
    ];
  for (const [script, message] of wrong) {
    await assertRejects(() => converse(greet, script, { timeout: 30 }), Error, message);
  }
});

Deno.test("converse() over a network that chops works for any seed, the same way twice", async () => {
  for (let seed = 0; seed < 50; seed++) {
    const { end } = await converse(greetLines, async (peer) => {
      await peer.send("rose\r\nthink\nbab");
      await peer.send("ala\n");
      await peer.expect("hello, rose!\nhello, think!\nhello, babala!\n");
      await peer.closeWrite();
      await peer.expectEnd();
    }, { network: { seed, chop: 4, ...(seed % 10 === 0 && { delay: 1 }) } });
    assertEquals(end.reason, "peer");
  }
});

Deno.test("hostileNetwork() chops by its seed", async () => {
  const pieces = async (seed: number): Promise<number[]> => {
    const [near, far] = memoryPair();
    await far.write(new Uint8Array(1000));
    await far.closeWrite();
    const network = hostileNetwork(near, { seed, chop: 20 });
    const sizes = [];
    for (;;) {
      const count = await network.read(new Uint8Array(64));
      if (count === null) return sizes;
      sizes.push(count);
    }
  };
  assertEquals(await pieces(1), await pieces(1));
  assert(JSON.stringify(await pieces(1)) !== JSON.stringify(await pieces(2)));
  const sizes = await pieces(3);
  assertEquals(sizes.reduce((a, b) => a + b), 1000);
  assert(Math.max(...sizes) === 20 && Math.min(...sizes) === 1);
});

Deno.test("sessionPair() talks, and closes when both close", async () => {
  const [left, right] = sessionPair({ capacity: 10 });
  left.send("x".repeat(1000));
  assertEquals((await right.readExactly(1000)).length, 1000);
  const ends = await Promise.all([left.close(), right.close()]);
  assertEquals(ends.map(({ reason }) => reason), ["local", "local"]);
});

Deno.test("hostileNetwork() truncates in the middle of a frame", async () => {
  const [left, right] = sessionPair({ network: { truncateAfter: 7 } });
  await right.send("0123456789");
  assertEquals((await left.readExactly(5)).length, 5);
  const error = await assertRejects(() => left.readExactly(5), TruncatedFrameError);
  assertEquals(error.received, 2);
  await Promise.all([left.close(), right.close()]);
});

Deno.test("hostileNetwork() resets in the middle of a frame", async () => {
  const [left, right] = sessionPair({ network: { resetAfter: 5 } });
  await right.send("one\ntwo\n");
  const lines = left.lines();
  assertEquals(await lines.read(), "one");
  const error = await assertRejects(() => lines.read(), SessionEndedError);
  assertInstanceOf(error.cause, Deno.errors.ConnectionReset);
  assertEquals((await left.closed).reason, "peer");
  right.abort();
  await right.closed;
});

Deno.test("hostileNetwork() stalls until the deadline of a frame", async () => {
  const [left, right] = sessionPair({ network: { stallAfter: 5 }, left: { frameTimeout: 30 } });
  await right.send("one\ntwo\n");
  assertEquals(await left.readLine(), "one");
  const error = await assertRejects(() => left.readLine(), SessionEndedError);
  assertEquals(error.reason, "frame-stalled");
  right.abort();
  await Promise.all([left.closed, right.closed]);
});

Deno.test("hostileNetwork() stands for a peer that does not read", async () => {
  const [left, right] = sessionPair({ network: { blockAfter: 3 }, left: { writeTimeout: 30 } });
  left.send("0123456789");
  assertEquals((await right.readExactly(3)).length, 3);
  const error = await assertRejects(() => left.flush(), SessionEndedError);
  assertEquals(error.reason, "write-stalled");
  right.abort();
  await Promise.all([left.closed, right.closed]);
});

Deno.test("hostileNetwork() leaves no timer behind when it is closed in a delay", async () => {
  const [left, right] = sessionPair({ network: { delay: 60_000 } });
  const line = left.readLine();
  assert(await isPending(line));
  left.abort();
  right.abort();
  await assertRejects(() => line, SessionEndedError);
  await Promise.all([left.closed, right.closed]);
});

Deno.test("converse() hands session options on", async () => {
  const { end } = await converse(greetLines, async (peer) => {
    await peer.send("x".repeat(2000));
    await peer.expectEnd();
  }, { session: { frameTimeout: 30 }, capacity: 100, network: { chop: 100 } });
  assertEquals(end.reason, "frame-stalled");
  const limited = await converse(async (session) => {
    await collect(session.lines({ maxLength: 10 }));
  }, async (peer) => {
    await peer.send("01234567890\n");
    await peer.expectEnd();
  });
  assertEquals([limited.end.reason, limited.error], ["limit", undefined]);
  assertInstanceOf(limited.end.cause, FrameTooLargeError);
});

Deno.test("hostileNetwork() checks its options", () => {
  const [near] = memoryPair();
  const wrong: [NetworkOptions, string][] = [
    [{ seed: -1 }, "seed must be an integer from 0 to 4294967295, got -1"],
    [{ chop: 0 }, "chop"],
    [{ delay: -1 }, "delay"],
    [{ stallAfter: 0.5 }, "stallAfter"],
    [{ truncateAfter: -1 }, "truncateAfter"],
    [{ resetAfter: NaN }, "resetAfter"],
    [{ blockAfter: Infinity }, "blockAfter"],
  ];
  for (const [options, message] of wrong) {
    assertThrows(() => hostileNetwork(near, options), RangeError, message);
  }
});

Deno.test("converse() checks its options before it begins", async () => {
  let started = false;
  const handler = (): void => void (started = true);
  const wrong: [ConverseOptions, string][] = [
    [{ network: { chop: 0 } }, "chop"],
    [{ capacity: 0 }, "capacity"],
  ];
  for (const [options, name] of wrong) {
    await assertRejects(() => converse(handler, async () => {}, options), RangeError, name);
  }
  assertEquals(started, false);
});
