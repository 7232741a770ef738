import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { lines } from "../../codecs/lines.ts";
import { reconnect } from "../../connect/reconnect.ts";
import { type EndReason, SessionEndedError } from "../../errors.ts";
import { Heartbeat, type HeartbeatOptions, resolveHeartbeat } from "../../session/heartbeat.ts";
import { prepare, Session } from "../../session.ts";
import { memoryPair } from "../../transport/memory.ts";
import { inMemory, sessionOf, SOON } from "../_reconnecting.ts";
import { bounded } from "../_serving.ts";
import { type Opened, type Peer, testEach, testEachPair, until } from "../_transports.ts";

const QUIET = {
  bytesRead: 0,
  bytesWritten: 0,
  buffered: 0,
  reading: true,
  waiting: {},
};
type Signs = Omit<typeof QUIET, "waiting"> & { waiting: unknown };

function check(beat: Heartbeat, now: number, signs: Signs): "due" | "missed" | undefined {
  return beat.check(now, signs, signs);
}

function heartbeat(options: Partial<HeartbeatOptions> = {}): Heartbeat {
  return new Heartbeat(resolveHeartbeat({ interval: 100, message: "PING", ...options }), 1000);
}

/** What a heartbeat does at each of these times, if its peer is silent. */
function silence(beat: Heartbeat, times: number[], signs = QUIET): unknown[] {
  let { bytesWritten } = signs;
  return times.map((now) => {
    const verdict = check(beat, now, { ...signs, bytesWritten });
    if (verdict === "due") {
      bytesWritten += 4;
      beat.sent(now, bytesWritten);
    }
    return verdict;
  });
}

Deno.test("Heartbeat: is due after a silence in both directions, again and again, then missed", {
  permissions: "none",
}, () => {
  const verdicts = silence(heartbeat(), [1100, 1101, 1201, 1202, 1302, 1303]);
  assertEquals(verdicts, [undefined, "due", undefined, "due", undefined, "missed"]);
});

Deno.test("Heartbeat: maxMissed is how many go unanswered", { permissions: "none" }, () => {
  for (const maxMissed of [1, 2, 7]) {
    const times = Array.from({ length: maxMissed + 1 }, (_, beat) => 1101 + beat * 101);
    const verdicts = silence(heartbeat({ maxMissed }), times);
    assertEquals(verdicts, [...Array(maxMissed).fill("due"), "missed"]);
  }
});

Deno.test("Heartbeat: is due if nothing goes out, although much comes in", {
  permissions: "none",
}, () => {
  const beat = heartbeat();
  for (let now = 1010, bytesRead = 1; now <= 1100; now += 10, bytesRead++) {
    assertEquals(check(beat, now, { ...QUIET, bytesRead }), undefined);
  }
  assertEquals(check(beat, 1101, { ...QUIET, bytesRead: 99 }), "due");
});

Deno.test("Heartbeat: is due if nothing comes in, although much goes out", {
  permissions: "none",
}, () => {
  const beat = heartbeat();
  let bytesWritten = 0;
  const verdicts: unknown[] = [];
  for (let now = 1001; verdicts.at(-1) !== "missed"; now++) {
    const verdict = check(beat, now, { ...QUIET, bytesWritten, buffered: 1 });
    if (verdict !== undefined) verdicts.push(now, verdict);
    if (verdict === "due") beat.sent(now, bytesWritten += 4);
    bytesWritten++;
  }
  assertEquals(verdicts, [1101, "due", 1202, "due", 1303, "missed"]);
});

Deno.test(
  "Heartbeat: is not due while bytes go in both directions",
  { permissions: "none" },
  () => {
    const beat = heartbeat();
    for (let now = 1000, bytes = 0; now < 2000; now += 99, bytes++) {
      const signs = { ...QUIET, bytesRead: bytes, bytesWritten: bytes };
      assertEquals(check(beat, now, signs), undefined);
    }
  },
);

