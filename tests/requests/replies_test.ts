// Replies of more than one frame.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  MalformedFrameError,
  ReplyLimitError,
  RequestLimitError,
  RequestTimeoutError,
  SessionEndedError,
} from "../../errors.ts";
import { type MultiFrameOptions, requests } from "../../requests/requests.ts";
import { sessionPair } from "../../testing/mod.ts";
import { type Asking, askOver, byId } from "../_requests.ts";
import { bounded, countedSignal, settle } from "../_serving.ts";
import { collect, isPending, type Opened, testEach } from "../_transports.ts";

/** As in SMTP: all lines of a reply but the last have a hyphen after the code (RFC 5321 §4.2.1). */
const isLast = (line: string): boolean => line[3] !== "-";

const smtp: MultiFrameOptions<string> = { isLast };
/** `ID:text`, and `ID:.` is the last of a reply. */
const dotted: MultiFrameOptions<string> = { ...byId, isLast: (line) => line.endsWith(":.") };

function ask(options: MultiFrameOptions<string> = smtp): Asking<string[]> {
  return askOver((client) => requests(client.lines(), options));
}

/** Reads lines of the raw peer. */
async function heard({ peer }: Opened, text: string): Promise<void> {
  assertEquals(await peer.text(text.length), text);
}

testEach("request() resolves to all frames of a reply, in order", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.lines(), smtp);
  const replies = [rpc.request("EHLO me"), rpc.request("NOOP"), rpc.request("HELP")];
  await heard(opened, "EHLO me\nNOOP\nHELP\n");
  await peer.sendApart(session, [
    "250-mail.example\r\n250-SI",
    "ZE 1000\r\n250 HELP\r\n250 fine\r\n214-",
    "what\r\n214 now\r\n",
  ]);
  assertEquals(await Promise.all(replies), [
    ["250-mail.example", "250-SIZE 1000", "250 HELP"],
    ["250 fine"],
    ["214-what", "214 now"],
  ]);
  await rpc.close();
});

testEach("request() resolves to all frames of a reply, by id", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.lines(), dotted);
  const replies = ["a:", "b:", "c:"].map((message) => rpc.request(message));
  await heard(opened, "a:\nb:\nc:\n");
  await peer.send("b:1\na:1\nb:2\nc:.\na:2\nb:.\na:.\n");
  assertEquals(await Promise.all(replies), [["a:1", "a:2", "a:."], ["b:1", "b:2", "b:."], ["c:."]]);
  assertEquals(rpc.inFlight, 0);
});

testEach("stream() gives the frames of a reply as they come", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.lines(), smtp);
  const help = rpc.stream("HELP");
  const noop = rpc.request("NOOP");
  await heard(opened, "HELP\nNOOP\n");
  await peer.send("214-one\n");
  assertEquals(await help.next(), { done: false, value: "214-one" });
  const second = help.next();
  assert(await isPending(second));
  await peer.send("214-two\n214 three\n250 fine\n");
  assertEquals((await second).value, "214-two");
  assertEquals(await noop, ["250 fine"]);
  assertEquals(await collect(help), ["214 three"]);
  assertEquals(await help.next(), { done: true, value: undefined });
  assertEquals(rpc.inFlight, 0);
});

testEach("stream() gives the frames of several replies at a time, by id", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.lines(), dotted);
  const streams = ["a:", "b:"].map((message) => collect(rpc.stream(message)));
  await heard(opened, "a:\nb:\n");
  await peer.send("b:1\na:1\nb:2\nb:.\na:.\n");
  assertEquals(await Promise.all(streams), [["a:1", "a:."], ["b:1", "b:2", "b:."]]);
});

testEach("stream() has an isLast of its own", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.lines(), { isReply: (line) => !line.startsWith("!") });
  let left = 2;
  const subscribed = collect(rpc.stream("SUBSCRIBE a b", { isLast: () => --left === 0 }));
  const pong = rpc.request("PING");
  await heard(opened, "SUBSCRIBE a b\nPING\n");
  await peer.send("+a\n!news\n+b\n+PONG\n");
  assertEquals([await subscribed, await pong], [["+a", "+b"], "+PONG"]);
});

