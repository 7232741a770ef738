// Clients of all kinds at once, at random, on a server with little memory.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import { MemoryLimitError, type SessionEnd, SessionEndedError } from "../../errors.ts";
import { serve, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { randomFrom } from "../../testing/disturb.ts";
import { memoryListener } from "../../transport/mod.ts";
import { bounded, until } from "../_serving.ts";

const MIB = 1024 * 1024;
const LIMIT = 8 * MIB;
const CLIENTS = 24;
const ENDLESS = { maxBufferedOutput: 64 * MIB };
/** The first byte of a frame: answer it with its length, or send as many bytes and wait for nothing. */
const MEASURE = 0;
const DELIVER = 1;

async function answer(session: Session): Promise<void> {
  for await (const frame of session.frames(lengthPrefixed())) {
    if (frame[0] === MEASURE) await session.send(`${frame.length}\n`);
    else {
      const size = new DataView(frame.buffer, frame.byteOffset).getUint32(1);
      for (let left = size; left > 0; left -= 10_000) session.send(new Uint8Array(10_000));
    }
  }
}

function frameOf(kind: number, size: number): Uint8Array {
  const frame = new Uint8Array(4 + size);
  new DataView(frame.buffer).setUint32(0, size);
  frame[4] = kind;
  return frame;
}

/** What a client does until it is done; most never are. */
type Client = (session: Session, random: () => number) => Promise<unknown>;

const KINDS: Client[] = [
  /** Asks, and waits for each answer. */
  async (session, random) => {
    for (let round = 0; round < 5; round++) {
      const size = 1 + Math.floor(random() ** 3 * 1_000_000);
      session.send(frameOf(MEASURE, size));
      assertEquals(await session.readLine(), `${size}`);
    }
  },
  /** Stops in the middle of a frame. */
  (session, random) => {
    const size = 1 + Math.floor(random() * 6_000_000);
    return session.send(frameOf(MEASURE, size).subarray(0, Math.floor(random() * size)));
  },
  /** Asks for much, and does not read it. */
  (session, random) => {
    const frame = frameOf(DELIVER, 5);
    new DataView(frame.buffer).setUint32(5, Math.floor(random() * 900_000));
    return session.send(frame);
  },
];

async function run(server: Server, dial: () => Session, random: () => number): Promise<void> {
  let highest = 0;
  const watch = setInterval(() => {
    highest = Math.max(highest, server.stats().memory.held);
  }, 1);
  const sessions: Session[] = [];
  const asking: Promise<unknown>[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const session = dial();
    sessions.push(session);
    const kind = i % KINDS.length;
    const done = KINDS[kind]!(session, random);
    // Who is ended is cut off, in whatever it does. What was answered wrongly fails.
    const checked = done.catch((error) => {
      if (!(error instanceof SessionEndedError)) throw error;
    });
    if (kind === 0) asking.push(checked);
  }
  await Promise.all(asking);
  clearInterval(watch);
  for (const session of sessions) session.abort();
  await until(() => server.stats().active === 0);
  const { held, pressure, paused } = server.stats().memory;
  assertEquals([held, pressure, paused], [0, "none", 0]);
  assert(highest < LIMIT * 2, `${highest} bytes were held`);
}

Deno.test("serve() gets through any crowd with little memory", bounded, async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const listener = memoryListener();
    const ends: SessionEnd[] = [];
    await using server = serve({
      listener,
      maxBufferMemory: LIMIT,
      frameTimeout: 600_000,
      writeTimeout: 600_000,
      observer: { onSessionEnd: (_, end) => void ends.push(end) },
    }, answer);
    try {
      await run(server, () => new Session(listener.connect(), ENDLESS), randomFrom(seed));
      for (const { reason, cause } of ends) {
        if (reason === "limit") assertInstanceOf(cause, MemoryLimitError);
        else assertEquals(reason, "peer");
      }
    } catch (error) {
      throw new Error(`with the seed ${seed}`, { cause: error });
    }
  }
});
