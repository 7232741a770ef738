import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import {
  ConnectionRefusedError,
  ConnectTimeoutError,
  type EndReason,
  SessionEndedError,
} from "../../errors.ts";
import { reconnect, type ReconnectOptions } from "../../connect/reconnect.ts";
import { serve, type Server } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { dialing, refusingPort, silentPort } from "../_dialing.ts";
import { cannotStart, type Program, start } from "../_programs.ts";
import {
  assertDone,
  diary,
  fates,
  inMemory,
  serveAgain,
  sessionOf,
  SOON,
} from "../_reconnecting.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  countedSignal,
  echo,
  overNet,
  overNetCounting,
  portOf,
  readAll,
  settle,
  until,
} from "../_serving.ts";

Deno.test("reconnect() reconnects to a server that was gone", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    let server: Server = serve({ port: 0 }, echo);
    const port = portOf(server);
    const { events, waits: _, ...observer } = diary();
    const failures = () => events.filter((event) => event.startsWith("failed")).length;
    const answers: unknown[] = [];
    let restarted = Promise.resolve();
    const client = reconnect({ port, ...SOON, observer });
    for await (const session of client) {
      assertStrictEquals(client.session, session);
      answers.push(session.id, await ask(session, "rose"));
      if (session.id === 3) break;
      server.abort();
      await server.finished;
      const missed = failures();
      restarted = until(() => failures() > missed).then(async () => {
        server = await serveAgain(port, echo);
      });
    }
    await restarted;
    assertEquals(answers, [1, "rose!", 2, "rose!", 3, "rose!"]);
    await assertDone(client);
    await server.shutdown();

    const address = `127.0.0.1:${port}`;
    assertEquals(events.slice(0, 2), [`dial 1 ${address}`, "start 1"]);
    assertEquals(events.at(-1), "end 3 local");
    assert(events.includes("failed 2 ConnectionRefusedError"));
  });
});

Deno.test("reconnect() reconnects to a program that was killed", {
  ...bounded,
  ignore: cannotStart,
}, async () => {
  const launch = async (port: number): Promise<[Program, number]> => {
    const program = start("server.ts", "--port", `${port}`);
    const [, taken] = await program.stderr.until(/listening on 127\.0\.0\.1:(\d+)/);
    return [program, Number(taken)];
  };
  let [program, port] = await launch(0);
  const client = reconnect({ port, ...SOON });
  const heard: string[] = [];
  await client.run(async (session) => {
    for await (const text of session) {
      heard.push(text);
      if (heard.length > 1) return void client.close();
      program.kill("SIGKILL");
      await program.ended();
      await program[Symbol.asyncDispose]();
      [program, port] = await launch(port);
    }
  });
  assertEquals(heard, ["welcome!", "welcome!"]);
  await program[Symbol.asyncDispose]();
});

Deno.test("reconnect() reconnects however a session has ended", overNet, async () => {
  await using fate = await fates(
    (socket) => socket.end("bye\n"),
    (socket) => socket.write("bye\n", () => socket.resetAndDestroy()),
    (socket) => socket.end("x".repeat(200)),
    (socket) => socket.end("half a line"),
    (socket) => socket.end("bye\n"),
    () => {},
  );
  const ends: EndReason[] = [];
  const client = reconnect({
    port: fate.port,
    ...SOON,
    observer: { onSessionEnd: (_, { reason }) => void ends.push(reason) },
  });
  const aborted = client.run(async (session) => {
    if (session.id === 6) session.idleTimeout = 20;
    if (session.id === 7) client.abort("enough");
    for await (const line of session.lines({ maxLength: 100 })) {
      if (session.id === 5) return assertEquals(line, "bye"); // its end is not read
    }
    if (session.id === 4) await session.readExactly(1);
  });
  assertEquals(await aborted.catch((error) => error), "enough");
  assertEquals(ends, ["peer", "peer", "limit", "peer", "local", "idle", "local"]);
});

Deno.test("reconnect() leaves nothing behind, a thousand times over", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    await using server = serve({ port: 0 }, async (session) => {
      if (session.id % 2 === 0) await session.readLine();
    });
    const client = reconnect({ port: portOf(server), minDelay: 0.001, maxDelay: 0.001 });
    let sessions = 0;
    for await (const session of client) {
      sessions++;
      if (session.id % 4 === 0) session.abort();
      if (session.id % 4 === 1) assertEquals(await readAll(session), "");
      if (session.id === 1000) break;
    }
    assertEquals(sessions, 1000);
    assertEquals(server.stats().accepted, 1000);
  });
});