testEach("requests with ids go beside others in order", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const pushes: string[] = [];
  const rpc = requests(session.lines(), {
    ...byId,
    requestId: (line) => line.includes(":") ? line.split(":")[0]! : undefined,
    isReply: (line) => line === "PONG" || line === "+OK",
    onUnmatched: (line) => void pushes.push(line),
  });
  const replies = ["a:", "PING", "b:", "SUB"].map((message) => rpc.request(message));
  await heard(opened, "a:\nPING\nb:\nSUB\n");
  assertEquals(rpc.inFlight, 4);
  await peer.send("b:2\nPING\nPONG\nz:1\n+OK\na:1\n");
  assertEquals(await Promise.all(replies), ["a:1", "PONG", "b:2", "+OK"]);
  assertEquals([pushes, rpc.inFlight], [["PING", "z:1"], 0]);
  await peer.send("PONG\n");
  const cause = await rpc.closed;
  assertInstanceOf(cause, MalformedFrameError);
  assertEquals(/out of step/.test(cause.message), true);
});

testEach("a stream that nobody reads holds the peer back", async (open) => {
  await using opened = await open({ closeTimeout: 10 });
  const { session, peer } = opened;
  const rpc = requests(session.lines(), dotted);
  const rows = rpc.stream("a:");
  const other = rpc.request("b:");
  await heard(opened, "a:\nb:\n");
  const COUNT = 60_000;
  const row = `a:${"x".repeat(500)}\n`;
  let sent = 0;
  const sending = (async () => {
    for (; sent < COUNT; sent += 100) await peer.send(row.repeat(100));
    await peer.send("a:.\nb:.\n");
  })();
  let before = -1;
  while (before !== sent) { // the system holds some MiB
    before = sent;
    await settle();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert(session.bytesRead < 200_000, `${session.bytesRead} bytes were read`);
  assert(sent < COUNT, "nothing held the peer back");
  assert(await isPending(other));
  let count = 0;
  for await (const line of rows) {
    if (line !== "a:.") count++;
  }
  assertEquals(count, COUNT);
  assertEquals(await other, ["b:."]);
  await sending;
});

testEach("a stream that is left drops the rest of its reply", async (open) => {
  const cases: [MultiFrameOptions<string>, first: string, rest: string, next: string][] = [
    [smtp, "214-1", "214-2\n214 3\n", "250 fine"],
    [dotted, "a:1", "a:2\na:.\n", "b:."],
  ];
  for (const [options, first, rest, next] of cases) {
    await using opened = await open();
    const { session, peer } = opened;
    const rpc = requests(session.lines(), options);
    const rows = rpc.stream("a:");
    const other = rpc.request("b:");
    await heard(opened, "a:\nb:\n");
    await peer.send(`${first}\n`);
    for await (const row of rows) {
      assertEquals(row, first);
      break;
    }
    assertEquals(await rows.next(), { done: true, value: undefined });
    await peer.send(`${rest}${next}\n`);
    assertEquals(await other, [next]);
    assertEquals(rpc.inFlight, 0);
  }
});

testEach("what came of a stream is read before the error that ends it", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.lines(), smtp);
  const rows = rpc.stream("HELP");
  const whole = rpc.request("HELP");
  await peer.send("214-one\n214-two\n");
  await peer.closeWrite();
  const cause = await rpc.closed;
  assertInstanceOf(cause, SessionEndedError);
  assertEquals([(await rows.next()).value, (await rows.next()).value], ["214-one", "214-two"]);
  assertStrictEquals(await rows.next().catch((error) => error), cause);
  assertEquals(await rows.next(), { done: true, value: undefined });
  assertStrictEquals(await whole.catch((error) => error), cause);
});

