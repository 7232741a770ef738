import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { lines } from "../../codecs/lines.ts";
import { SessionEndedError } from "../../errors.ts";
import { Session } from "../../session.ts";
import { memoryPair } from "../../transport/memory.ts";
import { collect, isPending, testEach } from "../_transports.ts";

const TIMEOUT = 30;

/** Each way of reading, and what of "rose\nthink\n" it gives first. */
const READINGS: Record<string, (session: Session, timeout?: number) => Promise<unknown>> = {
  "text()": (session, timeout) => session.text(timed(timeout)).next(),
  "bytes()": (session, timeout) => session.bytes(timed(timeout)).next(),
  "lines()": (session, timeout) => session.lines(timed(timeout)).next(),
  "frames()": (session, timeout) => session.frames(lines(), timed(timeout)).next(),
  "frames().read()": (session, timeout) => session.frames(lines()).read(timed(timeout)),
  "readLine()": (session, timeout) => session.readLine(timed(timeout)),
  "readExactly()": (session, timeout) => session.readExactly(5, timed(timeout)),
};

function timed(timeout: number | undefined): { timeout?: number } {
  return timeout === undefined ? {} : { timeout };
}

async function assertTimesOut(read: () => Promise<unknown>): Promise<DOMException> {
  const error = await assertRejects(read, DOMException);
  assertEquals(error.name, "TimeoutError");
  assertEquals(error.message, `the reading has waited longer than ${TIMEOUT} ms (timeout)`);
  return error;
}

testEach("A reading with a timeout rejects after it, and the next one goes on", async (open) => {
  for (const [name, read] of Object.entries(READINGS)) {
    await using opened = await open();
    const { session, peer } = opened;
    const started = performance.now();
    await assertTimesOut(() => read(session, TIMEOUT));
    assert(performance.now() - started >= TIMEOUT, name);
    const next = read(session);
    await peer.send("rose\nthink\n");
    await next;
    assertEquals(session.signal.aborted, false);
  }
});

testEach("A reading loses nothing by its timeout, wherever the bytes are cut", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const text = "rose\né\n";
  const bytes = new TextEncoder().encode(text);
  const frames = session.lines();
  const heard: (string | undefined)[] = [];
  for (const byte of bytes) {
    await peer.sendApart(session, [new Uint8Array([byte])]);
    try {
      heard.push(await frames.read({ timeout: 5 }));
    } catch (error) {
      assertEquals((error as DOMException).name, "TimeoutError");
    }
  }
  assertEquals(heard, ["rose", "é"]);
});

testEach("A timeout leaves half a frame to any other reading", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  await peer.sendApart(session, ["ro"]);
  await assertTimesOut(() => session.readExactly(5, { timeout: TIMEOUT }));
  await assertTimesOut(() => session.readLine({ timeout: TIMEOUT }));
  assertEquals(await session.readExactly(1), new TextEncoder().encode("r"));
  const rest = session.readLine();
  await peer.send("se\n");
  assertEquals(await rest, "ose");
});

testEach("A loop may go on after the timeout of one of its steps", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const loop = session.lines({ timeout: TIMEOUT });
  await peer.send("one\ntw");
  assertEquals(await loop.next(), { done: false, value: "one" });
  await assertTimesOut(() => loop.next());
  await peer.send("o\nthree\n");
  await peer.closeWrite();
  assertEquals(await collect(loop), ["two", "three"]);
}, { toHalfClosed: true });

testEach("A timeout counts anew for each reading", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const loop = session.lines({ timeout: 200 });
  const started = performance.now();
  for (let count = 0; performance.now() - started < 500; count++) {
    const next = loop.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await peer.send(`${count}\n`);
    assertEquals((await next).value, String(count));
  }
});

testEach("A trickle does not put the timeout of a reading off", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  let isOver = false;
  const trickle = (async () => {
    while (!isOver) {
      await peer.send("x");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  await assertTimesOut(() => session.readLine({ timeout: TIMEOUT }));
  isOver = true;
  await trickle;
});

testEach("A signal and a timeout of one reading: whichever is first", async (open) => {
  await using opened = await open();
  const { session } = opened;
  const reason = new Error("enough");
  const abortion = new AbortController();
  const waiting = session.readLine({ signal: abortion.signal, timeout: 600_000 });
  abortion.abort(reason);
  assertStrictEquals(await assertRejects(() => waiting), reason);
  const { signal } = new AbortController();
  await assertTimesOut(() => session.readLine({ signal, timeout: TIMEOUT }));
});

testEach("A reading with a timeout that waits when the session ends says so", async (open) => {
  await using opened = await open();
  const waiting = opened.session.readLine({ timeout: 600_000 });
  opened.session.abort();
  await assertRejects(() => waiting, SessionEndedError);
  await opened.session.closed;
});

Deno.test("A reading without a timeout waits although the one before had one", async () => {
  const [near, far] = memoryPair();
  const session = new Session(near);
  await assertTimesOut(() => session.readLine({ timeout: TIMEOUT }));
  const waiting = session.readLine();
  await new Promise((resolve) => setTimeout(resolve, 2 * TIMEOUT));
  assert(await isPending(waiting));
  await far.write(new TextEncoder().encode("rose\n"));
  assertEquals(await waiting, "rose");
  session.abort();
});

Deno.test("A reading with a timeout does not time out because the process was busy", async () => {
  const [near, far] = memoryPair();
  const session = new Session(near);
  const waiting = session.readLine({ timeout: 200 });
  await new Promise((resolve) => setTimeout(resolve, 30)); // at least one sweep has seen it
  const started = performance.now();
  while (performance.now() - started < 400); // nobody can be heard meanwhile
  const sent = far.write(new TextEncoder().encode("rose\n"));
  assertEquals(await waiting, "rose");
  await sent;
  session.abort();
});

Deno.test("What has come is given even if the timeout is over: 1,000 races", async () => {
  const [near, far] = memoryPair();
  const session = new Session(near);
  const encoder = new TextEncoder();
  const heard: string[] = [];
  const lines = session.lines();
  for (let i = 0; heard.length < 1000; i++) {
    if (i < 1000) setTimeout(() => far.write(encoder.encode(`${i}\n`)), i % 7);
    const line = await lines.read({ timeout: 1 }).catch((error) => {
      assertEquals(error.name, "TimeoutError");
    });
    if (line !== undefined) heard.push(line);
  }
  assertEquals(heard.map(Number).sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  session.abort();
});