Deno.test(
  "reconnect() adds no listener to a signal of its own with each attempt",
  bounded,
  async () => {
    const real = AbortController;
    const own: { readonly listeners: number }[] = [];
    globalThis.AbortController = class extends real {
      constructor() {
        super();
        own.push(countedSignal(this.signal));
      }
    };
    const listeners: number[] = [];
    const onDial = () => void listeners.push(own.reduce((sum, one) => sum + one.listeners, 0));
    const options = { port: 9, maxAttempts: 5, ...SOON, observer: { onDial } };
    const client = (() => {
      try {
        return reconnect(options);
      } finally {
        globalThis.AbortController = real;
      }
    })();
    using _ = dialing(() => Promise.reject(new Deno.errors.ConnectionRefused("gone")));
    await assertRejects(() => client.next(), ConnectionRefusedError);
    assert(own.length > 0);
    assertEquals(listeners, [0, 0, 0, 0, 0]);
  },
);

Deno.test("reconnect() dials nothing before it is asked to", bounded, async () => {
  await using dialled = inMemory(echo);
  const client = reconnect({ port: 9, ...SOON });
  await settle();
  assertEquals(dialled.dials, 0);
  const session = await sessionOf(client);
  session.abort();
  await session.closed;
  await settle();
  assertEquals(dialled.dials, 1);
  // It is dropped here, without a word, and leaves no timer.
});

Deno.test("reconnect() waits longer and longer, by chance", overNet, async () => {
  await using closed = await refusingPort();
  const cases: [chance: number, expected: number[]][] = [
    [0.999, [4, 8, 16, 20, 20, Infinity]],
    [0.5, [2, 4, 8, 10, 10, Infinity]],
    [0, [0, 0, 0, 0, 0, Infinity]],
    [1, [4, 8, 16, 20, 20, Infinity]],
  ];
  for (const [chance, expected] of cases) {
    const { waits, events, ...observer } = diary();
    const client = reconnect({
      port: closed.port,
      minDelay: 4,
      maxDelay: 20,
      maxAttempts: 6,
      random: () => chance,
      observer,
    });
    const error = await assertRejects(() => client.next(), ConnectionRefusedError);
    assertEquals(error.address, `127.0.0.1:${closed.port}`);
    assertEquals(waits, expected);
    const attempts = [1, 2, 3, 4, 5, 6].flatMap((number) => [
      `dial ${number} 127.0.0.1:${closed.port}`,
      `failed ${number} ConnectionRefusedError`,
    ]);
    assertEquals(events, attempts);
    await assertDone(client);
  }
});

Deno.test("reconnect() fails where random gives no chance", bounded, async () => {
  const cases: [chance: unknown, says: string][] = [
    [NaN, "random() must return a number from 0 to 1, got NaN"],
    [-0.5, "random() must return a number from 0 to 1, got -0.5"],
    [1.5, "random() must return a number from 0 to 1, got 1.5"],
    [Infinity, "random() must return a number from 0 to 1, got Infinity"],
    [undefined, "random() must return a number, got undefined"],
    ["0.5", "random() must return a number, got a string"],
    [Promise.resolve(0.5), "random() must return a number, got an object of class Promise"],
    [1n, "random() must return a number, got a bigint"],
  ];
  for (const [chance, says] of cases) {
    for (const isSession of [false, true]) {
      await using dialled = inMemory((session) => session.send("bye"), () => {
        if (!isSession) throw new Deno.errors.ConnectionRefused();
      });
      const { events: _, waits, ...observer } = diary();
      const client = reconnect({ port: 9, random: () => chance as number, observer });
      const kind = typeof chance === "number" ? RangeError : TypeError;
      await assertRejects(
        () => client.run(async (session) => void await readAll(session)),
        kind,
        says,
      );
      assertEquals([dialled.dials, waits], [1, [Infinity]]);
      await assertDone(client);
    }
  }
});

Deno.test("reconnect() waits as long as it reports", overNet, async () => {
  await using closed = await refusingPort();
  const times: number[] = [];
  const client = reconnect({
    port: closed.port,
    minDelay: 60,
    maxAttempts: 2,
    random: () => 0.99,
    observer: { onDial: () => void times.push(performance.now()) },
  });
  await assertRejects(() => client.next(), ConnectionRefusedError);
  // A timer is never early, but for what its clock is coarser than this one.
  assert(times[1]! - times[0]! > 55);
});