Deno.test("a request that is given up keeps its place until its last frame", bounded, async () => {
  await using asking = ask();
  const { rpc, answer } = asking;
  const abortion = new AbortController();
  const given = rpc.request("EHLO", { signal: abortion.signal });
  const next = rpc.request("NOOP");
  await answer("250-one");
  await settle();
  abortion.abort("enough");
  assertEquals(await given.catch((error) => error), "enough");
  assertEquals(rpc.inFlight, 2);
  await answer("250-two", "250 three", "250 fine");
  assertEquals(await next, ["250 fine"]);
  assertEquals(rpc.inFlight, 0);
});

Deno.test("a reply with too many frames fails alone", bounded, async () => {
  for (const options of [smtp, dotted]) {
    for (const extra of [0, 1, 5]) {
      await using asking = ask({ ...options, maxReplyFrames: 3 });
      const { rpc, answer } = asking;
      const [more, last] = options === smtp ? ["250-", "250 "] : ["a:1", "a:."];
      const long = rpc.request("a:");
      const other = rpc.request("b:");
      await answer(...Array<string>(2 + extra).fill(more), last);
      if (extra === 0) assertEquals(await long, [more, more, last]);
      else {
        const error = await assertRejects(() => long, ReplyLimitError, "maxReplyFrames allows (3)");
        assertEquals([error.limit, error.name], [3, "ReplyLimitError"]);
      }
      await answer(options === smtp ? "250 b" : "b:.");
      assertEquals((await other).length, 1);
      assertEquals([rpc.inFlight, rpc.queued], [0, 0]);
      const again = rpc.request("a:");
      await answer(last);
      assertEquals(await again, [last]);
    }
  }
});

Deno.test("a reply without end holds no more than maxReplyFrames", bounded, async () => {
  await using asking = ask({ ...smtp, maxReplyFrames: 3 });
  const { rpc, answer } = asking;
  const endless = rpc.request("HELP");
  await assertRejects(() => Promise.all([endless, answer("250-", "250-", "250-", "250-")]));
  for (let i = 0; i < 100; i++) await answer(...Array<string>(100).fill("250-"));
  assertEquals(rpc.inFlight, 1);
  await answer("250 ");
  const next = rpc.request("NOOP");
  await answer("250 fine");
  assertEquals(await next, ["250 fine"]);
});

function sleep(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}

Deno.test(
  "a stream times out when the peer is silent, not when nobody reads",
  bounded,
  async () => {
    await using asking = ask();
    const { rpc, answer } = asking;
    const rows = rpc.stream("HELP", { timeout: 60 });
    await answer("214-row", "214-row");
    await sleep(100);
    assertEquals((await rows.next()).value, "214-row");
    await sleep(90);
    assertEquals((await rows.next()).value, "214-row");
    const start = performance.now();
    const error = await assertRejects(() => rows.next(), RequestTimeoutError, "within 60 ms");
    assertEquals(error.sent, true);
    assert(performance.now() - start >= 59, `${performance.now() - start} ms`);
    const next = rpc.request("NOOP");
    await answer("214 late", "250 fine");
    assertEquals(await next, ["250 fine"]);
  },
);

Deno.test("stream() waits for its turn, and times out in the queue", bounded, async () => {
  await using asking = ask({ ...smtp, maxInFlight: 1, maxQueued: 1 });
  const { rpc, answer } = asking;
  const first = rpc.request("one");
  const late = rpc.stream("two", { timeout: 1 });
  const refused = rpc.stream("three");
  await assertRejects(() => refused.next(), RequestLimitError);
  assertEquals(await refused.next(), { done: true, value: undefined });
  assertEquals((await assertRejects(() => late.next(), RequestTimeoutError)).sent, false);
  await answer("250 1");
  assertEquals(await first, ["250 1"]);
  const next = rpc.stream("four");
  assertEquals([await asking.asked.read(), await asking.asked.read()], ["one", "four"]);
  await answer("250 4");
  assertEquals(await collect(next), ["250 4"]);
});