Deno.test("Heartbeat: any byte is an answer, unless isAnswer says otherwise", {
  permissions: "none",
}, () => {
  const any = heartbeat({ maxMissed: 1 });
  assertEquals(silence(any, [1101]), ["due"]);
  assertEquals(silence(any, [1150, 1202], { ...QUIET, bytesRead: 1, bytesWritten: 4 }), [
    undefined,
    "due",
  ]);
  const strict = heartbeat({ maxMissed: 1, isAnswer: () => true });
  assertEquals(silence(strict, [1101]), ["due"]);
  assertEquals(silence(strict, [1150, 1202], { ...QUIET, bytesRead: 1, bytesWritten: 4 }), [
    undefined,
    "missed",
  ]);
  const answered = heartbeat({ maxMissed: 1, isAnswer: () => true });
  assertEquals(silence(answered, [1101]), ["due"]);
  answered.onFrame("PONG");
  const signs = { ...QUIET, bytesRead: 1, bytesWritten: 4 };
  assertEquals(silence(answered, [1150, 1202, 1251], signs), [undefined, "due", undefined]);
});

Deno.test("Heartbeat: time in which an answer cannot be heard does not count", {
  permissions: "none",
}, () => {
  for (
    const [options, signs] of [
      [{}, { reading: false }],
      [{ isAnswer: () => true }, { waiting: undefined }],
    ] as const
  ) {
    const beat = heartbeat({ maxMissed: 1, ...options });
    assertEquals(check(beat, 1101, QUIET), "due");
    beat.sent(1101, 4);
    const deaf = { ...QUIET, ...signs, bytesWritten: 4 };
    for (let now = 1110; now <= 1200; now += 10) assertEquals(check(beat, now, deaf), undefined);
    assertEquals(check(beat, 1215, deaf), "due"); // for the peer still has to hear something
    beat.sent(1215, 8);
    assertEquals(check(beat, 1300, { ...deaf, bytesWritten: 8 }), undefined);
    assertEquals(check(beat, 1316, { ...QUIET, bytesWritten: 8 }), "due");
    beat.sent(1316, 12);
    assertEquals(check(beat, 1416, { ...QUIET, bytesWritten: 12 }), undefined);
    assertEquals(check(beat, 1417, { ...QUIET, bytesWritten: 12 }), "missed");
  }
});

Deno.test("Heartbeat: nothing is added behind output that the peer does not take", {
  permissions: "none",
}, () => {
  const beat = heartbeat();
  for (let now = 1010; now < 9000; now += 10) {
    assertEquals(check(beat, now, { ...QUIET, buffered: 1 }), undefined);
  }
});

Deno.test("Heartbeat: with maxMissed Infinity, it only fills gaps in the output", {
  permissions: "none",
}, () => {
  const beat = heartbeat({ maxMissed: Infinity });
  for (let now = 1010, bytesWritten = 1; now <= 1500; now += 50, bytesWritten++) {
    assertEquals(check(beat, now, { ...QUIET, bytesWritten }), undefined);
  }
  const signs = { ...QUIET, bytesWritten: 10 };
  const times = Array.from({ length: 50 }, (_, beat) => 1561 + beat * 101);
  assertEquals(silence(beat, [1560, ...times], signs), [undefined, ...Array(50).fill("due")]);
});

Deno.test("Heartbeat: its options are checked, and the defaults filled in", {
  permissions: "none",
}, () => {
  assertEquals(resolveHeartbeat({ interval: 5, message: "PING" }).maxMissed, 2);
  for (const maxMissed of [0, 1.5, -1, 2 ** 30 + 1]) {
    assertThrows(
      () => heartbeat({ maxMissed }),
      RangeError,
      "heartbeat.maxMissed must be an integer from 1 to 1073741824",
    );
  }
  assertThrows(
    () => heartbeat({ interval: 0 }),
    RangeError,
    "heartbeat.interval must be more than",
  );
});

const PING = { interval: 30, message: "PING\n" };

/** Answers so many lines, and then no more. */
async function answer(peer: Peer, count: number, text = "PONG\n"): Promise<void> {
  for (let i = 0; i < count; i++) {
    assertEquals(await peer.text(5), "PING\n");
    await peer.send(text);
  }
}

testEach(
  "A heartbeat keeps a session whose peer answers, and ends one that does not",
  async (open) => {
    await using opened = await open({ heartbeat: PING });
    const { session, peer } = opened;
    const loop = assertRejects(async () => {
      for await (const line of session.lines()) assertEquals(line, "PONG");
    }, SessionEndedError);
    await answer(peer, 5);
    assertEquals(session.signal.aborted, false);
    assertEquals(await peer.text(10), "PING\nPING\n"); // and not one more
    assertEquals((await loop).reason, "heartbeat-missed");
    assertEquals(await peer.countToClose(), 0);
    const { reason, cause, duration } = await session.closed;
    assertEquals([reason, cause], ["heartbeat-missed", undefined]);
    assert(duration >= 8 * 30, `${duration} ms`);
  },
);

