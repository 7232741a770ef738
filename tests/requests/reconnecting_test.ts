// Requests of a client that comes back.

import { memoryUsage } from "node:process";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { collectGarbage } from "../../_internal/collect_garbage.ts";
import {
  ConnectionRefusedError,
  RequestLimitError,
  RequestTimeoutError,
  SessionEndedError,
} from "../../errors.ts";
import {
  reconnect,
  type ReconnectingClient,
  type ReconnectOptions,
} from "../../connect/reconnect.ts";
import { requests, type RequestsOptions } from "../../requests/requests.ts";
import type { Frames, Session } from "../../session.ts";
import { inMemory, SOON, testEachDialled } from "../_reconnecting.ts";
import { byId } from "../_requests.ts";
import { bounded, countedSignal, echo, settle, until } from "../_serving.ts";
import { collect, isPending } from "../_transports.ts";

/** A client whose sessions are ready as they are. */
function lineClient(
  options: ReconnectOptions<Frames<string>> = {},
): ReconnectingClient<Frames<string>> {
  return reconnect({ port: 9, ...SOON, setUp: (session) => session.lines(), ...options });
}

testEachDialled("requests() wait for a session that is set up, each time", async (dialled) => {
  const heard: string[] = [];
  const open = Promise.withResolvers<void>();
  await using network = dialled(async (session) => {
    const lines = session.lines();
    if (await lines.read() !== "LOGIN") return;
    await session.send("welcome\n");
    for await (const line of lines) {
      heard.push(`${session.id} ${line}`);
      await session.send(`${line}!\n`);
      if (line === "bye") break;
    }
  }, () => open.promise);
  const rpc = requests(lineClient({
    async setUp(session): Promise<Frames<string>> {
      const lines = session.lines();
      await using login = requests(lines);
      assertEquals(await login.request("LOGIN"), "welcome");
      return lines;
    },
  }));
  const first = ["rose", "think"].map((line) => rpc.request(line));
  await settle();
  assertEquals([rpc.inFlight, rpc.queued], [0, 2]);
  open.resolve();
  assertEquals(await Promise.all(first), ["rose!", "think!"]);
  for (let session = 2; session <= 4; session++) {
    assertEquals(await rpc.request("bye"), "bye!");
    assertEquals(await rpc.request("hello", { idempotent: true }), "hello!");
  }
  await rpc.close();
  assertEquals(await rpc.closed, undefined);
  assertEquals(heard.filter((line) => line.endsWith("bye")), ["1 bye", "2 bye", "3 bye"]);
  assertEquals([network.open, network.dials], [0, 4]);
});

testEachDialled("requests() send again what may be sent again, and no more", async (dialled) => {
  const heard: string[][] = [];
  await using _ = dialled(async (session) => {
    const lines = heard[session.id - 1] = [] as string[];
    for await (const line of session.lines()) {
      lines.push(line);
      if (session.id === 2) await session.send(`${line}!\n`);
      else if (lines.length === 3) return session.abort(); // with none of them answered
    }
  });
  const rpc = requests(lineClient(), { maxInFlight: 3 });
  const once = rpc.request("once");
  const again = ["a", "b"].map((line) => rpc.request(line, { idempotent: true }));
  const queued = rpc.request("c");
  const error = await assertRejects(() => once, SessionEndedError);
  assertEquals(error.reason, "peer");
  assertEquals(await Promise.all([...again, queued]), ["a!", "b!", "c!"]);
  assertEquals(heard, [["once", "a", "b"], ["a", "b", "c"]]);
  await rpc.close();
});