Deno.test("reconnect() waits within its bounds by default", bounded, async () => {
  using _ = dialing(() => Promise.reject(new Deno.errors.ConnectionRefused()));
  const waits: number[] = [];
  const client = reconnect({
    port: 9,
    minDelay: 1,
    maxDelay: 8,
    maxAttempts: 100,
    observer: { onDialError: (_, __, retryIn) => void waits.push(retryIn) },
  });
  await assertRejects(() => client.next(), ConnectionRefusedError);
  assertEquals(waits.pop(), Infinity);
  assertEquals(waits.length, 99);
  waits.forEach((wait, index) => assert(wait >= 0 && wait <= Math.min(8, 2 ** index), `${wait}`));
  assert(new Set(waits).size > 4);
});

Deno.test(
  "reconnect() gives a dial that stalls up after connectTimeout",
  overNetCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      using silent = await silentPort();
      const { events, ...observer } = diary();
      const client = reconnect({
        port: silent.port,
        ...SOON,
        connectTimeout: 20,
        maxAttempts: 2,
        observer,
      });
      await assertRejects(() => client.next(), ConnectTimeoutError);
      assertEquals(events, [
        `dial 1 127.0.0.1:${silent.port}`,
        "failed 1 ConnectTimeoutError",
        `dial 2 127.0.0.1:${silent.port}`,
        "failed 2 ConnectTimeoutError",
      ]);
    });
  },
);

Deno.test("reconnect() tries several addresses in turn", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    await using closed = await refusingPort();
    await using one = serve({ port: 0 }, (session) => session.send("one"));
    await using two = serve({ port: 0 }, (session) => session.send("two"));
    const { events, waits, ...observer } = diary();
    const heard: string[] = [];
    const client = reconnect({
      addresses: [{ port: portOf(one), chunkSize: 1 }, { port: closed.port }, {
        hostname: "localhost",
        port: portOf(two),
      }],
      minDelay: 2,
      maxDelay: 100,
      random: () => 0.999,
      resetAfter: Infinity,
      chunkSize: 3,
      observer,
    });
    for await (const session of client) {
      for await (const text of session) heard.push(text);
      if (session.id === 3) break;
    }
    assertEquals(heard, ["o", "n", "e", "two", "o", "n", "e"]);
    assertEquals(events, [
      `dial 1 127.0.0.1:${portOf(one)}`,
      "start 1",
      "end 1 peer",
      `dial 2 127.0.0.1:${closed.port}`,
      "failed 2 ConnectionRefusedError",
      `dial 3 localhost:${portOf(two)}`,
      "start 2",
      "end 2 peer",
      `dial 4 127.0.0.1:${portOf(one)}`,
      "start 3",
      "end 3 peer",
    ]);
    assertEquals(waits, [2, 2, 2, Infinity]);
  });
});

Deno.test("reconnect() doubles its waits with each round of the addresses", overNet, async () => {
  await using closed = await refusingPort();
  const { port } = closed;
  const { waits, events: _, ...observer } = diary();
  const client = reconnect({
    addresses: [{ port }, { port }, { port }],
    minDelay: 1,
    maxDelay: 4,
    maxAttempts: 12,
    random: () => 0.999,
    observer,
  });
  await assertRejects(() => client.next(), ConnectionRefusedError);
  assertEquals(waits, [1, 1, 1, 2, 2, 2, 4, 4, 4, 4, 4, Infinity]);
});

Deno.test("reconnect() counts anew after a session that has lasted", bounded, async () => {
  for (const [resetAfter, counts] of [[0.000_001, [1, 1, 1]], [Infinity, [1, 2, 3]]] as const) {
    await using _ = inMemory((session) => session.send("welcome!"));
    const { events, waits, ...observer } = diary();
    const options = { minDelay: 2, random: () => 0.999, resetAfter, observer };
    for await (const session of reconnect({ port: 9, ...options })) {
      await readAll(session);
      if (session.id === 3) break;
    }
    const dials = events.filter((event) => event.startsWith("dial"));
    assertEquals(dials, counts.map((count) => `dial ${count} 127.0.0.1:9`));
    assertEquals(waits.slice(0, 2), resetAfter === Infinity ? [2, 4] : [2, 2]);
  }
});

Deno.test("reconnect() gives up after too many short sessions", bounded, async () => {
  await using dialled = inMemory((session) => session.abort());
  const client = reconnect({ port: 9, ...SOON, maxAttempts: 3, resetAfter: Infinity });
  let sessions = 0;
  const error = await assertRejects(async () => {
    for await (const session of client) {
      sessions++;
      await readAll(session).catch(() => {});
    }
  }, SessionEndedError);
  assertEquals([sessions, dialled.dials, error.reason], [3, 3, "peer"]);
  await assertDone(client);
});