testEach("A heartbeat ends a session whose peer is sent much and answers nothing", async (open) => {
  await using opened = await open({ heartbeat: { ...PING, maxMissed: 1 } });
  const { session, peer } = opened;
  const all = peer.textToEnd().catch(() => "cut off");
  const error = await assertRejects(async () => {
    for (;;) {
      await session.send("news\n");
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }, SessionEndedError);
  assertEquals(error.reason, "heartbeat-missed");
  await session.closed;
  await all;
});

testEach("A heartbeat hears answers that no reading waits for", async (open) => {
  await using opened = await open({ heartbeat: { ...PING, maxMissed: 1 } });
  const { session, peer } = opened;
  await answer(peer, 8);
  await until(() => session.bytesRead === 8 * 5);
  assertEquals(session.signal.aborted, false);
  assertEquals(await session.readLine(), "PONG"); // they stay for the next reading
});

testEach("isAnswer decides what answers a heartbeat", async (open) => {
  const isAnswer = (frame: unknown) => frame === "PONG";
  await using opened = await open({ heartbeat: { ...PING, isAnswer } });
  const { session, peer } = opened;
  const heard: string[] = [];
  const loop = assertRejects(async () => {
    for await (const line of session.lines()) heard.push(line);
  }, SessionEndedError);
  await answer(peer, 3);
  assertEquals(session.signal.aborted, false);
  await answer(peer, 2, "what?\n");
  assertEquals((await loop).reason, "heartbeat-missed");
  assertEquals(heard, ["PONG", "PONG", "PONG", "what?", "what?"]); // they are not taken away
});

Deno.test("What isAnswer throws is thrown by the reading, as a bug of the handler's side", async () => {
  const [near, far] = memoryPair();
  const fault = new Error("no such field");
  const isAnswer = () => {
    throw fault;
  };
  const session = new Session(near, { heartbeat: { ...PING, interval: 60_000, isAnswer } });
  await far.write(new TextEncoder().encode("PONG\n"));
  assertEquals(await assertRejects(() => session.readLine()), fault);
  session.abort();
});

testEach("A heartbeat may be text, bytes, a prepared frame, or a function", async (open) => {
  const bytes = new TextEncoder().encode("PING\n");
  for (const message of ["PING\n", bytes, prepare("PING", lines()), () => bytes]) {
    await using opened = await open({ heartbeat: { ...PING, message } });
    await answer(opened.peer, 1);
  }
});

testEach("A heartbeat is not sent while its function returns nothing", async (open) => {
  let isBusy = true;
  let calls = 0;
  const message = () => {
    calls++;
    return isBusy ? undefined : "PING\n";
  };
  await using opened = await open({ heartbeat: { interval: 20, message, maxMissed: 1 } });
  const { session, peer } = opened;
  await until(() => calls === 10); // none of which counts as missed
  assertEquals([session.bytesWritten, session.signal.aborted], [0, false]);
  isBusy = false;
  await answer(peer, 1);
});

testEach("What the function of a heartbeat throws ends the session", async (open) => {
  const fault = new Error("no such language");
  const message = () => {
    throw fault;
  };
  await using opened = await open({ heartbeat: { interval: 20, message } });
  const { reason, cause } = await opened.session.closed;
  assertEquals([reason, cause], ["error", fault]);
});

Deno.test("A heartbeat that cannot be sent is a TypeError", async () => {
  for (const message of [() => 7, () => Promise.reject(new Error("never seen"))]) {
    const [near] = memoryPair();
    const wrong = message as unknown as () => string;
    const session = new Session(near, { heartbeat: { interval: 20, message: wrong } });
    const { reason, cause } = await session.closed;
    assertEquals(reason, "error");
    assertInstanceOf(cause, TypeError);
  }
});

testEach("A heartbeat can be changed at any time", async (open) => {
  await using opened = await open({ heartbeat: { ...PING, interval: 3_600_000 } });
  const { session, peer } = opened;
  session.heartbeat = { ...session.heartbeat!, interval: 20 };
  await answer(peer, 2);
  session.heartbeat = undefined;
  assertEquals(session.heartbeat, undefined);
  const before = session.bytesWritten;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(session.bytesWritten, before);
  session.heartbeat = { interval: 20, message: "PING\n", maxMissed: 3 };
  assertEquals((await session.closed).reason, "heartbeat-missed");
  assertThrows(
    () => session.heartbeat = { interval: 5 } as HeartbeatOptions,
    TypeError,
    "heartbeat.message must be a string",
  );
});

testEach("A heartbeat stops when either side has finished", async (open) => {
  const ways: ((opened: Opened) => Promise<unknown>)[] = [
    async ({ peer, session }) => {
      await peer.closeWrite();
      assertEquals(await session.readLine(), undefined);
    },
    ({ session }) => session.closeWrite(),
  ];
  for (const finish of ways) {
    let calls = 0;
    const message = () => {
      calls++;
      return "PING\n";
    };
    await using opened = await open({ heartbeat: { interval: 3_600_000, message } });
    const { session } = opened;
    await finish(opened);
    session.heartbeat = { interval: 20, message, maxMissed: 1 };
    await new Promise((resolve) => setTimeout(resolve, 150));
    assertEquals([calls, session.bytesWritten, session.signal.aborted], [0, 0, false]);
  }
}, { toHalfClosed: true });

testEach("A goodbye follows the last heartbeat", async (open) => {
  const goodbye = (reason: string) => `bye: ${reason}\n`;
  await using opened = await open({ heartbeat: PING, goodbye });
  const { session, peer } = opened;
  assertEquals(await peer.textToEnd(), "PING\nPING\nbye: heartbeat-missed\n");
  peer.close();
  assertEquals((await session.closed).reason, "heartbeat-missed");
});

Deno.test("A heartbeat is not sent while TLS begins", async () => {
  const [near, far] = memoryPair();
  let calls = 0;
  const message = () => {
    calls++;
    return "PING\n";
  };
  const session = new Session(near, { heartbeat: { interval: 20, message } });
  const upgraded = assertRejects(
    () => session.upgradeTls({ serverName: "localhost", handshakeTimeout: 150 }),
    Error,
    "no handshake within 150 ms",
  );
  await upgraded;
  await session.closed;
  assertEquals(calls, 0);
  far.close();
});

testEachPair("Two sides with heartbeats keep each other alive", async (pair) => {
  const heartbeat = { interval: 60, message: "PING\n" };
  const sides = (await pair()).map((connection) => new Session(connection, { heartbeat }));
  await until(() => sides.every(({ bytesRead }) => bytesRead >= 5 * 5));
  assertEquals(sides.map(({ signal }) => signal.aborted), [false, false]);
  for (const side of sides) side.abort();
  await Promise.all(sides.map(({ closed }) => closed));
});

Deno.test("reconnect() dials again when its heartbeats are missed", bounded, async () => {
  let sessions = 0;
  await using dialled = inMemory(async (session) => {
    const isDeaf = ++sessions === 1;
    for await (const line of session.lines()) if (!isDeaf) await session.send(`${line}\n`);
  });
  const ends: EndReason[] = [];
  const client = reconnect({
    port: 9,
    ...SOON,
    heartbeat: PING,
    observer: { onSessionEnd: (_, { reason }) => void ends.push(reason) },
  });
  const first = await sessionOf(client);
  assertEquals((await first.closed).reason, "heartbeat-missed");
  const second = await sessionOf(client);
  await until(() => second.bytesRead >= 5 * 5);
  await client.close();
  assertEquals([ends, dialled.dials], [["heartbeat-missed", "local"], 2]);
});

Deno.test(
  "What the function of a heartbeat throws is told to onError of reconnect()",
  bounded,
  async () => {
    await using _dialled = inMemory(async (session) => {
      for await (const _ of session);
    });
    const fault = new Error("no such language");
    const message = () => {
      throw fault;
    };
    const told: unknown[] = [];
    const onError = (error: unknown) => void told.push(error);
    const heartbeat = { interval: 20, message };
    await using client = reconnect({ port: 9, ...SOON, heartbeat, onError });
    assertEquals((await (await sessionOf(client)).closed).cause, fault);
    assertEquals(told, [fault]);
  },
);