testEachDialled(
  "stream() begins anew over the next session, unless it has begun",
  async (dialled) => {
    await using _ = dialled(async (session) => {
      await session.readLine();
      if (session.id === 1) return;
      await session.send("one\ntwo\n");
      if (session.id === 2) await session.readLine();
      else await session.send("three\nend\n");
    });
    const rpc = requests(lineClient(), { isLast: (line) => line === "end" });
    const rows = rpc.stream("rows", { idempotent: true });
    assertEquals([(await rows.next()).value, (await rows.next()).value], ["one", "two"]);
    const whole = rpc.request("rows", { idempotent: true }); // which makes the second session end
    await assertRejects(() => rows.next(), SessionEndedError);
    assertEquals(await whole, ["one", "two", "three", "end"]);
    await rpc.close();
  },
);

testEachDialled("requests() by id go to the next session as well", async (dialled) => {
  await using _ = dialled(async (session) => {
    for await (const line of session.lines()) {
      if (session.id === 1) return;
      await session.send(`${line}!\n`);
    }
  });
  const rpc = requests(lineClient(), byId);
  const options = { idempotent: true };
  const replies = ["a:", "b:", "c:"].map((line) => rpc.request(line, options));
  const abortion = new AbortController();
  const given = rpc.request("d:", { ...options, signal: abortion.signal });
  const lost = rpc.request("e:");
  await rpc.connected();
  abortion.abort("enough");
  assertEquals(await given.catch((error) => error), "enough");
  await assertRejects(() => lost, SessionEndedError);
  assertEquals(await Promise.all(replies), ["a:!", "b:!", "c:!"]);
  for (const line of ["d:", "e:"]) assertEquals(await rpc.request(line), `${line}!`);
  assertEquals(rpc.inFlight, 0);
  await rpc.close();
});

Deno.test(
  "requests() of a client that cannot connect say why at their timeout",
  bounded,
  async () => {
    await using _ = inMemory(echo, () => {
      throw new Deno.errors.ConnectionRefused();
    });
    const rpc = requests(lineClient());
    const error = await assertRejects(() => rpc.request("a", { timeout: 30 }), RequestTimeoutError);
    assertEquals(error.sent, false);
    assertInstanceOf(error.cause, ConnectionRefusedError);
    const late = rpc.stream("b", { timeout: 30 });
    assertInstanceOf((await assertRejects(() => late.next(), RequestTimeoutError)).cause, Error);
    rpc.abort();
  },
);

Deno.test("a request that was sent once reports it, although it waits again", bounded, async () => {
  await using _ = inMemory(async (session) => void await session.readLine(), (dial) => {
    if (dial > 1) throw new Deno.errors.ConnectionRefused();
  });
  const rpc = requests(lineClient());
  const reply = rpc.request("a", { idempotent: true, timeout: 60 });
  const error = await assertRejects(() => reply, RequestTimeoutError);
  assertEquals(error.sent, true);
  rpc.abort();
});

Deno.test("requests() of a client fail with what has ended it", bounded, async () => {
  await using _ = inMemory(echo, () => {
    throw new Deno.errors.ConnectionRefused();
  });
  const rpc = requests(lineClient({ maxAttempts: 3 }));
  const waiting = rpc.request("a", { idempotent: true });
  const connected = rpc.connected();
  const error = await assertRejects(() => waiting, ConnectionRefusedError);
  assertStrictEquals(await connected.catch((error) => error), error);
  assertStrictEquals(await rpc.closed, error);
  assertStrictEquals(await rpc.request("b").catch((error) => error), error);
  assertStrictEquals(await rpc.connected().catch((error) => error), error);
  assertEquals([rpc.inFlight, rpc.queued], [0, 0]);
  await rpc.close();
});

Deno.test(
  "connected() of requests keeps nothing of those who wait no longer",
  bounded,
  async () => {
    await using _ = inMemory(echo, () => {
      throw new Deno.errors.ConnectionRefused();
    });
    const rpc = requests(lineClient({ minDelay: 60_000, maxDelay: 60_000 }));
    const wait = async (): Promise<void> => {
      const stop = new AbortController();
      const connected = rpc.connected({ signal: stop.signal });
      stop.abort();
      await connected.catch(() => {});
    };
    const before = memoryUsage().heapUsed;
    for (let at = 0; at < 80_000; at++) await wait(); // 100 MB if each were kept
    collectGarbage();
    await until(() => memoryUsage().heapUsed < before + 40e6);
    rpc.abort();
  },
);