Deno.test("reconnect() asks shouldRetry whether to go on", bounded, async () => {
  const refuse = (dial: number) => {
    if (dial !== 3) throw new Deno.errors.ConnectionRefused();
  };
  await using _ = inMemory((session) => session.abort(), refuse);
  const asked: unknown[] = [];
  const client = reconnect({
    port: 9,
    ...SOON,
    resetAfter: Infinity,
    async shouldRetry(error, attempt): Promise<boolean> {
      asked.push([attempt, (error as Error).name, (error as SessionEndedError).reason]);
      await settle();
      return attempt < 5;
    },
  });
  const error = await assertRejects(async () => {
    for await (const session of client) await readAll(session).catch(() => {});
  }, ConnectionRefusedError);
  assertEquals(error.address, "127.0.0.1:9");
  assertEquals(asked, [
    [1, "ConnectionRefusedError", undefined],
    [2, "ConnectionRefusedError", undefined],
    [3, "SessionEndedError", "peer"],
    [4, "ConnectionRefusedError", undefined],
    [5, "ConnectionRefusedError", undefined],
  ]);
  await assertDone(client);
});

Deno.test(
  "reconnect() is done where shouldRetry wants no more after a session",
  bounded,
  async () => {
    await using dialled = inMemory((session) => session.send("bye"));
    const { events, waits, ...observer } = diary();
    const asked: unknown[] = [];
    const client = reconnect({
      port: 9,
      ...SOON,
      resetAfter: 0.000_001,
      shouldRetry: (error, attempt) => {
        asked.push(attempt, (error as SessionEndedError).reason);
        return false;
      },
      observer,
    });
    const heard: string[] = [];
    for await (const session of client) heard.push(await readAll(session));
    assertEquals([heard, asked, dialled.dials], [["bye"], [0, "peer"], 1]);
    assertEquals([events.at(-1), waits], ["end 1 peer", [Infinity]]);
    await assertDone(client);
  },
);

Deno.test("reconnect() fails with what shouldRetry throws", bounded, async () => {
  const failure = new Error("no idea");
  const cases: ReconnectOptions["shouldRetry"][] = [
    () => {
      throw failure;
    },
    () => Promise.reject(failure),
  ];
  for (const shouldRetry of cases) {
    using stub = dialing(() => Promise.reject(new Deno.errors.ConnectionRefused()));
    const dialer = reconnect({ port: 9, shouldRetry: shouldRetry! });
    assertStrictEquals(await dialer.next().catch((error) => error), failure);
    await assertDone(dialer);
    stub[Symbol.dispose]();

    await using _ = inMemory((session) => session.send("bye"));
    const client = reconnect({ port: 9, shouldRetry: shouldRetry! });
    assertEquals(await readAll(await sessionOf(client)), "bye");
    await client.session?.close();
    await settle(); // what has been thrown waits to be asked for
    assertStrictEquals(await client.next().catch((error) => error), failure);
    await assertDone(client);
  }
});

Deno.test("reconnect() does not repeat what it may not do", { permissions: "none" }, async () => {
  const { events, waits, ...observer } = diary();
  const client = reconnect({ port: 9, observer });
  await assertRejects(() => client.next(), Deno.errors.NotCapable);
  assertEquals([events, waits], [["dial 1 127.0.0.1:9", "failed 1 NotCapable"], [Infinity]]);
  await assertDone(client);
});

Deno.test("reconnect() survives its observer", bounded, async () => {
  for (const how of ["throws", "rejects", "nobody cares"]) {
    await using _ = inMemory((session) => session.send("bye"), (dial) => {
      if (dial === 1) throw new Deno.errors.ConnectionRefused();
    });
    const told: unknown[] = [];
    const fail = (...args: unknown[]): void => {
      const error = new Error(`event with ${args.length}`);
      if (how === "rejects") return Promise.reject(error) as unknown as void;
      throw error;
    };
    const client = reconnect({
      port: 9,
      ...SOON,
      observer: { onDial: fail, onDialError: fail, onSessionStart: fail, onSessionEnd: fail },
      ...(how !== "nobody cares" && {
        onError(error: unknown): void {
          told.push((error as Error).message.at(-1));
          throw error;
        },
      }),
    });
    const session = await sessionOf(client);
    assertEquals(await readAll(session), "bye");
    await client.close();
    await settle();
    assertEquals(told, how === "nobody cares" ? [] : ["2", "3", "2", "1", "3"]);
  }
});

