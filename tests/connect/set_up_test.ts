import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  CertificateError,
  ConnectTimeoutError,
  RequestTimeoutError,
  type SessionEnd,
  SessionEndedError,
  TlsHandshakeError,
} from "../../errors.ts";
import { reconnect, type ReconnectOptions } from "../../connect/reconnect.ts";
import type { Session } from "../../session.ts";
import { assertDone, diary, inMemory, sessionOf, SOON, testEachDialled } from "../_reconnecting.ts";
import { ask, bounded, countedSignal, echo, readAll } from "../_serving.ts";
import { ca, client as rosesCertificate, overTls, serveTls } from "../_tls_serving.ts";

/** A service that asks for a password first, and hangs up after two lines. */
async function guarded(session: Session): Promise<void> {
  if (await session.readLine() !== "LOGIN secret") return void await session.send("no\n");
  await session.send("welcome\n");
  for (let lines = 0; lines < 2; lines++) {
    const line = await session.readLine();
    if (line === undefined) return;
    await session.send(`${line}!\n`);
  }
}

class LoginError extends Error {}

async function logIn(session: Session, password = "secret"): Promise<string> {
  const answer = await ask(session, `LOGIN ${password}`);
  if (answer !== "welcome") throw new LoginError(answer);
  return `logged in ${session.id}`;
}

testEachDialled("reconnect() sets each session up before it hands it out", async (dialled) => {
  await using _ = dialled(guarded);
  const told: unknown[] = [];
  const client = reconnect({ port: 9, ...SOON, setUp: (session) => logIn(session) });
  await client.run(async (session, ready) => {
    told.push(ready);
    if (session.id === 3) return void client.close();
    assertEquals(await ask(session, "rose"), "rose!");
    assertEquals(await ask(session, "think"), "think!");
    assertEquals(await session.readLine(), undefined);
  });
  assertEquals(told, ["logged in 1", "logged in 2", "logged in 3"]);
  await assertDone(client);

  const other = reconnect({ port: 9, ...SOON, setUp: (session) => logIn(session) });
  for await (const session of other) {
    assertEquals(await ask(session, "babala"), "babala!");
    break;
  }
});

testEachDialled("reconnect() retries a set-up that the peer spoils", async (dialled) => {
  await using _ = dialled(async (session) => {
    const line = await session.readLine();
    if (session.id === 1) return; // leaves without an answer
    if (session.id === 2) return session.abort();
    if (session.id === 3) return void await session.send("a line that is too long\n");
    if (session.id === 4) return void await session.readLine(); // says nothing
    await session.send(`${line}!\n`);
    await session.readLine();
  });
  const { events, ...observer } = diary();
  const asked: [number, string][] = [];
  const client = reconnect({
    port: 9,
    ...SOON,
    setUpTimeout: 60_000,
    observer,
    async setUp(session): Promise<void> {
      if (session.id === 4) throw new RequestTimeoutError(1, true);
      await session.send("hello\n");
      const answer = await session.readLine({ maxLength: 10 });
      if (answer === undefined) throw new Error("no answer"); // since the peer has left
    },
    shouldRetry(error, attempt): undefined {
      asked.push([attempt, (error as Error).name]);
    },
  });
  const session = await sessionOf(client);
  assertEquals(session.id, 5);
  assertEquals(asked.map(([attempt]) => attempt), [1, 2, 3, 4]);
  assertEquals(asked[2]![1], "FrameTooLargeError");
  assertEquals(asked[3]![1], "RequestTimeoutError");
  assertEquals(events.filter((event) => event.startsWith("dial")).length, 5);
  assertEquals(events.filter((event) => event.startsWith("start")).length, 5);
  await client.close();
});

