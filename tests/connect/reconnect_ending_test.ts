import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { jsonLines, lengthPrefixed } from "../../codecs/mod.ts";
import {
  ConnectionRefusedError,
  MalformedFrameError,
  type SessionEnd,
  SessionEndedError,
  TruncatedFrameError,
} from "../../errors.ts";
import {
  reconnect,
  type ReconnectingClient,
  type ReconnectOptions,
} from "../../connect/reconnect.ts";
import { requests } from "../../requests/requests.ts";
import { type Handler, serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import type { Connection } from "../../transport/mod.ts";
import { codecOf, DECODER_BUGS } from "../_decoder_bugs.ts";
import { dialing, refusingPort, silentPort } from "../_dialing.ts";
import { assertDone, diary, inMemory, sessionOf, SOON } from "../_reconnecting.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  countedSignal,
  echo,
  overNetCounting,
  portOf,
  readAll,
  readToReset,
  settle,
  until,
} from "../_serving.ts";

/** A client in some state: what waits, and what its observer is told when it is ended there. */
interface Stage extends AsyncDisposable {
  client: ReconnectingClient;
  /** How many listeners its signal has. */
  listeners: number;
  pending?: Promise<unknown>;
  /** Lets the peer do its part of a graceful end. */
  finish?(): Promise<void>;
  told: { aborted: string[]; closed: string[] };
}

type Open = (options: Partial<ReconnectOptions>, events: string[]) => Promise<Stage>;

const NEVER: Promise<boolean> = new Promise(() => {});
const nothing = { aborted: [], closed: [] };
const live = { aborted: ["end 1 local"], closed: ["end 1 local"] };

async function greeted(options: Partial<ReconnectOptions>): Promise<
  [ReconnectingClient, Session, AsyncDisposable]
> {
  const server = serve({ port: 0 }, echo);
  const client = reconnect({ port: portOf(server), ...options });
  const session = await sessionOf(client);
  assertEquals(await ask(session, "rose"), "rose!");
  return [client, session, server];
}