Deno.test("stream() ends at once with its signal, and leaves no listener", bounded, async () => {
  await using asking = ask();
  const { rpc, answer } = asking;
  const abortion = new AbortController();
  const { signal } = abortion;
  const counted = countedSignal(signal);
  const done = rpc.stream("one", { signal });
  const left = rpc.stream("two", { signal });
  await answer("250 1");
  assertEquals(await collect(done), ["250 1"]);
  await answer("250-2");
  for await (const _ of left) break;
  assertEquals(counted.listeners, 0);
  const rows = rpc.stream("three", { signal });
  const never = rpc.stream("four", { signal });
  await answer("250 2", "250-3", "250-3");
  assertEquals((await rows.next()).value, "250-3");
  const waiting = never.next();
  abortion.abort("enough");
  for (const step of [rows.next(), waiting]) {
    assertEquals(await step.catch((error) => error), "enough");
  }
  assertEquals(counted.listeners, 0);
  const before = rpc.stream("never sent", { signal });
  assertEquals(await before.next().catch((error) => error), "enough");
  const last = rpc.request("NOOP");
  await answer("250 3", "250 4", "250 fine");
  assertEquals(await last, ["250 fine"]);
});

Deno.test("abort() ends a stream that is not read", bounded, async () => {
  await using asking = ask();
  const { rpc, answer, client } = asking;
  const rows = rpc.stream("HELP");
  await answer(...Array<string>(100).fill("214-row"));
  await settle();
  rpc.abort("enough");
  assertEquals(await rpc.closed, "enough");
  await settle();
  assertEquals(await client.readLine(), "214-row"); // nobody else reads any more
  for (let i = 0; i < 16; i++) assertEquals((await rows.next()).value, "214-row");
  assertEquals(await rows.next().catch((error) => error), "enough");
});

Deno.test("close() waits for a stream to come to its end", bounded, async () => {
  await using asking = ask();
  const { rpc, answer } = asking;
  const rows = rpc.stream("HELP");
  const closing = rpc.close();
  await answer(...Array<string>(40).fill("214-row"), "214 last", "for somebody else");
  assert(await isPending(closing));
  assertEquals((await collect(rows)).length, 41);
  await closing;
  assertEquals(await asking.client.readLine(), "for somebody else");
});

Deno.test("a stream may be left while its frames wait, and others go on", bounded, async () => {
  await using asking = ask();
  const { rpc, answer } = asking;
  const rows = rpc.stream("HELP");
  const next = rpc.request("NOOP");
  await answer(...Array<string>(1000).fill("214-row"), "214 last", "250 fine");
  assert(await isPending(next));
  await rows.return!();
  assertEquals(await rows.next(), { done: true, value: undefined });
  assertEquals(await next, ["250 fine"]);
});

Deno.test("what isLast throws ends the requests", bounded, async () => {
  for (const error of [new Error("a mistake"), new MalformedFrameError("no code", 0)]) {
    const fail = () => {
      throw error;
    };
    for (const options of [{ isLast: fail }, { ...byId, isLast: fail }]) {
      await using asking = ask(options);
      const reply = asking.rpc.request("a:");
      await asking.answer("a:1");
      assertStrictEquals(await reply.catch((error) => error), error);
      assertStrictEquals(await asking.rpc.closed, error);
    }
  }
});

Deno.test("requests() and stream() refuse an isLast that is none", bounded, async () => {
  const [client, peer] = sessionPair();
  const wrong: [options: Record<string, unknown>, says: string][] = [
    [{ isLast: true }, "isLast must be a function, got true"],
    [
      { isLast, maxReplyFrames: 0 },
      "maxReplyFrames must be an integer from 1 to 1073741824, got 0",
    ],
  ];
  for (const [options, says] of wrong) {
    assertThrows(() => requests(client.lines(), options), Error, says);
  }
  const rpc = requests(client.lines(), smtp);
  await assertRejects(
    () => rpc.stream("a", { isLast: "x" as never }).next(),
    TypeError,
    "isLast must be a function, got a string",
  );
  await assertRejects(() => rpc.stream("a", { timeout: 0 }).next(), RangeError, "timeout must be");
  assertEquals([rpc.inFlight, rpc.queued], [0, 0]);
  client.abort();
  peer.abort();
  await Promise.all([client.closed, peer.closed]);
});
