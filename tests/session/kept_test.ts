// What handlers keep. Sessions of one thread may read into memory that they share, and each may mix readings of all kinds.
// What a reading has returned must not change later, and must never show what another session receives.

import { assert } from "@std/assert";
import { randomFrom } from "../../testing/disturb.ts";
import { type Keep, KINDS, textOf } from "../_readings.ts";
import { type Opened, testEach } from "../_transports.ts";

/** Many, with few rounds: a session that has got memory of its own seldom uses shared memory again. */
const SEEDS = 20;
const ROUNDS = 4;
const LETTERS = "ABCD";
const OPTIONS = [{}, {}, { chunkSize: 16 }, { chunkSize: 20_000 }]; // the last one never shares memory

testEach("What is kept of a reading does not change, nor show another session", async (open) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await using stack = new AsyncDisposableStack();
    const random = randomFrom(seed);
    const all = await Promise.all(OPTIONS.map((options) => open(options)));
    const runs = all.map((opened, i) =>
      run(stack.use(opened), LETTERS[i]!, randomFrom(random() * 2 ** 32))
    );
    try {
      for (const check of (await Promise.all(runs)).flat()) check();
    } catch (cause) {
      throw new Error(`with the seed ${seed}`, { cause });
    }
  }
});

type Checks = (() => void)[];

/** Sends and reads texts made of a letter, by random kinds. Returns a check of each value that was kept. */
async function run({ session, peer }: Opened, own: string, random: () => number): Promise<Checks> {
  const below = (limit: number): number => Math.floor(random() * limit);
  const others = new RegExp(`([${LETTERS.replace(own, "")}])\\d{5}\\1\\d{5}`);
  const checks: Checks = [];
  let marks = 0;
  const mark = (): string => own + `${marks++}`.padStart(5, "0");
  const newText = (): string =>
    Array.from({ length: 1 + below(1400 * random() ** 3) }, mark).join("").slice(below(6));
  for (let round = 0; round < ROUNDS; round++) {
    const [name, kind] = Object.entries(KINDS)[below(Object.keys(KINDS).length)]!;
    const texts = Array.from({ length: kind.isGreedy ? 1 : 1 + below(4) }, newText);
    const frames = texts.map(kind.wire);
    const [all, cut] = [frames.join(""), below(1000)];
    const pieces = random() < 0.5 ? frames : [all.slice(0, cut), all.slice(cut)];
    const sending = async (): Promise<void> => {
      for (const piece of pieces) {
        await peer.send(Uint8Array.from(piece, (char) => char.charCodeAt(0)));
        await new Promise((resolve) => setTimeout(resolve));
      }
    };
    const keep: Keep = (value, text) => {
      assert(textOf(value) === text, `${name}: not what was sent`);
      checks.push(() => {
        assert(kind.isView || textOf(value) === text, `${name}: has changed`);
        if (!(value instanceof Uint8Array) || (value.buffer as ArrayBuffer).detached) return; // freed, under a view
        const found = others.exec(textOf(new Uint8Array(value.buffer)));
        assert(found === null, `${name}: shows ${found?.[0]} of another session`);
      });
    };
    const reading = async (): Promise<void> => {
      const read = kind.open(session);
      for (const text of texts) keep(await read(text, keep), text);
    };
    await Promise.all(random() < 0.2 ? [sending(), reading()] : [reading(), sending()]);
  }
  return checks;
}