/** Every state that a client can be in, but for its ends. */
const STAGES: Record<string, Open> = {
  "before it has begun": (options) =>
    Promise.resolve({
      client: reconnect({ port: 9, ...options }),
      listeners: 0,
      told: nothing,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
  "while it waits": async (options, events) => {
    const closed = await refusingPort();
    const delays = { minDelay: 2 ** 30, random: () => 0.999 };
    const client = reconnect({ port: closed.port, ...delays, ...options });
    const pending = client.next();
    pending.catch(() => {});
    await until(() => events.some((event) => event.startsWith("failed")));
    const dispose = () => closed[Symbol.asyncDispose]();
    return { client, pending, listeners: 1, told: nothing, [Symbol.asyncDispose]: dispose };
  },
  "while it dials": async (options, events) => {
    const silent = await silentPort();
    const client = reconnect({ port: silent.port, ...options });
    const pending = client.next();
    pending.catch(() => {});
    await until(() => events.length > 0);
    await settle();
    return {
      client,
      pending,
      listeners: 1,
      told: { aborted: ["failed 1 Error"], closed: ["failed 1 AbortError"] },
      [Symbol.asyncDispose]: () => Promise.resolve(silent[Symbol.dispose]()),
    };
  },
  "while it asks shouldRetry after a dial": async (options) => {
    const closed = await refusingPort();
    const asked = Promise.withResolvers<void>();
    const shouldRetry = () => {
      asked.resolve();
      return NEVER;
    };
    const client = reconnect({ port: closed.port, shouldRetry, ...options });
    const pending = client.next();
    pending.catch(() => {});
    await asked.promise;
    return {
      client,
      pending,
      listeners: 1,
      told: {
        aborted: ["failed 1 ConnectionRefusedError"],
        closed: ["failed 1 ConnectionRefusedError"],
      },
      [Symbol.asyncDispose]: () => closed[Symbol.asyncDispose](),
    };
  },
  "while it asks shouldRetry after a session": async (options) => {
    const asked = Promise.withResolvers<void>();
    const shouldRetry = () => {
      asked.resolve();
      return NEVER;
    };
    const [client, session, server] = await greeted({ shouldRetry, ...options });
    session.abort();
    await asked.promise;
    const dispose = () => server[Symbol.asyncDispose]();
    return { client, listeners: 0, told: live, [Symbol.asyncDispose]: dispose };
  },
  "in a session": async (options) => {
    const [client, , server] = await greeted(options);
    const dispose = () => server[Symbol.asyncDispose]();
    return { client, listeners: 1, told: live, [Symbol.asyncDispose]: dispose };
  },
  "while it closes the last session": async (options) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const client = reconnect({ port: portOf(listener), ...options });
    await sessionOf(client);
    const peer = await listener.accept();
    const pending = client.next();
    pending.catch(() => {});
    assertEquals(await peer.read(new Uint8Array(1)), null);
    const finish = () => peer.closeWrite();
    const dispose = () => {
      peer.close();
      listener.close();
      return Promise.resolve();
    };
    return { client, pending, finish, listeners: 1, told: live, [Symbol.asyncDispose]: dispose };
  },
  "between two sessions": async (options, events) => {
    const [client, session, server] = await greeted(options);
    session.abort();
    await until(() => events.includes("end 1 local"));
    const dispose = () => server[Symbol.asyncDispose]();
    return { client, listeners: 0, told: nothing, [Symbol.asyncDispose]: dispose };
  },
};

for (const [state, open] of Object.entries(STAGES)) {
  Deno.test(`reconnect() ends with its signal ${state}`, overNetCounting, async () => {
    await assertNoDescriptorLeft(async () => {
      const reason = new Error("enough");
      for (const how of ["signal", "abort()"]) {
        const controller = new AbortController();
        const count = countedSignal(controller.signal);
        const { events, waits, ...observer } = diary();
        await using stage = await open({ signal: controller.signal, observer }, events);
        const { client, pending, told } = stage;
        assertEquals(count.listeners, stage.listeners);
        const before = events.length;
        if (how === "signal") controller.abort(reason);
        else client.abort(reason);
        assertStrictEquals(await (pending ?? client.next()).catch((error) => error), reason);
        await assertDone(client);
        assertEquals(events.slice(before), told.aborted);
        if (told.aborted.length > 0) assertEquals(waits.at(-1), Infinity);
        assertEquals(count.listeners, 0);
      }
    });
  });

  Deno.test(`ReconnectingClient.close() ends it ${state}`, overNetCounting, async () => {
    await assertNoDescriptorLeft(async () => {
      const controller = new AbortController();
      const count = countedSignal(controller.signal);
      const { events, waits, ...observer } = diary();
      await using stage = await open({ signal: controller.signal, observer }, events);
      const { client, pending, told } = stage;
      const before = events.length;
      const closed = Promise.all([client.close(), client.close(), client.return()]);
      await stage.finish?.();
      await closed;
      assertEquals(events.slice(before), told.closed);
      if (told.closed.length > 0) assertEquals(waits.at(-1), Infinity);
      assertEquals(count.listeners, 0);
      if (pending !== undefined) assertEquals(await pending, { done: true, value: undefined });
      controller.abort();
      client.abort();
      await assertDone(client);
      assertEquals(events.slice(before), told.closed);
    });
  });
}

Deno.test("reconnect() rejects with the reason of its signal as it is", bounded, async () => {
  await using dialled = inMemory(echo);
  for (const reason of ["enough", undefined, null]) {
    const before = AbortSignal.abort(reason);
    const early = reconnect({ port: 9, signal: before });
    assertStrictEquals(await early.next().catch((error) => error), before.reason);
    await assertDone(early);

    const controller = new AbortController();
    const client = reconnect({ port: 9, signal: controller.signal });
    const session = await sessionOf(client);
    controller.abort(reason);
    const { cause } = await session.closed;
    assertStrictEquals(cause, controller.signal.reason);
    assertStrictEquals(await client.next().catch((error) => error), controller.signal.reason);
    await assertDone(client);
  }
  const client = reconnect({ port: 9 });
  const session = await sessionOf(client);
  client.abort();
  const error = await assertRejects(() => client.next(), DOMException);
  assertEquals(error.name, "AbortError");
  assertStrictEquals((await session.closed).cause, error);
  assertEquals(dialled.dials, 4);
});

Deno.test("reconnect() closes a connection that is made as it is called off", bounded, async () => {
  const told = new Set<string>();
  for (const how of ["close", "abort"] as const) {
    for (let later = 0; later < 20; later++) {
      // So many steps after the connection was made: at first connect() sees it, then only reconnect() can.
      await using dialled = inMemory(echo, async () => {
        (async () => {
          for (let step = 0; step < later; step++) await null;
          client[how]();
        })();
        await null;
      });
      const { events, waits, ...observer } = diary();
      let asked = 0;
      const shouldRetry = () => ++asked > 0;
      const client = reconnect({ port: 9, shouldRetry, observer });
      const outcome = await client.next().catch((error) => error);
      const started = events.includes("start 1");
      if (!started || !outcome.value) {
        if (how === "close") assertEquals(outcome, { done: true, value: undefined });
        else assertEquals(outcome.name, "AbortError");
      }
      await client.close();
      assertEquals([dialled.open, waits, asked], [0, [Infinity], 0]);
      assertEquals(events[0], "dial 1 127.0.0.1:9");
      told.add(events.slice(1).join());
      await client.next().catch(() => {});
      await assertDone(client);
    }
  }
  assertEquals([...told], ["failed 1 AbortError", "start 1,end 1 local"]);
});

Deno.test("reconnect() ends what its observer calls off", bounded, async () => {
  for (const event of ["onDial", "onDialError", "onSessionStart", "onSessionEnd"] as const) {
    await using dialled = inMemory((session) => session.send("bye"), (dial) => {
      if (dial === 1) throw new Deno.errors.ConnectionRefused();
    });
    const { events, waits: _, ...observer } = diary();
    const record = observer[event] as (...args: unknown[]) => void;
    observer[event] = (...args: unknown[]): void => {
      record(...args);
      client.close();
    };
    const client = reconnect({ port: 9, ...SOON, observer });
    for await (const session of client) {
      assertEquals(event, "onSessionEnd");
      await readAll(session);
    }
    await assertDone(client);
    const told = { onDial: 2, onDialError: 2, onSessionStart: 5, onSessionEnd: 5 };
    assertEquals(events.length, told[event]);
    assertEquals(dialled.open, 0);
  }
});

Deno.test("reconnect() ends what shouldRetry calls off, answered or not", bounded, async () => {
  for (const answer of [true, false, NEVER]) {
    await using dialled = inMemory((session) => session.send("bye"), (dial) => {
      if (dial === 1) throw new Deno.errors.ConnectionRefused();
    });
    for (const ended of ["dial", "session"]) {
      const shouldRetry = (error: unknown) => {
        if (error instanceof ConnectionRefusedError && ended === "session") return true;
        client.close();
        return answer;
      };
      const client = reconnect({ port: 9, ...SOON, shouldRetry });
      let sessions = 0;
      await client.run((session) => {
        sessions++;
        return readAll(session);
      });
      assertEquals(sessions, ended === "dial" ? 0 : 1);
      await assertDone(client);
    }
    assertEquals(dialled.dials, 2);
  }
});

Deno.test("reconnect() is closed by leaving its loop", bounded, async () => {
  for (const how of ["break", "throw", "await using"]) {
    const got: string[] = [];
    await using dialled = inMemory(async (session) => void got.push(await readAll(session)));
    const failure = new Error("enough");
    const ends: SessionEnd[] = [];
    const observer = { onSessionEnd: (_: Session, end: SessionEnd) => void ends.push(end) };
    await (async () => {
      await using client = reconnect({ port: 9, observer });
      if (how === "await using") return void (await sessionOf(client)).send("bye");
      for await (const session of client) {
        session.send("bye"); // arrives: the session is closed gracefully
        if (how === "break") break;
        throw failure;
      }
    })().catch((error) => assertStrictEquals(error, failure));
    assertEquals(ends.map(({ reason }) => reason), ["local"]);
    await until(() => got.length === 1);
    assertEquals([got, dialled.open], [["bye"], 0]);
  }
});

Deno.test("ReconnectingClient.next() refuses to wait twice", bounded, async () => {
  await using dialled = inMemory(echo);
  const client = reconnect({ port: 9 });
  const first = client.next();
  await assertRejects(
    () => client.next(),
    TypeError,
    "another next() of this client waits already: one at a time",
  );
  assertEquals((await first).done, false);
  assertEquals(dialled.dials, 1);
  await client.close();
});

Deno.test(
  "ReconnectingClient.close() does not wait for who uses the session",
  bounded,
  async () => {
    await using _ = inMemory(echo);
    const client = reconnect({ port: 9 });
    let isOver = false;
    await client.run(async (session) => {
      await client.close();
      assertEquals(session.signal.aborted, true);
      isOver = true;
    });
    assert(isOver);
  },
);

Deno.test("ReconnectingClient.session is the one that is alive", bounded, async () => {
  await using dialled = inMemory(echo);
  const client = reconnect({ port: 9, ...SOON });
  assertEquals(client.session, undefined);
  const first = await sessionOf(client);
  assertStrictEquals(client.session, first);
  assertEquals(await ask(first, "rose"), "rose!");
  dialled.server.sessions.forEach((session) => session.abort());
  assertEquals(await readToReset(first), "");
  await first.close();
  await settle();
  assertEquals(client.session, undefined);
  const second = await sessionOf(client);
  assertStrictEquals(client.session, second);
  assertEquals([first.id, second.id], [1, 2]);
  await client.close();
  assertEquals(client.session, undefined);
});

/** What a session throws at its handler, and how the session ends of it. */
const FAULTS: Record<string, [server: Handler, handler: (session: Session) => Promise<unknown>]> = {
  "a lost peer": [async (session) => {
    await settle();
    session.abort(); // with input unread, which resets
  }, async (session) => {
    await session.send("rose\n");
    await session.readLine();
  }],
  "a send that is too late": [() => {}, async (session) => {
    await session.close();
    await session.send("late");
  }],
  "an input that ends too soon": [() => {}, (session) => session.readExactly(1)],
  "a frame that is cut": [
    (session) => session.send(new Uint8Array([0, 0])),
    (session) => session.frames(lengthPrefixed()).read(),
  ],
  "a request that has no reply": [
    (session) => session.readLine(),
    (session) => requests(session.lines()).request("rose"),
  ],
  "a reply that nothing asked for": [
    async (session) => {
      for await (const line of session.lines()) await session.send(`${line}\nmore\n`);
    },
    async (session) => {
      const rpc = requests(session.lines());
      await rpc.request("rose");
      await rpc.closed;
      await rpc.request("think");
    },
  ],
  "a frame that is no reply, as replyId says": [
    (session) => session.send("null\n"),
    (session) =>
      requests(session.frames(jsonLines<{ id: number } | null>()), {
        requestId: (request) => request!.id,
        replyId: (reply) => {
          if (reply === null) throw new MalformedFrameError("not an object", 0);
          return reply.id;
        },
      }).request({ id: 1 }),
  ],
  "a line that is too long": [
    (session) => session.send("too long\n"),
    (session) => session.readLine({ maxLength: 3 }),
  ],
};

for (const [fault, [server, handler]] of Object.entries(FAULTS)) {
  Deno.test(`ReconnectingClient.run() reconnects after ${fault}`, bounded, async () => {
    await using _ = inMemory(server);
    const thrown: unknown[] = [];
    const client = reconnect({ port: 9, ...SOON });
    await client.run(async (session) => {
      if (session.id === 4) return void client.close();
      await handler(session).catch((error) => {
        thrown.push(error);
        throw error;
      });
    });
    assertEquals(thrown.length, 3);
    await assertDone(client);
  });
}

for (const [bug, { decode, kind, words }] of Object.entries(DECODER_BUGS)) {
  Deno.test(`ReconnectingClient.run() fails with ${bug} out of a decoder`, bounded, async () => {
    await using dialled = inMemory((session) => session.send("rose"));
    const client = reconnect({ port: 9, ...SOON });
    await assertRejects(
      () => client.run((session) => session.frames(codecOf(decode)).read()),
      kind,
      words,
    );
    await assertDone(client);
    assertEquals(dialled.dials, 1);
  });
}

Deno.test("ReconnectingClient.run() fails with what its handler throws", bounded, async () => {
  const failures: unknown[] = [
    new Error("no such command"),
    new SessionEndedError("peer"), // of some other session
    new TruncatedFrameError(0, 4),
    undefined,
  ];
  for (const failure of failures) {
    const ends: [SessionEnd, number][] = [];
    const observer = {
      onSessionEnd: (_: Session, end: SessionEnd, retryIn: number) =>
        void ends.push([end, retryIn]),
    };
    const got: string[] = [];
    await using dialled = inMemory(async (session) => void got.push(await readAll(session)));
    const client = reconnect({ port: 9, ...SOON, observer });
    const run = client.run((session) => {
      session.send("bye");
      throw failure;
    });
    assertStrictEquals(await run.then(() => "done", (error) => error), failure);
    await assertDone(client);
    const [[end, retryIn], ...more] = ends as [[SessionEnd, number]];
    assertEquals([end.reason, retryIn, more, dialled.dials], ["error", Infinity, [], 1]);
    assertStrictEquals(end.cause, failure);
    await until(() => got.length === 1);
    assertEquals(got, ["bye"]);
  }
});

Deno.test(
  "ReconnectingClient.run() fails for its own even where the session has ended",
  bounded,
  async () => {
    await using _ = inMemory((session) => session.abort());
    const failure = new Error("cannot go on");
    const client = reconnect({ port: 9, ...SOON });
    const run = client.run(async (session) => {
      await session.close();
      throw failure;
    });
    assertStrictEquals(await run.catch((error) => error), failure);
  },
);

Deno.test("ReconnectingClient.run() ends as next() does", bounded, async () => {
  const reason = new Error("enough");
  await using dialled = inMemory(echo);
  const controller = new AbortController();
  const client = reconnect({ port: 9, signal: controller.signal });
  const run = client.run(async (session) => {
    assertEquals(await ask(session, "rose"), "rose!");
    controller.abort(reason);
    await session.readLine();
  });
  assertStrictEquals(await run.catch((error) => error), reason);
  await assertDone(client);
  assertEquals(dialled.dials, 1);

  using _ = dialing((): Promise<Connection> => Promise.reject(new Deno.errors.ConnectionRefused()));
  const refused = reconnect({ port: 9, ...SOON, maxAttempts: 2 });
  await assertRejects(() => refused.run(() => {}), ConnectionRefusedError);
  await assertRejects(
    () => reconnect({ port: 9 }).run(undefined as unknown as Handler),
    TypeError,
    "handler must be a function, got undefined",
  );
});

Deno.test("reconnect() sends goodbye, and reports its errors", bounded, async () => {
  const heard: string[] = [];
  await using dialled = inMemory(async (session) => void heard.push(await readAll(session)));
  const fault = new Error("no such language");
  const told: unknown[] = [];
  const ends: SessionEnd[] = [];
  let calls = 0;
  await using client = reconnect({
    port: 9,
    ...SOON,
    idleTimeout: 30,
    goodbye(reason): string {
      if (++calls === 2) throw fault;
      return `QUIT ${reason}`;
    },
    onError: (error) => void told.push(error),
    observer: { onSessionEnd: (_, end) => void ends.push(end) },
  });
  for (let session = 1; session <= 2; session++) await (await sessionOf(client)).closed;
  await until(() => heard.length === 2 && ends.length === 2);
  assertEquals([heard, dialled.dials], [["QUIT idle", ""], 2]);
  assertEquals(told, [fault]);
  assertEquals(ends.map(({ reason, cause }) => [reason, cause]), [
    ["idle", undefined],
    ["idle", fault],
  ]);
});
