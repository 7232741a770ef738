import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { jsonLines } from "../../codecs/json_lines.ts";
import { lines } from "../../codecs/lines.ts";
import { netstring } from "../../codecs/netstring.ts";
import {
  FrameTooLargeError,
  MalformedFrameError,
  SessionEndedError,
  TruncatedFrameError,
} from "../../errors.ts";
import { requests, type RequestsOptions } from "../../requests/requests.ts";
import { serve } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { memoryListener, memoryPair } from "../../transport/memory.ts";
import { ask, byId } from "../_requests.ts";
import { bounded, settle } from "../_serving.ts";
import { isPending, testEachReset } from "../_transports.ts";

/** What is thrown at a promise that must be rejected. */
async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it was not rejected");
}

interface Ending {
  name: string;
  end(ends: { client: Session; peer: Session }): unknown;
  check(error: unknown): void;
}

function ended(reason: string, cause?: string): (error: unknown) => void {
  return (error) => {
    assertInstanceOf(error, SessionEndedError);
    assertEquals([error.reason, (error.cause as Error | undefined)?.message], [reason, cause]);
  };
}

const ENDINGS: Ending[] = [
  {
    name: "the session is aborted",
    end: ({ client }) => client.abort(new Error("enough")),
    check: ended("local", "enough"),
  },
  {
    name: "the session is closed",
    end: ({ client, peer }) => Promise.all([client.close(), peer.close()]),
    check: ended("local"),
  },
  {
    name: "the peer finishes",
    end: ({ peer }) => peer.closeWrite(),
    check: ended("peer", "the peer finished its side with 3 replies missing"),
  },
  {
    name: "the input ends within a frame",
    end: async ({ peer }) => {
      await peer.send("5:hal");
      await peer.closeWrite();
    },
    check: (error) => assertInstanceOf(error, TruncatedFrameError),
  },
  {
    name: "a frame is too large",
    end: ({ peer }) => peer.send("20000:"),
    check: (error) => assertInstanceOf(error, FrameTooLargeError),
  },
  {
    name: "a frame is malformed",
    end: ({ peer }) => peer.send("x"),
    check: (error) => assertInstanceOf(error, MalformedFrameError),
  },
  {
    name: "the output passes its limit",
    end: ({ client }) => {
      for (let i = 0; i < 3; i++) client.send("x".repeat(100_000));
    },
    check: (error) => assertEquals((error as SessionEndedError).reason, "limit"),
  },
];

const firstByte = ([byte]: Uint8Array): number => byte!;
const MODES: [string, RequestsOptions<Uint8Array>][] = [
  ["in order", {}],
  ["by id", { requestId: firstByte, replyId: firstByte }],
];

for (const { name, end, check } of ENDINGS) {
  for (const [mode, options] of MODES) {
    Deno.test(`all requests get the same error when ${name} (${mode})`, bounded, async () => {
      const [client, peer] = sessionPair({
        left: { highWaterMark: 30_000, maxBufferedOutput: 150_000 },
      });
      const rpc = requests(client.frames(netstring({ maxLength: 10_000 })), {
        ...options,
        maxInFlight: 2,
      });
      const replies = [1, 2, 3].map((id) => rpc.request(new Uint8Array([id])));
      await settle();
      assertEquals([rpc.inFlight, rpc.queued], [2, 1]);
      await end({ client, peer });
      await peer.flush().catch(() => {});
      const [error, ...others] = await Promise.all(replies.map(errorOf));
      check(error);
      for (const other of others) assertStrictEquals(other, error);
      assertStrictEquals(await errorOf(rpc.request(new Uint8Array([4]))), error);
      assertStrictEquals(await rpc.closed, error);
      assertEquals([rpc.inFlight, rpc.queued], [0, 0]);
      await rpc.close();
      client.abort();
      peer.abort();
      await Promise.all([client.closed, peer.closed]);
    });
  }
}

testEachReset("all requests get the same error when the peer resets", async (open) => {
  await using opened = await open();
  const rpc = requests(opened.session.lines());
  const replies = ["a", "b"].map((message) => rpc.request(message));
  await opened.send("1\n");
  assertEquals(await replies[0], "1");
  await opened.reset();
  const error = await errorOf(replies[1]!);
  assertInstanceOf(error, SessionEndedError);
  assertEquals(error.reason, "peer");
  assertStrictEquals(await errorOf(rpc.request("c")), error);
  assertStrictEquals(await rpc.closed, error);
});

Deno.test("requests that are not awaited do not end the process", bounded, async () => {
  await using asking = ask({ maxInFlight: 1 });
  for (const message of ["a", "b", "\n"]) asking.rpc.request(message);
  asking.client.abort();
  await asking.rpc.closed;
  asking.rpc.request("c");
  await settle();
});

