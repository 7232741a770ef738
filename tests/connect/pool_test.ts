import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { jsonLines } from "../../codecs/json_lines.ts";
import {
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  MalformedFrameError,
  PoolExhaustedError,
} from "../../errors.ts";
import { type SessionPool, sessionPool, type SessionPoolOptions } from "../../connect/pool.ts";
import { requests } from "../../requests/requests.ts";
import { serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { refusingPort } from "../_dialing.ts";
import { inMemory, testEachDialled } from "../_reconnecting.ts";
import {
  ask,
  bounded,
  clock,
  countedSignal,
  echo,
  overNet,
  portOf,
  settle,
  until,
} from "../_serving.ts";
import { ca, overTls, serveTls } from "../_tls_serving.ts";
import { isPending } from "../_transports.ts";

function poolOf(options: SessionPoolOptions = {}): SessionPool {
  return sessionPool({ port: 9, ...options });
}

async function askOf(pool: SessionPool, line: string): Promise<string | undefined> {
  await using lease = await pool.get();
  return await ask(lease.session, line);
}

async function service(session: Session): Promise<void> {
  for await (const line of session.lines()) {
    if (line === "two") await session.send("one\ntwo\n");
    else if (line === "slow") {
      await session.send("one\n");
      await settle();
      await session.send("two\n");
    } else if (line === "silence") continue;
    else if (line === "leave") return;
    else if (line === "answer and leave") return void await session.send("bye\n");
    else if (line === "reset") return session.abort();
    else await session.send(`${line}!\n`);
  }
}

testEachDialled("sessionPool() hands a session out again and again", async (dialled) => {
  await using network = dialled(service);
  const pool = poolOf();
  assertEquals([pool.sessions, pool.idle, pool.waiting, network.dials], [0, 0, 0, 0]);
  for (let i = 0; i < 10; i++) assertEquals(await askOf(pool, `rose ${i}`), `rose ${i}!`);
  assertEquals([pool.sessions, pool.idle, pool.waiting, network.dials], [1, 1, 0, 1]);
  await pool.close();
  assertEquals([pool.sessions, pool.idle, network.open], [0, 0, 0]);
});

Deno.test(
  "sessionPool() hands a session out again where connections lend their input",
  overNet,
  async () => {
    await using server = serve({ port: 0, transport: "node" }, service);
    const pool = sessionPool({ port: portOf(server), transport: "node" });
    for (let i = 0; i < 5; i++) assertEquals(await askOf(pool, `rose ${i}`), `rose ${i}!`);
    assertEquals(server.stats().accepted, 1);
    await pool.close();
  },
);

testEachDialled(
  "sessionPool() has no more sessions than it may, and serves in order",
  async (dialled) => {
    await using network = dialled(service);
    await using pool = poolOf({ maxSessions: 3 });
    const order: number[] = [];
    const users = new Set<Session>();
    await Promise.all(Array.from({ length: 60 }, async (_, number) => {
      await using lease = await pool.get();
      order.push(number);
      assert(!users.has(lease.session), "a session is used by two");
      users.add(lease.session);
      assert(users.size <= 3 && pool.sessions <= 3);
      assertEquals(await ask(lease.session, `${number}`), `${number}!`);
      users.delete(lease.session);
    }));
    assertEquals(order, Array.from({ length: 60 }, (_, number) => number));
    await until(() => pool.idle === 3); // the last dial may take longer than all requests together
    assertEquals(network.dials, 3);
  },
);

/** Takes the first line of a reply of two, once both are there. */
async function readOneOfTwo(session: Session): Promise<void> {
  const before = session.bytesRead;
  await session.send("two\n");
  assertEquals(await session.readLine(), "one");
  await until(() => session.bytesRead === before + 8);
}

/** What makes a session unfit for the next, by whoever has it. */
const SPOILS: Record<string, (session: Session) => unknown> = {
  "was aborted": (session) => session.abort(),
  "was closed": (session) => void session.close(),
  "was half-closed": (session) => session.closeWrite(),
  "has unread input": readOneOfTwo,
  "has half a line unread": async (session) => {
    await session.send("rose\n");
    await session.readExactly(2);
  },
  "has a reading that waits": async (session) => {
    await ask(session, "rose");
    session.readLine().catch(() => {});
  },
  "has a reply to come": (session) => session.send("silence\n"),
  "has a reply to come, as is sent": async (session) => {
    await session.send("silence\n");
    await session.flush();
  },
  "has a reading that was given up": async (session) => {
    await session.send("silence\n");
    await session.readLine({ signal: AbortSignal.timeout(5) }).catch(() => {});
  },
  "has a reply that was given up half-way": async (session) => {
    assertEquals(await ask(session, "rose"), "rose!");
    await session.readLine({ signal: AbortSignal.timeout(5) }).catch(() => {});
  },
  "has a reading that timed out": async (session) => {
    assertEquals(await ask(session, "rose"), "rose!");
    await session.readLine({ timeout: 5 }).catch(() => {});
  },
  "has a loop that was left half-way": async (session) => {
    const lines = session.lines();
    await session.send("rose\n");
    assertEquals((await lines.next()).value, "rose!");
    const next = lines.next();
    await lines.return();
    assertEquals((await next).done, true);
  },
  "has lost its peer": async (session) => {
    assertEquals(await ask(session, "answer and leave"), "bye");
    assertEquals(await session.readLine(), undefined);
  },
  "was reset": async (session) => {
    await session.send("reset\n");
    await session.readLine().catch(() => {});
  },
  "has had a line that is too long": async (session) => {
    await session.send("rose\n");
    await session.readLine({ maxLength: 2 }).catch(() => {});
  },
  "has had a malformed reply": async (session) => {
    await readOneOfTwo(session); // the other is there, so that nobody waits for it
    await assertRejects(() => session.frames(jsonLines()).read(), MalformedFrameError);
  },
};

for (const [what, spoil] of Object.entries(SPOILS)) {
  for (const isWaitedFor of [false, true]) {
    const when = isWaitedFor ? " to a caller that waits" : "";
    testEachDialled(
      `sessionPool() never hands out a session that ${what}${when}`,
      async (dialled) => {
        await using network = dialled(service);
        const pool = poolOf({ maxSessions: 1, closeTimeout: 20 });
        for (let round = 1; round <= 3; round++) {
          const lease = await pool.get();
          const next = isWaitedFor ? pool.get() : undefined;
          const { session } = lease;
          await spoil(session);
          lease.release();
          assertEquals(pool.idle, 0);
          const other = await (next ?? pool.get());
          assert(other.session !== session);
          assertEquals(network.dials, round + 1);
          assertEquals(await ask(other.session, "next"), "next!");
          other.release();
        }
        await pool.close();
      },
    );
  }
}

testEachDialled(
  "sessionPool() drops sessions that end or speak while nobody uses them",
  async (dialled) => {
    const live = new Set<Session>();
    await using network = dialled(async (session) => {
      live.add(session);
      await service(session);
      live.delete(session);
    });
    const spoils: ((session: Session) => unknown)[] = [
      (session) => session.abort(),
      (session) => void session.close(),
      (session) => session.closeWrite(),
      (session) => session.send("by the way\n").then(() => session.flush()),
    ];
    const pool = poolOf({ closeTimeout: 20 });
    for (const [round, spoil] of spoils.entries()) {
      assertEquals(await askOf(pool, "rose"), "rose!");
      assertEquals([network.dials, pool.idle], [round + 1, 1]);
      await spoil([...live].at(-1)!);
      await until(() => pool.idle === 0);
    }
    assertEquals(await askOf(pool, "rose"), "rose!");
    await pool.close();
  },
);

testEachDialled(
  "SessionPool.use() aborts a session whose reply may still come",
  async (dialled) => {
    await using network = dialled(service);
    const pool = poolOf({ maxSessions: 1 });
    const failure = new Error("that is no number");
    for (let round = 0; round < 3; round++) {
      const used = pool.use(async (session) => {
        assertEquals(await ask(session, "slow"), "one");
        throw failure; // "two" is on its way
      });
      assertStrictEquals(await used.catch((error) => error), failure);
      assertEquals(await pool.use((session) => ask(session, "rose")), "rose!");
    }
    assertEquals([network.dials, pool.idle, await pool.use(() => 7)], [4, 1, 7]);
    await pool.close();
  },
);

testEachDialled("requests() go over a session of a pool", async (dialled) => {
  await using network = dialled(service);
  const pool = poolOf();
  for (let round = 0; round < 5; round++) {
    await using lease = await pool.get();
    await using rpc = requests(lease.session.lines(), { isLast: (line) => line !== "one" });
    const replies = [rpc.request("slow"), rpc.request("rose")];
    assertEquals(await Promise.all(replies), [["one", "two"], ["rose!"]]);
  }
  assertEquals([network.dials, pool.idle], [1, 1]);
  await pool.close();
});

testEachDialled(
  "sessionPool() sets up once, and checks before it hands out again",
  async (dialled) => {
    let isFull = false;
    let [logins, checks] = [0, 0];
    await using network = dialled(async (session) => {
      const wasFull = isFull;
      for await (const line of session.lines()) {
        if (line === "LOGIN") logins++;
        if (line === "PING") checks++;
        await session.send(line === "PING" && isFull && !wasFull ? "no\n" : `${line}!\n`);
      }
    });
    const pool = poolOf({
      checkAfter: 0,
      setUp: (session) => ask(session, "LOGIN"),
      check: async (session) => await ask(session, "PING") === "PING!",
    });
    assertEquals([await askOf(pool, "a"), await askOf(pool, "b"), checks], ["a!", "b!", 1]);
    isFull = true;
    assertEquals([await askOf(pool, "c"), network.dials, checks], ["c!", 2, 2]);
    assertEquals([await askOf(pool, "d"), network.dials, checks, logins], ["d!", 2, 3, 2]);
    await pool.close();
  },
);

Deno.test(
  "sessionPool() goes on after a check that says no, and fails with a mistake in one",
  bounded,
  async () => {
    await using network = inMemory(service);
    let answer: () => boolean = () => false;
    await using pool = poolOf({ checkAfter: 0, check: () => answer(), maxSessions: 1 });
    await askOf(pool, "rose");
    await askOf(pool, "rose");
    assertEquals(network.dials, 2);
    answer = () => {
      throw new TypeError("a mistake");
    };
    await assertRejects(() => askOf(pool, "rose"), TypeError, "a mistake");
    assertEquals(await askOf(pool, "rose"), "rose!");
  },
);

Deno.test(
  "sessionPool() fails if setUp leaves a session that cannot be used, and dials no more",
  bounded,
  async () => {
    const problems: Record<string, (session: Session) => unknown> = {
      "6 bytes are unread": (session) => session.readLine(),
      "it has ended, or one of its readings waits": async (session) => {
        await session.readExactly(12);
        session.readLine().catch(() => {});
      },
    };
    for (const [problem, setUp] of Object.entries(problems)) {
      await using network = inMemory(async (session) => {
        await session.send("hello\nextra\n");
        await service(session);
      });
      await using pool = poolOf({ maxSessions: 1, setUp });
      const error = await assertRejects(() => pool.get(), ConnectError, problem);
      assertStringIncludes(error.message, "cannot be used after setUp");
      assertEquals([network.dials, pool.sessions], [1, 0]);
    }
  },
);

Deno.test("sessionPool() continues after a check without an answer", bounded, async () => {
  await using network = inMemory(service);
  await using pool = poolOf({ checkAfter: 0, check: () => new Promise(() => {}), setUpTimeout: 5 });
  for (let dials = 1; dials <= 3; dials++) {
    assertEquals([await askOf(pool, "rose"), network.dials, pool.idle], ["rose!", dials, 1]);
  }
});

Deno.test(
  "sessionPool() takes isReusable's word, and what is sent last arrives",
  bounded,
  async () => {
    for (const isReusable of [() => true, undefined]) {
      const got: string[] = [];
      await using network = inMemory(async (session) => {
        for await (const line of session.lines()) got.push(line);
      });
      const pool = poolOf(isReusable && { isReusable });
      for (const line of ["a", "b", "c"]) {
        await using lease = await pool.get();
        lease.session.send(`${line}\n`);
      }
      await until(() => got.length === 3);
      assertEquals([got.toSorted(), network.dials], [["a", "b", "c"], isReusable ? 1 : 3]);
      await pool.close();
    }
  },
);

Deno.test("sessionPool() closes unused sessions", bounded, async () => {
  await using network = inMemory(service);
  using time = clock();
  await using pool = poolOf({ maxIdleTime: 10 });
  for (const lease of await Promise.all([pool.get(), pool.get(), pool.get()])) lease.release();
  time.now += 6;
  assertEquals(await askOf(pool, "rose"), "rose!");
  time.now += 6;
  await until(() => pool.sessions < 3);
  await settle();
  assertEquals([pool.sessions, pool.idle, network.dials], [1, 1, 3]);
  time.now += 6;
  await until(() => pool.sessions === 0);
});

Deno.test("sessionPool() bounds how many wait, how long, and by a signal", bounded, async () => {
  await using _ = inMemory(service);
  await using pool = poolOf({ maxSessions: 1, maxWaiting: 2, waitTimeout: 20 });
  const lease = await pool.get();
  const controller = new AbortController();
  const count = countedSignal(controller.signal);
  const aborted = pool.get({ signal: controller.signal });
  const late = pool.get();
  const refused = await assertRejects(() => pool.get(), PoolExhaustedError, "2 callers wait");
  assertEquals([refused.maxSessions, refused.waiting, refused.waited], [1, 2, 0]);
  controller.abort("enough");
  assertEquals([await aborted.catch((error) => error), count.listeners], ["enough", 0]);
  assertEquals((await assertRejects(() => late, PoolExhaustedError, "within 20 ms")).waited, 20);
  const patient = pool.get({ timeout: Infinity });
  lease.release();
  (await patient).release();
  assertEquals(pool.waiting, 0);
});

Deno.test(
  "sessionPool() tells those of a dial that has failed whom nothing else is coming to",
  bounded,
  async () => {
    let isDown = true;
    await using network = inMemory(service, () => {
      if (isDown) throw new Deno.errors.ConnectionRefused();
    });
    await using pool = poolOf({ maxSessions: 2 });
    const waits = Array.from({ length: 20 }, () => pool.get());
    for (const wait of waits) await assertRejects(() => wait, ConnectionRefusedError);
    assertEquals(network.dials, 2);
    isDown = false;
    const lease = await pool.get();
    isDown = true;
    const failed: number[] = [];
    const others = [1, 2, 3].map((number) => pool.get().catch(() => failed.push(number)));
    await Promise.all(others);
    assertEquals([failed, network.dials], [[3, 2, 1], 6]); // beside a session, one for each dial
    lease.release();
    const refused = new Error("wrong password");
    await using strict = poolOf({ setUp: () => Promise.reject(refused) });
    isDown = false;
    assertStrictEquals(await strict.get().catch((error) => error), refused);
    await using slow = poolOf({ setUp: () => new Promise(() => {}), setUpTimeout: 20 });
    await assertRejects(() => slow.get(), ConnectTimeoutError, "no set-up within 20 ms");
  },
);

Deno.test(
  "a pool without a session can be dropped, and leaves nothing behind",
  bounded,
  async () => {
    let isDown = false;
    await using network = inMemory(service, () => {
      if (isDown) throw new Deno.errors.ConnectionRefused();
    });
    const controller = new AbortController();
    const count = countedSignal(controller.signal);
    const pool = poolOf({ signal: controller.signal });
    assertEquals(await askOf(pool, "answer and leave"), "bye");
    isDown = true;
    await until(() => pool.sessions === 0);
    await assertRejects(() => pool.get(), ConnectionRefusedError);
    assertEquals([count.listeners, network.open], [0, 0]); // and the timer is seen by the test runner
  },
);

Deno.test(
  "sessionPool() spreads over the places that there are, and passes over one that fails",
  overNet,
  async () => {
    await using one = serve({ port: 0 }, echo);
    await using two = serve({ port: 0 }, echo);
    await using closed = await refusingPort();
    await using pool = sessionPool({
      addresses: [{ port: closed.port }, { port: portOf(one) }, { port: portOf(two) }],
      maxSessions: 6,
    });
    (await pool.get()).release(); // has found the first to fail
    const leases = await Promise.all(Array.from({ length: 6 }, () => pool.get()));
    const ports = leases.map(({ session }) => (session.remoteAddr as Deno.NetAddr).port);
    for (const server of [one, two]) {
      assertEquals(ports.filter((port) => port === portOf(server)).length, 3);
    }
    for (const lease of leases) lease.release();
  },
);

Deno.test("sessionPool() tries a place again last that has failed", overNet, async () => {
  await using bad = serve({ port: 0 }, (session) => session.send("not today\n"));
  await using good = serve({ port: 0 }, (session) => session.send("welcome\n"));
  await using pool = sessionPool({
    addresses: [{ port: portOf(bad) }, { port: portOf(good) }],
    async setUp(session): Promise<void> {
      const line = await session.readLine();
      if (line !== "welcome") throw new Error(line);
    },
  });
  const leases = [await pool.get(), await pool.get(), await pool.get()];
  assertEquals([bad.stats().accepted, good.stats().accepted], [1, 3]);
  for (const lease of leases) lease.abort();
});

Deno.test("sessionPool() asks each place for its own certificate", overTls, async () => {
  const names: unknown[] = [];
  await using server = serveTls({ tls: { mode: "starttls" } }, async (session) => {
    await session.readLine();
    await session.send("go ahead\n");
    names.push((await session.upgradeTls()).serverName);
    await echo(session);
  });
  const { port } = server;
  await using pool = sessionPool({
    addresses: [{ port, hostname: "localhost" }, { port, hostname: "127.0.0.1" }],
    async setUp(session): Promise<void> {
      await ask(session, "STARTTLS");
      await settle(); // both have been dialled
      await session.upgradeTls({ ca });
    },
  });
  const leases = await Promise.all([pool.get(), pool.get()]);
  for (const { session } of leases) assertEquals(await ask(session, "rose"), "rose!");
  for (const lease of leases) lease.release();
  assertEquals(names.toSorted(), ["localhost", undefined]);
});

Deno.test("SessionPool.close() waits for those who use a session", bounded, async () => {
  await using network = inMemory(service);
  const pool = poolOf({ maxSessions: 1 });
  const lease = await pool.get();
  const waiting = pool.get();
  const closing = Promise.all([pool.close(), pool.close()]);
  assertEquals((await waiting.catch((error) => error)).message, "the pool was closed");
  await assertRejects(() => pool.get(), TypeError, "cannot get a session after close()");
  assertEquals(await ask(lease.session, "rose"), "rose!");
  assert(await isPending(closing));
  lease.release();
  await closing;
  assertEquals([pool.sessions, network.open], [0, 0]);
  await poolOf().close();
});

Deno.test(
  "SessionPool.abort() ends all sessions, whatever is done with them",
  bounded,
  async () => {
    for (const how of ["abort", "signal", "abort while it closes"]) {
      const never = new Promise<never>(() => {});
      const begun = Promise.withResolvers<void>();
      const open = Promise.withResolvers<void>();
      await using _ = inMemory(service, (dial) => dial === 4 ? open.promise : undefined);
      const controller = new AbortController();
      const count = countedSignal(controller.signal);
      const pool = poolOf({
        maxSessions: 5,
        signal: controller.signal,
        checkAfter: 0,
        check: () => never,
        setUp: (session) => session.id === 3 ? (begun.resolve(), never) : undefined,
      });
      const leases = [await pool.get(), await pool.get()];
      leases[1]!.release();
      const waits = [pool.get(), pool.get()];
      await begun.promise;
      waits.push(pool.get());
      await settle();
      assertEquals([pool.sessions, pool.waiting, count.listeners], [4, 3, 1]);
      const reason = new Error("enough");
      if (how === "abort while it closes") pool.close();
      if (how === "signal") controller.abort(reason);
      else pool.abort(reason);
      for (const wait of waits) {
        const error = await wait.catch((error) => error);
        if (how === "abort while it closes") assertEquals(error.name, "AbortError");
        else assertStrictEquals(error, reason);
      }
      assertEquals((await leases[0]!.session.closed).cause, reason);
      leases[0]!.release();
      open.resolve();
      await pool.close();
      assertEquals([pool.sessions, count.listeners], [0, 0]);
      const late = await pool.get().catch((error) => error);
      if (how === "abort while it closes") assertInstanceOf(late, TypeError);
      else assertStrictEquals(late, reason);
    }
  },
);

Deno.test("a lease gives its session back once", bounded, async () => {
  await using _ = inMemory(service);
  await using pool = poolOf();
  const lease = await pool.get();
  const { session } = lease;
  lease.release();
  assertThrows(() => lease.session, TypeError, "the session was given back to its pool");
  const next = await pool.get();
  assertStrictEquals(next.session, session);
  lease.release();
  lease.abort();
  await lease[Symbol.asyncDispose]();
  assertEquals([pool.idle, await ask(next.session, "rose")], [0, "rose!"]);
  next.abort("enough");
  assertEquals((await session.closed).cause, "enough");
  assertEquals(pool.idle, 0);
});
