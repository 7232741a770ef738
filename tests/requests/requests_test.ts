import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { jsonLines } from "../../codecs/json_lines.ts";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { connect } from "../../connect/connect.ts";
import { MalformedFrameError, RequestLimitError, RequestTimeoutError } from "../../errors.ts";
import { requests, type RequestsOptions } from "../../requests/requests.ts";
import { serve } from "../../serve/serve.ts";
import { sessionPair } from "../../testing/mod.ts";
import { ask, byId } from "../_requests.ts";
import { bounded, countedSignal, overNet, portOf, settle, until } from "../_serving.ts";
import { isPending, testEach } from "../_transports.ts";

Deno.test("request() gets the reply that has its place in the order", bounded, async () => {
  await using asking = ask();
  const replies = ["a", "b", "c"].map((message) => asking.rpc.request(message));
  for (const message of ["a", "b", "c"]) assertEquals(await asking.asked.read(), message);
  assertEquals(asking.rpc.inFlight, 3);
  await asking.answer("1", "2");
  assertEquals(await Promise.all(replies.slice(0, 2)), ["1", "2"]);
  assert(await isPending(replies[2]!));
  await asking.answer("3");
  assertEquals(await replies[2], "3");
  assertEquals([asking.rpc.inFlight, asking.rpc.queued], [0, 0]);
});

testEach("requests of one turn go out in one write", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const rpc = requests(session.frames(jsonLines<number>()));
  await settle(); // it reads already
  const replies = Promise.all(Array.from({ length: 100 }, (_, i) => rpc.request(i)));
  const sent = await peer.text(10 * 2 + 90 * 3);
  assertEquals(opened.writes(), 1);
  await peer.send(sent);
  assertEquals(await replies, Array.from({ length: 100 }, (_, i) => i));
});

Deno.test(
  "an aborted request keeps its place, and its late reply is dropped",
  bounded,
  async () => {
    await using asking = ask();
    const { rpc, answer } = asking;
    const abortion = new AbortController();
    const reason = { no: "error" };
    const before = rpc.request("a");
    const aborted = rpc.request("b", { signal: abortion.signal });
    const after = rpc.request("c");
    await settle();
    abortion.abort(reason);
    assertStrictEquals(await aborted.catch((error) => error), reason);
    assertEquals(rpc.inFlight, 3);
    await answer("1", "2", "3");
    assertEquals([await before, await after], ["1", "3"]);
    assertEquals(rpc.inFlight, 0);
  },
);

Deno.test("a request times out by itself, and its late reply is dropped", bounded, async () => {
  await using asking = ask();
  const { rpc, answer } = asking;
  const start = performance.now();
  const patient = rpc.request("a");
  const hasty = rpc.request("b", { timeout: 20 });
  const error = await assertRejects(() => hasty, RequestTimeoutError, "no reply came within 20 ms");
  assert(performance.now() - start >= 20);
  assertEquals([error.timeout, error.sent, error.name], [20, true, "RequestTimeoutError"]);
  const last = rpc.request("c", { timeout: Infinity });
  await answer("1", "2", "3");
  assertEquals([await patient, await last], ["1", "3"]);
});

Deno.test("each request has a deadline of its own, the default among them", bounded, async () => {
  await using asking = ask({ timeout: 15 });
  const start = performance.now();
  const slow = [60_000, Infinity].map((timeout) => asking.rpc.request("a", { timeout }));
  const waits = [undefined, 5, 10].map(async (timeout) => {
    const reply = asking.rpc.request("b", timeout === undefined ? {} : { timeout });
    const error = await assertRejects(() => reply, RequestTimeoutError);
    assert(performance.now() - start >= error.timeout);
    return error.timeout;
  });
  assertEquals(await Promise.all(waits), [15, 5, 10]);
  await asking.answer("1", "2");
  assertEquals(await Promise.all(slow), ["1", "2"]);
});

Deno.test("in order, a reply that nothing asked for ends the requests", bounded, async () => {
  await using asking = ask({ onUnmatched: () => {} });
  const { rpc, answer, client } = asking;
  const reply = rpc.request("a");
  await answer("1", "1"); // a server that answers twice
  assertEquals(await reply, "1");
  const cause = await rpc.closed;
  assertInstanceOf(cause, MalformedFrameError);
  assertEquals(/out of step/.test(cause.message), true);
  assertStrictEquals(await rpc.request("b").catch((error) => error), cause);
  assertEquals(client.signal.aborted, false);
  assertEquals(client.bytesWritten, 2);
});