Deno.test("reconnect() passes what connect() takes on to each dial", bounded, async () => {
  const dials: Deno.ConnectOptions[] = [];
  using _ = dialing((options) => {
    dials.push(options);
    return Promise.reject(new Deno.errors.ConnectionRefused());
  });
  const options = { hostname: "::1", port: 9, ...SOON, maxAttempts: 2 };
  const client = reconnect(options);
  options.port = 10; // is not looked at any more
  await assertRejects(() => client.next(), ConnectionRefusedError);
  assertEquals(dials.map(({ hostname, port }) => [hostname, port]), [["::1", 9], ["::1", 9]]);
});

const BAD: readonly [option: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [{ port: undefined }, TypeError, "port must be a number, got undefined"],
  [{ port: 0 }, RangeError, "port must be an integer from 1 to 65535, got 0"],
  [{ chunkSize: 0 }, RangeError, "chunkSize must be an integer from 1 to 65536, got 0"],
  [
    { addresses: [] },
    TypeError,
    "addresses must be an array of at least one address, got an empty one",
  ],
  [
    { addresses: "127.0.0.1" },
    TypeError,
    "addresses must be an array of at least one address, got a string",
  ],
  [
    { addresses: [{ port: 9 }] },
    TypeError,
    "port must be left out if there are addresses: each has its own",
  ],
  [
    { port: undefined, hostname: "::1", addresses: [{ port: 9 }] },
    TypeError,
    "hostname must be left out if there are addresses: each has its own",
  ],
  [
    { port: undefined, addresses: [{ port: 9 }, { port: 70_000 }] },
    RangeError,
    "port must be an integer from 1 to 65535, got 70000",
  ],
  [{ port: undefined, addresses: [null] }, TypeError, "addresses[0] must be an object, got null"],
  [{ minDelay: 0 }, RangeError, "minDelay must be more than 0 ms (Infinity for none), got 0"],
  [{ maxDelay: Infinity }, RangeError, "maxDelay must be less than 2^31 ms, got Infinity"],
  [{ maxDelay: "1s" }, TypeError, "maxDelay must be a number of milliseconds, got a string"],
  [
    { minDelay: 20, maxDelay: 10 },
    RangeError,
    "maxDelay must be at least minDelay (20), got 10",
  ],
  [{ resetAfter: 0 }, RangeError, "resetAfter must be more than 0 ms (Infinity for none), got 0"],
  [{ maxAttempts: 0 }, RangeError, "maxAttempts must be an integer from 1 to 1073741824, got 0"],
  [{ maxAttempts: "3" }, TypeError, "maxAttempts must be a number, got a string"],
  [{ shouldRetry: true }, TypeError, "shouldRetry must be a function, got true"],
  [{ random: 4 }, TypeError, "random must be a function, got a number"],
];

Deno.test("reconnect() refuses bad options at once", { permissions: "none" }, () => {
  for (const [option, kind, says] of BAD) {
    assertThrows(() => reconnect({ port: 9, ...option } as ReconnectOptions), kind, says);
  }
  const says = "options must be an object, got undefined";
  assertThrows(() => reconnect(undefined as unknown as ReconnectOptions), TypeError, says);
});

Deno.test("reconnect() lets one delay give way to the other", bounded, async () => {
  const cases: [ReconnectOptions, number][] = [
    [{ minDelay: 6_000 }, 6_000],
    [{ maxDelay: 10 }, 10],
    [{}, 50],
  ];
  for (const [options, expected] of cases) {
    using _ = dialing(() => Promise.reject(new Deno.errors.ConnectionRefused()));
    const waits: number[] = [];
    const client = reconnect({
      port: 9,
      ...options,
      random: () => 0.999_999,
      observer: {
        onDialError: (_, __, retryIn) => {
          waits.push(retryIn);
          client.close();
        },
      },
    });
    await client.next();
    assertEquals(waits, [expected]);
  }
});

Deno.test("reconnect() never dials beside a session that is still closing", bounded, async () => {
  const seen: string[] = [];
  const got = Promise.withResolvers<string>();
  await using dialled = inMemory(async (session: Session) => {
    if (session.id > 1) return;
    await settle();
    got.resolve(await readAll(session)); // all that was sent arrives
  }, (dial) => void seen.push(`dial ${dial}, ${dialled.open} open`));
  const client = reconnect({ port: 9, ...SOON });
  const text = "0123456789".repeat(30_000);
  for await (const session of client) {
    if (session.id === 2) break;
    session.send(text);
  }
  assertEquals(await got.promise, text);
  assertEquals(seen, ["dial 1, 0 open", "dial 2, 0 open"]);
});