Deno.test("requests() of a client fail with what its set-up throws", bounded, async () => {
  await using dialled = inMemory(echo);
  const refused = new Error("wrong password");
  const rpc = requests(lineClient({
    setUp(): never {
      throw refused;
    },
  }));
  assertStrictEquals(await rpc.request("a").catch((error) => error), refused);
  assertStrictEquals(await rpc.closed, refused);
  assertEquals(dialled.dials, 1);
  const none = requests(reconnect({ port: 9 }) as ReconnectingClient<never>);
  await assertRejects(
    () => none.request("a" as never),
    TypeError,
    "what setUp of the client returns must be what session.frames() returns, got undefined",
  );
});

Deno.test(
  "requests() of a client fail with the last session where it does not come back",
  bounded,
  async () => {
    await using _ = inMemory(async (session) => void await session.readLine());
    const rpc = requests(lineClient({ shouldRetry: () => false }), { maxInFlight: 1 });
    const replies = [rpc.request("a"), rpc.request("b", { idempotent: true })];
    for (const reply of replies) {
      assertEquals((await assertRejects(() => reply, SessionEndedError)).reason, "peer");
    }
    assertInstanceOf(await rpc.closed, SessionEndedError);
  },
);

Deno.test(
  "requests() fail with what onUnmatched throws, and close their client",
  bounded,
  async () => {
    const mistake = new Error("a mistake");
    const fail = () => {
      throw mistake;
    };
    const cases: RequestsOptions<string>[] = [
      { isReply: () => false, onUnmatched: fail },
      { isReply: () => false, onUnmatched: () => Promise.reject(mistake) },
      { isReply: fail },
    ];
    for (const options of cases) {
      await using dialled = inMemory(echo);
      const client = lineClient();
      const rpc = requests(client, options);
      const reply = rpc.request("a", { idempotent: true });
      assertStrictEquals(await reply.catch((error) => error), mistake);
      assertStrictEquals(await rpc.closed, mistake);
      await client.close();
      assertEquals([dialled.dials, dialled.open], [1, 0]);
    }
  },
);

Deno.test("close() of requests closes their client, connected or not", bounded, async () => {
  for (const isUp of [true, false]) {
    await using dialled = inMemory(echo, (dial) => {
      if (!isUp && dial > 1) throw new Deno.errors.ConnectionRefused();
    });
    const client = lineClient();
    const rpc = requests(client);
    await rpc.connected();
    const reply = rpc.request("a");
    if (!isUp) {
      assertEquals(await reply, "a!");
      client.session!.abort();
      await until(() => dialled.dials > 2);
    }
    const closing = rpc.close();
    await assertRejects(() => rpc.request("b"), TypeError, "cannot make a request after close()");
    assertEquals(await reply, "a!");
    await closing;
    assertEquals([await rpc.closed, client.session, dialled.open], [undefined, undefined, 0]);
    await assertRejects(() => rpc.connected(), TypeError, "after close()");
    assertEquals(await client.next(), { done: true, value: undefined });
  }
});

Deno.test("close() of requests waits for one that waits for a session", bounded, async () => {
  const open = Promise.withResolvers<void>();
  await using _ = inMemory(echo, () => open.promise);
  const rpc = requests(lineClient());
  const reply = rpc.request("a");
  const closing = rpc.close();
  assert(await isPending(closing));
  open.resolve();
  assertEquals(await reply, "a!");
  await closing;
});

Deno.test("abort() of requests aborts their client", bounded, async () => {
  for (const reason of ["enough", undefined]) {
    await using dialled = inMemory((session) => session.closed);
    const client = lineClient();
    const rpc = requests(client);
    const replies = [rpc.request("a", { idempotent: true }), rpc.request("b")];
    await rpc.connected();
    const session = client.session!;
    rpc.abort(reason);
    const [error, other] = await Promise.all(replies.map((reply) => reply.catch((error) => error)));
    assertStrictEquals(error, other);
    if (reason === undefined) assertEquals((error as DOMException).name, "AbortError");
    else assertEquals(error, reason);
    assertStrictEquals(await rpc.closed, error);
    assertStrictEquals((await session.closed).cause, error);
    await client.close();
    assertEquals(dialled.open, 0);
  }
});