Deno.test("isReply tells pushes from replies, which onUnmatched gets", bounded, async () => {
  for (const isTold of [true, false]) {
    const pushes: string[] = [];
    const onUnmatched = (frame: string) => void pushes.push(frame);
    await using asking = ask({
      isReply: (frame) => !frame.startsWith("!"),
      ...(isTold && { onUnmatched }),
    });
    const replies = [asking.rpc.request("a"), asking.rpc.request("b")];
    await asking.answer("!news", "1", "!more", "2", "!late");
    assertEquals(await Promise.all(replies), ["1", "2"]);
    await settle();
    assertEquals(pushes, isTold ? ["!news", "!more", "!late"] : []);
  }
});

Deno.test("with ids, replies come in any order", bounded, async () => {
  await using asking = ask(byId);
  const replies = ["a:x", "b:y", "c:z"].map((message) => asking.rpc.request(message));
  await asking.answer("c:3", "a:1", "b:2");
  assertEquals(await Promise.all(replies), ["a:1", "b:2", "c:3"]);
  assertEquals(asking.rpc.inFlight, 0);
});

Deno.test("ids of different types differ", bounded, async () => {
  const [client, peer] = sessionPair();
  const rpc = requests(client.frames(lengthPrefixed({ width: 1 })), {
    requestId: ([kind]) => kind === 0 ? 7 : kind === 1 ? "7" : 7n,
    replyId: ([kind]) => kind === 0 ? 7 : kind === 1 ? "7" : 7n,
  });
  const replies = [0, 1, 2].map((kind) => rpc.request(new Uint8Array([kind])));
  await peer.send(new Uint8Array([2, 2, 9, 2, 1, 8, 2, 0, 7]));
  assertEquals((await Promise.all(replies)).map(([, value]) => value), [7, 8, 9]);
  await rpc.close();
  await Promise.all([client.close(), peer.close()]);
});

Deno.test("an id that has no reply yet cannot be used again", bounded, async () => {
  await using asking = ask({ ...byId, maxInFlight: 2 });
  const { rpc, answer } = asking;
  const abortion = new AbortController();
  const given = rpc.request("up:", { signal: abortion.signal });
  const sent = rpc.request("sent:");
  const queued = rpc.request("queued:");
  for (const id of ["up", "sent", "queued"]) {
    await assertRejects(() => rpc.request(`${id}:`), TypeError, `the id ${id} belongs`);
  }
  abortion.abort();
  await assertRejects(() => given, DOMException);
  await assertRejects(() => rpc.request("up:"), TypeError, "has no reply yet");
  await answer("up:late", "sent:1", "queued:2");
  assertEquals([await sent, await queued], ["sent:1", "queued:2"]);
  const again = rpc.request("up:");
  await settle();
  await answer("up:2");
  assertEquals(await again, "up:2");
});

Deno.test(
  "with ids, requests given up leave their place, and the oldest ids are forgotten",
  bounded,
  async () => {
    const unmatched: string[] = [];
    const onUnmatched = (frame: string) => void unmatched.push(frame);
    await using asking = ask({ ...byId, maxInFlight: 3, onUnmatched });
    const { rpc, answer } = asking;
    const giveUp = async (id: number) => {
      const abortion = new AbortController();
      const reply = rpc.request(`${id}:`, { signal: abortion.signal });
      assertEquals(await asking.asked.read(), `${id}:`);
      abortion.abort();
      await assertRejects(() => reply);
    };
    for (let id = 0; id < 100; id++) await giveUp(id);
    assertEquals([rpc.inFlight, rpc.queued], [0, 0]);
    await answer("99:late", "0:late");
    await until(() => unmatched.length > 0);
    assertEquals(unmatched, ["0:late"]); // 99 was remembered
    for (const id of [97, 98]) await assertRejects(() => rpc.request(`${id}:`), TypeError);
    for (const id of [96, 99]) {
      const reply = rpc.request(`${id}:`);
      await settle();
      await answer(`${id}:new`);
      assertEquals(await reply, `${id}:new`);
    }
  },
);