Deno.test("requests whose peer finishes with nothing in flight end, too", bounded, async () => {
  await using asking = ask();
  await asking.peer.closeWrite();
  const error = await asking.rpc.closed;
  assertInstanceOf(error, SessionEndedError);
  assertEquals([error.reason, error.cause], ["peer", undefined]);
  assertStrictEquals(await errorOf(asking.rpc.request("a")), error);
});

Deno.test("close() waits for all replies, and takes no more requests", bounded, async () => {
  await using asking = ask({ maxInFlight: 1 });
  const { rpc, answer } = asking;
  const replies = [rpc.request("a"), rpc.request("b")];
  const closing = rpc.close();
  await assertRejects(() => rpc.request("c"), TypeError, "cannot make a request after close()");
  await answer("1");
  assert(await isPending(closing));
  await answer("2");
  await closing;
  assertEquals(await Promise.all(replies), ["1", "2"]);
  assertEquals(await rpc.closed, undefined);
  await rpc.close();
  await assertRejects(() => rpc.request("c"), TypeError, "cannot make a request after close()");
  assertEquals(asking.client.signal.aborted, false);
});

Deno.test("close() does not take a late reply for one that it waits for", bounded, async () => {
  await using asking = ask();
  const { rpc, answer } = asking;
  const abortion = new AbortController();
  const given = rpc.request("a", { signal: abortion.signal });
  const reply = rpc.request("b");
  await settle();
  abortion.abort();
  await assertRejects(() => given);
  const closing = rpc.close();
  await answer("late");
  assert(await isPending(closing));
  await answer("2");
  assertEquals(await reply, "2");
  await closing;
});

Deno.test("close() waits for no request that is given up", bounded, async () => {
  await using asking = ask();
  const abortion = new AbortController();
  const reply = asking.rpc.request("a", { signal: abortion.signal });
  const closing = asking.rpc.close();
  assert(await isPending(closing));
  abortion.abort();
  await assertRejects(() => reply);
  await closing;
});

Deno.test(
  "close() after the last reply leaves what follows it to the next reading",
  bounded,
  async () => {
    for (const options of [{}, byId]) {
      await using asking = ask(options);
      const reply = asking.rpc.request("upgrade:");
      await asking.answer("upgrade:yes", "news", "more");
      assertEquals(await reply, "upgrade:yes");
      await asking.rpc.close();
      assertEquals(await asking.client.readExactly(4), new TextEncoder().encode("news"));
      assertEquals(await asking.client.readLine(), "");
      assertEquals(await asking.client.readLine(), "more");
    }
  },
);

Deno.test("close() lets go of a reading that waits", bounded, async () => {
  await using asking = ask();
  await settle();
  await assertRejects(() => asking.client.readLine(), TypeError, "another reading");
  await asking.rpc.close();
  await asking.answer("for somebody else");
  assertEquals(await asking.client.readLine(), "for somebody else");
});

Deno.test("close() hides no reply that came too many and is read already", bounded, async () => {
  await using asking = ask();
  await asking.rpc.close();
  const frames = asking.client.lines();
  const { read } = frames;
  frames.read = async () => {
    const frame = await Reflect.apply(read, frames, []);
    rpc.close();
    return frame;
  };
  const rpc = requests(frames);
  await asking.answer("1");
  assertInstanceOf(await rpc.closed, Error);
});

Deno.test("await using closes the requests", bounded, async () => {
  await using asking = ask();
  let answered = false;
  {
    await using rpc = asking.rpc;
    rpc.request("a").then(() => answered = true);
    asking.answer("1");
  }
  assert(answered);
});

Deno.test("abort() rejects all requests with the reason as it is", bounded, async () => {
  for (const reason of [{ no: "error" }, undefined]) {
    await using asking = ask({ maxInFlight: 1 });
    const { rpc, answer, client } = asking;
    const replies = [rpc.request("a"), rpc.request("b")];
    await settle();
    rpc.abort(reason);
    rpc.abort(new Error("too late"));
    const [first, second] = await Promise.all(replies.map(errorOf));
    assertStrictEquals(first, second);
    if (reason !== undefined) assertStrictEquals(first, reason);
    else assertEquals((first as DOMException).name, "AbortError");
    assertStrictEquals(await errorOf(rpc.request("c")), first);
    assertStrictEquals(await rpc.closed, first);
    await rpc.close();
    await answer("late", "next");
    assertEquals(await client.readLine(), "late");
    assertEquals(await asking.asked.read(), "a");
    await client.closeWrite();
    assertEquals(await asking.asked.read(), undefined); // "b" was never sent
  }
});