Deno.test(
  "reconnect() fails with what setUp throws of its own, unless told otherwise",
  bounded,
  async () => {
    const failures: unknown[] = [
      new LoginError("no"),
      new TypeError("a mistake"),
      "no error",
      undefined,
    ];
    for (const failure of failures) {
      for (const how of ["next", "run"] as const) {
        await using dialled = inMemory(echo);
        const ends: [SessionEnd, number][] = [];
        const client = reconnect({
          port: 9,
          ...SOON,
          async setUp(session): Promise<void> {
            await ask(session, "hello");
            throw failure;
          },
          observer: { onSessionEnd: (_, end, retryIn) => void ends.push([end, retryIn]) },
        });
        const thrown = how === "next" ? client.next() : client.run(() => {});
        assertStrictEquals(await thrown.then(() => "done", (error) => error), failure);
        await assertDone(client);
        const [[end, retryIn], ...more] = ends as [[SessionEnd, number]];
        assertEquals([end.reason, retryIn, more, dialled.dials], ["error", Infinity, [], 1]);
        assertStrictEquals(end.cause, failure);
      }
    }
    await using _ = inMemory(guarded);
    let tries = 0;
    const asked: unknown[] = [];
    const client = reconnect({
      port: 9,
      ...SOON,
      setUp: (session) => logIn(session, ++tries < 3 ? "wrong" : "secret"),
      shouldRetry(error, attempt): boolean | undefined {
        asked.push([(error as Error).constructor, attempt]);
        return error instanceof LoginError ? true : undefined;
      },
    });
    assertEquals((await sessionOf(client)).id, 3);
    assertEquals(asked, [[LoginError, 1], [LoginError, 2]]);
    await client.close();
  },
);

Deno.test("reconnect() gives a set-up that stalls up after setUpTimeout", bounded, async () => {
  for (const hangs of ["on the session", "elsewhere"]) {
    await using dialled = inMemory((session) => session.closed);
    const never = new Promise<void>(() => {});
    const client = reconnect({
      port: 9,
      ...SOON,
      setUpTimeout: 20,
      maxAttempts: 2,
      setUp: (session) => hangs === "elsewhere" ? never : session.readLine().then(() => {}),
    });
    const error = await assertRejects(
      () => client.next(),
      ConnectTimeoutError,
      "cannot connect to 127.0.0.1:9: no set-up within 20 ms (setUpTimeout)",
    );
    assertEquals([error.address, dialled.dials], ["127.0.0.1:9", 2]);
    await assertDone(client);
  }
});

Deno.test("reconnect() calls a set-up off with everything else", bounded, async () => {
  for (const how of ["close", "abort", "signal"] as const) {
    await using dialled = inMemory((session) => session.closed);
    const controller = new AbortController();
    const count = countedSignal(controller.signal);
    const begun = Promise.withResolvers<void>();
    const client = reconnect({
      port: 9,
      ...SOON,
      signal: controller.signal,
      setUp(): Promise<void> {
        begun.resolve();
        return new Promise(() => {});
      },
    });
    const next = client.next();
    await begun.promise;
    if (how === "signal") controller.abort("enough");
    else if (how === "abort") client.abort("enough");
    else await client.close();
    const outcome = await next.catch((error) => error);
    assertEquals(outcome, how === "close" ? { done: true, value: undefined } : "enough");
    await assertDone(client);
    assertEquals([dialled.dials, dialled.open, count.listeners], [1, 0, 0]);
  }
});

Deno.test(
  "reconnect() leaves the default to decide where shouldRetry does not",
  bounded,
  async () => {
    await using _ = inMemory((session) => session.send("bye"), (dial) => {
      if (dial === 1) throw new Deno.errors.ConnectionRefused();
    });
    const client = reconnect({ port: 9, ...SOON, shouldRetry: async () => await undefined });
    let sessions = 0;
    await client.run(async (session) => {
      await readAll(session);
      if (++sessions === 3) client.close();
    });
    assertEquals(sessions, 3);
  },
);

Deno.test("reconnect() ends with a certificate that it does not trust", overTls, async () => {
  await using server = serveTls();
  for (const insists of [false, true]) {
    const { events, waits, ...observer } = diary();
    const client = reconnect({
      port: server.port,
      ...SOON,
      maxAttempts: 3,
      tls: {}, // whose roots know nothing of the server's
      observer,
      ...(insists && { shouldRetry: () => true }),
    });
    await assertRejects(() => client.next(), CertificateError, "not signed by a trusted authority");
    assertEquals(waits.length, insists ? 3 : 1);
    assertEquals(waits.at(-1), Infinity);
    assertEquals(events.at(-1), `failed ${insists ? 3 : 1} CertificateError`);
    await assertDone(client);
  }
});

Deno.test(
  "reconnect() ends where the server refuses its certificate, which shows late",
  overTls,
  async () => {
    await using server = serveTls({ tls: { clientCertificate: "required", ca } });
    for (const insists of [false, true]) {
      let ends = 0;
      const client = reconnect({
        port: server.port,
        ...SOON,
        maxAttempts: 3,
        resetAfter: Infinity,
        tls: { ca },
        observer: { onSessionEnd: () => void ends++ },
        ...(insists && { shouldRetry: () => true }),
      });
      const error = await assertRejects(() => client.run((session) => readAll(session)), Error);
      // By TLS 1.3, a client may be done before the server has looked at its certificate.
      if (error instanceof SessionEndedError) assertInstanceOf(error.cause, CertificateError);
      else assertInstanceOf(error, CertificateError);
      assertEquals(ends, insists ? 3 : 1);
      await assertDone(client);
    }
    const trusted = reconnect({ port: server.port, tls: { ca, ...rosesCertificate } });
    assertEquals(await ask(await sessionOf(trusted), "rose"), "rose!");
    await trusted.close();
  },
);