Deno.test(
  "with ids, the place and the id of a request given up go on to others",
  bounded,
  async () => {
    await using asking = ask({ ...byId, maxInFlight: 2 });
    const { rpc, answer } = asking;
    const abortion = new AbortController();
    const { signal } = abortion;
    const [a, b, c] = ["a:", "b:", "c:"].map((message) => rpc.request(message, { signal }));
    const next = [rpc.request("d:"), rpc.request("e:")];
    await settle();
    abortion.abort();
    for (const reply of [a, b, c]) await assertRejects(() => reply!, DOMException);
    for (const message of ["a:", "b:", "d:", "e:"]) {
      assertEquals(await asking.asked.read(), message);
    }
    const again = rpc.request("c:"); // was never sent
    await answer("a:late", "d:1", "e:2");
    assertEquals(await Promise.all(next), ["d:1", "e:2"]);
    await answer("c:3");
    assertEquals(await again, "c:3");
    // That "a" was answered late makes its id free, also where others are given up after it.
    const live = rpc.request("a:");
    for (const message of ["f:", "g:"]) {
      await assertRejects(() => rpc.request(message, { timeout: 1 }), RequestTimeoutError);
    }
    await answer("a:4");
    assertEquals(await live, "a:4");
  },
);

Deno.test("with ids, requests time out in the queue as well", bounded, async () => {
  await using asking = ask({ ...byId, maxInFlight: 1 });
  const first = asking.rpc.request("a:");
  const late = ["b:", "c:"].map((message) => asking.rpc.request(message, { timeout: 1 }));
  for (const reply of late) {
    assertEquals((await assertRejects(() => reply, RequestTimeoutError)).sent, false);
  }
  await asking.answer("a:1");
  assertEquals(await first, "a:1");
});

Deno.test("request() sends nothing under a signal that is aborted already", bounded, async () => {
  await using asking = ask();
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  const error = await assertRejects(() => asking.rpc.request("a", { signal }));
  assertStrictEquals(error, reason);
  asking.rpc.request("b");
  assertEquals(await asking.asked.read(), "b");
});

Deno.test("a send that fails after its reply has come keeps no place", bounded, async () => {
  for (const options of [{}, byId]) {
    await using asking = ask();
    await asking.rpc.close();
    const frames = asking.client.lines();
    const { send } = frames;
    const got = Promise.withResolvers<void>();
    frames.send = async (message) => {
      await Reflect.apply(send, frames, [message]);
      if (message !== "a:") return;
      await got.promise;
      throw new Error("too late");
    };
    const rpc = requests(frames, { ...options, maxInFlight: 1 });
    const first = rpc.request("a:");
    const second = rpc.request("b:");
    await asking.answer("a:1");
    assertEquals(await first, "a:1");
    got.resolve();
    assertEquals(await asking.asked.read(), "a:");
    assertEquals(await asking.asked.read(), "b:");
    assertEquals(rpc.inFlight, 1);
    await asking.answer("b:2");
    assertEquals(await second, "b:2");
    await rpc.close();
  }
});

Deno.test(
  "in order, requests given up keep their place until their replies come",
  bounded,
  async () => {
    await using asking = ask({ maxInFlight: 2 });
    const { rpc, answer } = asking;
    for (const message of ["a", "b"]) {
      await assertRejects(() => rpc.request(message, { timeout: 1 }), RequestTimeoutError);
    }
    const stuck = await assertRejects(() => rpc.request("c", { timeout: 1 }), RequestTimeoutError);
    assertEquals([stuck.sent, rpc.inFlight, rpc.queued], [false, 2, 0]);
    assertEquals(stuck.message, "the request waited 1 ms (timeout) for its turn and was not sent");
    const next = rpc.request("d");
    await answer("1");
    await settle();
    assertEquals([rpc.inFlight, rpc.queued], [2, 0]);
    await answer("2", "4");
    assertEquals(await next, "4");
    for (const message of ["a", "b", "d"]) assertEquals(await asking.asked.read(), message);
  },
);