Deno.test("requests() end when their client is closed or aborted by others", bounded, async () => {
  for (const how of ["close", "abort", "signal"] as const) {
    await using _ = inMemory((session) => session.closed);
    const controller = new AbortController();
    const client = lineClient({ signal: controller.signal });
    const rpc = requests(client, { maxInFlight: 1 });
    const replies = [rpc.request("a"), rpc.request("b")];
    await rpc.connected();
    if (how === "close") client.close();
    else if (how === "abort") client.abort("enough");
    else controller.abort("enough");
    const [sent, queued] = await Promise.all(replies.map((reply) => reply.catch((error) => error)));
    assertInstanceOf(sent, SessionEndedError);
    const cause = await rpc.closed;
    assertStrictEquals(queued, cause);
    if (how === "close") assertEquals((cause as DOMException).name, "AbortError");
    else assertEquals(cause, "enough");
    await client.close();
  }
  const early = lineClient();
  const rpc = requests(early);
  early.close();
  const error = await rpc.request("a").catch((error) => error);
  assertEquals([(error as DOMException).name, error === await rpc.closed], ["AbortError", true]);
});

Deno.test("requests() of a client are bounded while there is no session", bounded, async () => {
  const open = Promise.withResolvers<void>();
  await using _ = inMemory(echo, () => open.promise);
  const rpc = requests(lineClient(), { maxInFlight: 2, maxQueued: 3 });
  const replies = ["a", "b", "c", "d", "e"].map((line) => rpc.request(line));
  await assertRejects(() => rpc.request("f"), RequestLimitError);
  assertEquals([rpc.inFlight, rpc.queued], [0, 5]);
  open.resolve();
  assertEquals(await Promise.all(replies), ["a!", "b!", "c!", "d!", "e!"]);
  await rpc.close();
});

Deno.test("requests() that wait for a session leave no listener", bounded, async () => {
  await using _ = inMemory(echo, () => Promise.reject(new Deno.errors.ConnectionRefused()));
  const controller = new AbortController();
  const { signal } = controller;
  const counted = countedSignal(signal);
  const rpc = requests(lineClient());
  const waits = [
    rpc.request("a", { signal, idempotent: true }),
    rpc.stream("b", { signal }).next(),
    rpc.connected({ signal }),
  ];
  await settle();
  assert(counted.listeners >= 3);
  controller.abort("enough");
  for (const wait of waits) assertEquals(await wait.catch((error: unknown) => error), "enough");
  assertEquals(counted.listeners, 0);
  const late = rpc.connected({ signal: new AbortController().signal });
  assertEquals(await rpc.connected({ signal }).catch((error) => error), "enough");
  rpc.abort("over");
  assertEquals(await late.catch((error) => error), "over");
});

Deno.test("connected() gives the frames of plain requests", bounded, async () => {
  await using _ = inMemory(echo);
  const client = reconnect({ port: 9 });
  const { value: session } = await client.next();
  const frames = (session as Session).lines();
  const rpc = requests(frames);
  assertStrictEquals(await rpc.connected(), frames);
  await rpc.close();
  await assertRejects(() => rpc.connected(), TypeError);
  await client.close();
});

Deno.test(
  "a message that cannot be encoded fails alone, over whatever session",
  bounded,
  async () => {
    await using _ = inMemory(echo);
    const rpc = requests(lineClient());
    const replies = [rpc.request("a"), rpc.request("\n", { idempotent: true }), rpc.request("b")];
    await assertRejects(() => replies[1]!, TypeError, "must not contain a line feed");
    assertEquals([await replies[0], await replies[2]], ["a!", "b!"]);
    assertEquals(await collect(rpc.stream("c")), ["c!"]);
    await rpc.close();
  },
);