Deno.test("reconnect() ends where TLS has nothing in common", overTls, async () => {
  await using server = serveTls({ tls: { alpn: ["garden"], minVersion: "TLSv1.3" } });
  const cases: [tls: ReconnectOptions["tls"], code: string][] = [
    [{ ca, alpn: ["desert"] }, "alpn"],
    [{ ca, maxVersion: "TLSv1.2" }, "version"],
  ];
  for (const [tls, code] of cases) {
    let dials = 0;
    const observer = { onDial: () => void dials++ };
    const client = reconnect({ port: server.port, ...SOON, maxAttempts: 3, tls: tls!, observer });
    const error = await assertRejects(() => client.next(), TlsHandshakeError);
    assertEquals([error.code, dials], [code, 1]);
  }
});

Deno.test("reconnect() logs what it does", bounded, async () => {
  for (const fails of [false, true]) {
    const lines: string[] = [];
    const log = (level: string) => (message: string, fields: object) => {
      lines.push(`${level}: ${message.replace(/after \d+ ms/, "after N ms")}`);
      structuredClone(fields); // plain values
    };
    const logger = {
      debug: log("debug"),
      info: log("info"),
      warn: log("warn"),
      error: log("error"),
    };
    await using _ = inMemory((session) => session.send("bye {rose}\n"), (dial) => {
      if (dial === 1) throw new Deno.errors.ConnectionRefused("no {rose} %s");
    });
    const client = reconnect({
      port: 9,
      minDelay: 1,
      random: () => 1,
      logger,
      async setUp(session): Promise<void> {
        const line = await session.readLine();
        if (fails) throw new LoginError(line);
      },
    });
    await client.run((session) => {
      if (session.id === 2) return void client.close();
    }).catch(() => {});
    await client.close();
    assertEquals(lines, [
      "debug: dialling 127.0.0.1:9, attempt 1",
      "warn: attempt 1 to connect has failed (again in 1 ms): " +
      "ConnectionRefusedError: cannot connect to 127.0.0.1:9: nothing listens there",
      "debug: dialling 127.0.0.1:9, attempt 2",
      "info: session 1 with memory b started",
      ...(fails
        ? [
          "error: session 1 with memory b ended: error (Error: bye (rose)), after N ms, " +
          "11 bytes in, 0 bytes out; not reconnecting",
        ]
        : [
          "info: session 1 with memory b ended: local, after N ms, 11 bytes in, 0 bytes out; " +
          "dialling again in 2 ms",
          "debug: dialling 127.0.0.1:9, attempt 3",
          "info: session 2 with memory b started",
          "info: session 2 with memory b ended: local, after N ms, 11 bytes in, 0 bytes out; " +
          "not reconnecting",
        ]),
    ]);
  }
});

Deno.test("reconnect() survives a logger that throws", bounded, async () => {
  const broken = (): never => {
    throw new Error("the disk is full");
  };
  const errors: unknown[] = [];
  const events: string[] = [];
  await using _ = inMemory(echo);
  const client = reconnect({
    port: 9,
    logger: { debug: broken, info: broken, warn: broken, error: broken },
    observer: { onSessionStart: () => void events.push("start") },
    onError: (error) => void errors.push(error),
  });
  assertEquals(await ask(await sessionOf(client), "rose"), "rose!");
  await client.close();
  assertEquals([events, errors.length], [["start"], 3]);
});

Deno.test(
  "reconnect() refuses a set-up and a logger that are none",
  { permissions: "none" },
  () => {
    const wrong: [option: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
      [{ setUp: "log in" }, TypeError, "setUp must be a function, got a string"],
      [{ setUpTimeout: 0 }, RangeError, "setUpTimeout must be more than 0 ms"],
      [{ logger: {} }, TypeError, "debug of logger must be a function, got undefined"],
      [{ logger: null }, TypeError, "logger must be an object, got null"],
    ];
    for (const [option, kind, says] of wrong) {
      assertThrows(() => reconnect({ port: 9, ...option }), kind, says);
    }
  },
);