Deno.test(
  "requests past maxInFlight wait for their turn, those past maxQueued are refused",
  bounded,
  async () => {
    await using asking = ask({ maxInFlight: 2, maxQueued: 3 });
    const { rpc, answer } = asking;
    const abortion = new AbortController();
    const replies = ["a", "b", "c", "d", "e"].map((message) =>
      rpc.request(message, message === "d" ? { signal: abortion.signal } : {})
    );
    const error = await assertRejects(() => rpc.request("f"), RequestLimitError, "5 requests");
    assertEquals(error.limit, 5);
    await settle();
    assertEquals([rpc.inFlight, rpc.queued], [2, 3]);
    abortion.abort();
    await assertRejects(() => replies[3]!, DOMException);
    assertEquals(rpc.queued, 2);
    for (const [i, message] of ["a", "b", "c", "e"].entries()) {
      assertEquals(await asking.asked.read(), message); // and never "d"
      await answer(`${i}`);
    }
    assertEquals([await replies[0], await replies[2], await replies[4]], ["0", "2", "3"]);
  },
);

Deno.test("maxQueued 0 still takes maxInFlight requests in one turn", bounded, async () => {
  await using asking = ask({ maxInFlight: 3, maxQueued: 0 });
  const replies = ["a", "b", "c"].map((message) => asking.rpc.request(message));
  await assertRejects(() => asking.rpc.request("d"), RequestLimitError);
  await asking.answer("1", "2", "3");
  assertEquals(await Promise.all(replies), ["1", "2", "3"]);
});

Deno.test(
  "a message that cannot be encoded fails alone and leaves no place behind",
  bounded,
  async () => {
    for (const options of [{}, byId]) {
      await using asking = ask(options);
      const { rpc, answer } = asking;
      const replies = [rpc.request("a:"), rpc.request("b:\n"), rpc.request("c:")];
      await assertRejects(() => replies[1]!, TypeError, "must not contain a line feed");
      assertEquals(rpc.inFlight, 2);
      await answer("a:1", "c:3");
      assertEquals([await replies[0], await replies[2]], ["a:1", "c:3"]);
      const again = rpc.request("b:");
      await answer("b:2");
      assertEquals(await again, "b:2");
    }
  },
);

Deno.test(
  "with ids, frames that match nothing are dropped or given to onUnmatched",
  bounded,
  async () => {
    for (const isTold of [true, false]) {
      const [client, peer] = sessionPair();
      const unmatched: unknown[] = [];
      const options: RequestsOptions<{ id: number }> = {
        requestId: ({ id }) => id,
        replyId: (frame) => frame?.id,
        maxInFlight: 2,
      };
      const onUnmatched = (frame: unknown) => void unmatched.push(frame);
      const rpc = requests(
        client.frames(jsonLines<{ id: number }>()),
        isTold ? { ...options, onUnmatched } : options,
      );
      const replies = [1, 2, 3].map((id) => rpc.request({ id }));
      await settle();
      const strange = [3, "1", null, [], {}, -0, 1e300, "__proto__"].map((id) => ({ id }));
      const sent = [...strange, null, "text", { id: 1, n: 1 }, { id: 1, n: 2 }];
      for (const frame of sent) await peer.send(`${JSON.stringify(frame)}\n`);
      assertEquals(await replies[0], { id: 1, n: 1 } as { id: number });
      await settle();
      assertEquals([rpc.inFlight, rpc.queued], [2, 0]); // 3 was guessed before its turn
      const wanted = JSON.parse(JSON.stringify(sent.filter((_, i) => i !== 10)));
      assertEquals(unmatched, isTold ? wanted : []);
      await peer.send('{"id":3}\n{"id":2}\n');
      assertEquals((await Promise.all(replies)).map(({ id }) => id), [1, 2, 3]);
      await rpc.close();
      await Promise.all([client.close(), peer.close()]);
    }
  },
);

Deno.test(
  "onUnmatched may make requests, which the reading does not wait for",
  bounded,
  async () => {
    const got = Promise.withResolvers<string>();
    await using asking = ask({
      ...byId,
      onUnmatched: async () => got.resolve(await asking.rpc.request("b:")),
    });
    await asking.answer("who?");
    assertEquals(await asking.asked.read(), "b:");
    await asking.answer("b:2");
    assertEquals(await got.promise, "b:2");
  },
);

Deno.test("a flood of replies that nothing asked for is only dropped", bounded, async () => {
  await using asking = ask(byId);
  const reply = asking.rpc.request("a:");
  for (let i = 0; i < 200; i++) await asking.answer(`${i}:\n`.repeat(1000));
  await asking.answer("a:1");
  assertEquals(await reply, "a:1");
  assertEquals(asking.rpc.inFlight, 0);
});