Deno.test("abort() keeps what waits for its turn from being sent", bounded, async () => {
  await using asking = ask();
  await asking.rpc.close();
  const frames = asking.client.lines();
  const { send } = frames;
  const sent: string[] = [];
  frames.send = (message) => {
    sent.push(message);
    return Reflect.apply(send, frames, [message]);
  };
  const rpc = requests(frames);
  const replies = ["a", "b", "c"].map((message) => rpc.request(message));
  rpc.abort();
  await Promise.all(replies.map(errorOf));
  await settle();
  assertEquals(sent, ["a"]);
});

Deno.test("what the functions of the options throw ends the requests", bounded, async () => {
  const bad = new Error("no such thing");
  const fail = () => {
    throw bad;
  };
  const cases = [
    { isReply: fail },
    { ...byId, replyId: fail },
    { isReply: () => false, onUnmatched: fail },
    { isReply: () => false, onUnmatched: () => Promise.reject(bad) },
  ];
  for (const options of cases) {
    await using asking = ask(options);
    const reply = asking.rpc.request("a:");
    await asking.answer("a:1");
    assertStrictEquals(await errorOf(reply), bad);
    assertStrictEquals(await asking.rpc.closed, bad);
  }
  await using asking = ask({ requestId: fail, replyId: fail });
  assertStrictEquals(await errorOf(asking.rpc.request("a")), bad);
  assertEquals(asking.rpc.inFlight, 0);
});

Deno.test("a value that nothing can be read of ends the requests", bounded, async () => {
  const [client, peer] = sessionPair();
  const rpc = requests(client.frames(jsonLines<{ id: number }>()), {
    requestId: ({ id }) => id,
    replyId: ({ id }) => id,
  });
  const reply = rpc.request({ id: 1 });
  await peer.send("null\n");
  assertInstanceOf(await errorOf(reply), TypeError);
  await Promise.all([client.close(), peer.close()]);
});

for (
  const [what, reason, misbehave] of [
    ["leaves without a reply", "peer", (peer) => peer.closeWrite()],
    ["answers twice", "error", (peer) => peer.send("rose\nrose\n")],
  ] as [string, string, (peer: Session) => Promise<void>][]
) {
  Deno.test(`a handler is not at fault for requests that its peer ${what}`, bounded, async () => {
    const listener = memoryListener();
    const ended = Promise.withResolvers<string>();
    const faults: unknown[] = [];
    const observer = {
      onHandlerError: (error: unknown) => void faults.push(error),
      onSessionEnd: (_: Session, { reason }: { reason: string }) => ended.resolve(reason),
    };
    await using _server = serve({ listener, observer }, async (session) => {
      const rpc = requests(session.lines());
      await rpc.request("who are you?");
      await rpc.closed;
      await rpc.request("and now?");
    });
    await using peer = new Session(listener.connect());
    assertEquals(await peer.readLine(), "who are you?");
    await misbehave(peer);
    await peer.closeWrite();
    assertEquals([await ended.promise, faults], [reason, []]);
  });
}

Deno.test("requests in flight go on while the server drains", bounded, async () => {
  const listener = memoryListener();
  const got = Promise.withResolvers<string>();
  const server = serve({ listener }, async (session) => {
    await using rpc = requests(session.lines());
    got.resolve(await rpc.request("who?"));
  });
  await using client = new Session(listener.connect());
  assertEquals(await client.readLine(), "who?");
  const down = server.shutdown();
  await settle();
  await client.send("rose\n");
  assertEquals(await got.promise, "rose");
  await client.close();
  await down;
});

Deno.test("two users of one session at a time get an error", bounded, async () => {
  await using asking = ask();
  const second = requests(asking.client.lines());
  const error = await second.closed;
  assertInstanceOf(error, TypeError);
  assertStrictEquals(await errorOf(second.request("a")), error);
  const reply = asking.rpc.request("b");
  await asking.answer("1");
  assertEquals(await reply, "1");
});

Deno.test("requests() give a reply that comes although the request could not be sent whole", async () => {
  const [near] = memoryPair();
  const failed = Promise.withResolvers<void>();
  const words = new TextEncoder().encode("413 too large\n");
  let said = 0;
  const session = new Session({
    remoteAddr: near.remoteAddr,
    localAddr: near.localAddr,
    read: async (buffer) => {
      await failed.promise;
      await settle();
      if (said === words.length) return null;
      buffer.set(words);
      return said = words.length;
    },
    write: () => {
      failed.resolve();
      return Promise.reject(new Deno.errors.BrokenPipe("gone"));
    },
    closeWrite: () => Promise.resolve(),
    close: () => {},
  });
  const rpc = requests(session.frames(lines({ maxLength: 200_000 })));
  const [first, second] = [rpc.request("x".repeat(100_000)), rpc.request("more")];
  assertEquals(await first, "413 too large");
  const error = await errorOf(second);
  ended("peer", "gone")(error);
  assertStrictEquals(await rpc.closed, error);
  await session.closed;
});