Deno.test(
  "a request that is made once the session has ended waits for the next",
  bounded,
  async () => {
    await using dialled = inMemory(echo);
    const client = lineClient();
    const rpc = requests(client);
    await rpc.connected();
    client.session!.abort();
    const replies = ["a", "b"].map((line) => rpc.request(line)); // nobody has read of the end yet
    assertEquals(await Promise.all(replies), ["a!", "b!"]);
    assertEquals(dialled.dials, 2);
    await rpc.close();
  },
);

Deno.test("a send of the last session changes nothing in the next", bounded, async () => {
  await using _ = inMemory(async (session) => void await session.closed);
  const sends: { message: string; sent: PromiseWithResolvers<void> }[] = [];
  const client = lineClient({
    setUp(session): Frames<string> {
      const frames = session.lines();
      frames.send = (message) => {
        const sent = Promise.withResolvers<void>();
        sends.push({ message: `${session.id}${message}`, sent });
        return sent.promise;
      };
      return frames;
    },
  });
  const rpc = requests(client);
  const options = { idempotent: true };
  const replies = ["a", "b"].map((message) => rpc.request(message, options));
  await until(() => sends.length === 1);
  client.session!.abort();
  await until(() => sends.length === 2);
  sends[0]!.sent.resolve();
  await settle();
  assertEquals(sends.map(({ message }) => message), ["1a", "2a"]); // "b" waits for the second
  sends[1]!.sent.resolve();
  await until(() => sends.length === 3);
  assertEquals(rpc.inFlight, 2);
  rpc.abort("enough");
  for (const reply of replies) assertEquals(await reply.catch((error) => error), "enough");
  await client.close();
});

Deno.test("a late refusal to encode is that of the session that it was for", bounded, async () => {
  const open = Promise.withResolvers<void>();
  await using _ = inMemory(async (session) => {
    await open.promise;
    await echo(session);
  });
  let fail: (() => void) | undefined;
  const client = lineClient({
    setUp(session): Frames<string> {
      const frames = session.lines();
      const { send } = frames;
      frames.send = (message) =>
        session.id > 1 ? Reflect.apply(send, frames, [message]) : new Promise((_, reject) => {
          fail = () => reject(new TypeError("cannot be encoded"));
        });
      return frames;
    },
  });
  const rpc = requests(client);
  const reply = rpc.request("a", { idempotent: true });
  await until(() => fail !== undefined);
  client.session!.abort();
  await until(() => client.session?.id === 2 && rpc.inFlight === 1);
  fail!();
  await settle();
  open.resolve();
  assertEquals(await reply, "a!");
  assertEquals(await rpc.request("b"), "b!");
  await rpc.close();
});

Deno.test(
  "by id, what was given up in the last session is forgotten in the next",
  bounded,
  async () => {
    await using _ = inMemory(async (session) => {
      for await (const line of session.lines()) {
        if (line === "drop:") return session.abort();
        if (line === "answer:") await session.send("a:!\nanswer:!\n");
      }
    });
    const rpc = requests(lineClient(), { ...byId, maxInFlight: 2 });
    const giveUp = async (line: string) => {
      const abortion = new AbortController();
      const reply = rpc.request(line, { signal: abortion.signal });
      await until(() => rpc.inFlight > before);
      abortion.abort("enough");
      assertEquals(await reply.catch((error) => error), "enough");
    };
    let before = 0;
    await giveUp("a:");
    await assertRejects(() => rpc.request("drop:"), SessionEndedError);
    const reply = rpc.request("a:");
    await until(() => rpc.inFlight === 1);
    before = 1;
    for (const line of ["b:", "c:"]) await giveUp(line);
    assertEquals(await rpc.request("answer:"), "answer:!");
    assertEquals(await reply, "a:!");
    await rpc.close();
  },
);