Deno.test("requests never fill the output of a peer that does not read", bounded, async () => {
  await using asking = ask({}, {
    capacity: 1024,
    left: { highWaterMark: 5_000, maxBufferedOutput: 20_000 },
  });
  const message = "x".repeat(9_000);
  const replies = Array.from({ length: 500 }, () => asking.rpc.request(message));
  await settle();
  assert(asking.client.bytesBuffered <= 20_000);
  assertEquals(asking.client.signal.aborted, false);
  assert(asking.rpc.queued > 480);
  for (let i = 0; i < 500; i++) {
    assertEquals(await asking.asked.read(), message);
    await asking.answer(`${i}`);
  }
  assertEquals((await Promise.all(replies)).map(Number), replies.map((_, i) => i));
});

Deno.test(
  "request() leaves no listener on its signal, whatever becomes of it",
  bounded,
  async () => {
    await using asking = ask({ maxInFlight: 3, maxQueued: 1 });
    const { rpc, answer } = asking;
    const abortion = new AbortController();
    const { signal } = abortion;
    const counted = countedSignal(signal);
    const failed = rpc.request("\n", { signal });
    const answered = rpc.request("a", { signal });
    const late = rpc.request("b", { signal, timeout: 20 });
    const queued = rpc.request("c", { signal, timeout: 20 });
    assertEquals(counted.listeners, 4);
    await assertRejects(() => rpc.request("d", { signal }), RequestLimitError);
    await assertRejects(() => failed, TypeError);
    await answer("1");
    await answered;
    await assertRejects(() => late, RequestTimeoutError);
    await assertRejects(() => queued, RequestTimeoutError);
    assertEquals(counted.listeners, 0);
    const ended = rpc.request("e", { signal: new AbortController().signal });
    const aborted = rpc.request("f", { signal });
    abortion.abort();
    await assertRejects(() => aborted);
    await assertRejects(() => rpc.request("g", { signal }));
    asking.client.abort();
    await assertRejects(() => ended);
    assertEquals(counted.listeners, 0);
  },
);

Deno.test("requests() and request() refuse options that are out of range", bounded, async () => {
  const [client, peer] = sessionPair();
  const wrong: [options: Record<string, unknown>, message: string][] = [
    [{ requestId: () => 1 }, "requestId needs replyId"],
    [{ replyId: () => 1 }, "replyId needs requestId"],
    [{ isReply: true }, "isReply must be a function, got true"],
    [{ onUnmatched: "drop" }, "onUnmatched must be a function, got a string"],
    [{ timeout: 0 }, "timeout must be more than 0 ms"],
    [{ maxInFlight: 0 }, "maxInFlight must be an integer from 1 to 1048576, got 0"],
    [{ maxQueued: -1 }, "maxQueued must be an integer from 0 to 1073741824, got -1"],
  ];
  for (const [options, message] of wrong) {
    assertThrows(() => requests(client.lines(), options), Error, message);
  }
  const none = undefined as never;
  assertThrows(() => requests(none), TypeError, "frames must be what session.frames() returns");
  assertThrows(() => requests(client.lines(), null!), TypeError, "options must be an object");
  const rpc = requests(client.lines(), { requestId: (text) => text && null!, replyId: () => 1 });
  await assertRejects(() => rpc.request("a", { timeout: -1 }), RangeError, "timeout must be");
  await assertRejects(() => rpc.request("a"), TypeError, "an id must be a string, a number or a");
  assertEquals([rpc.inFlight, rpc.queued], [0, 0]);
  client.abort();
  peer.abort();
  await Promise.all([client.closed, peer.closed]);
});

Deno.test("requests in flight over TCP, answered in any order", overNet, async () => {
  await using server = serve({ port: 0 }, async (session) => {
    const held: string[] = [];
    for await (const line of session.lines()) {
      held.push(line);
      if (held.length < 10) continue;
      for (const id of held.splice(0).reverse()) await session.send(`${id}!\n`);
    }
  });
  await using session = await connect({ port: portOf(server) });
  await using rpc = requests(session.lines(), {
    requestId: (line) => line.split(":")[0]!,
    replyId: (line) => line.split(":")[0],
    maxInFlight: 64,
  });
  const replies = Array.from({ length: 1000 }, (_, i) => rpc.request(`${i}:${"x".repeat(i)}`));
  for (const [i, reply] of (await Promise.all(replies)).entries()) {
    assertEquals(reply, `${i}:${"x".repeat(i)}!`);
  }
});
