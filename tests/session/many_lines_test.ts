/** What is done for many lines at once: they are decoded together, and the texts of a turn are encoded together. */

import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { lines, MORE } from "../../codecs/mod.ts";
import { concat } from "../../_internal/concat.ts";
import { BufferPool } from "../../session/buffer_pool.ts";
import { InputBuffer } from "../../session/input.ts";
import { OutputBuffer } from "../../session/output_buffer.ts";
import { Session } from "../../session.ts";
import { memoryPair } from "../../transport/mod.ts";

const pure = { permissions: "none" } as const;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Mostly short lines of ASCII, so that many of them are decoded together. */
const line = fc.oneof(
  { weight: 6, arbitrary: fc.string({ minLength: 8, maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 30 }) },
  { weight: 1, arbitrary: fc.nat({ max: 3000 }).map((length) => "x".repeat(length)) },
).map((text) => encoder.encode(text.replaceAll(/[\r\n]/g, "_")));
const ending = fc.constantFrom("\n", "\n", "\r\n").map((end) => encoder.encode(end));
const part = fc.tuple(line, ending).map(concat);

Deno.test(
  "lines() gives the lines that came, whatever else is read or put back between them",
  pure,
  () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("accept"), parts: fc.array(part) }) },
      { weight: 8, arbitrary: fc.record({ kind: fc.constant("line"), count: fc.nat({ max: 9 }) }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant("take"), count: fc.nat({ max: 40 }) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("put back"), bytes: part }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant("split"), count: fc.nat({ max: 99 }) }),
      },
    );
    fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const input = new InputBuffer(1024);
      let model: Uint8Array = new Uint8Array(0);
      let codec = lines({ maxLength: 4000 }).decoder();
      let held: Uint8Array = new Uint8Array(0); // what has not come yet, of a line that is split
      const accept = (bytes: Uint8Array) => {
        if (bytes.length > 0) input.accept(bytes, 64 * 1024, false);
        model = concat([model, bytes]);
      };
      for (const step of steps) {
        if ("parts" in step) {
          accept(concat([held, ...step.parts]));
          held = new Uint8Array(0);
        } else if ("bytes" in step) {
          input.unshift(step.bytes);
          model = concat([step.bytes, model]);
          codec = lines({ maxLength: 4000 }).decoder();
        } else if (step.kind === "line") {
          for (let left = step.count; left > 0; left--) {
            const at = model.indexOf(0x0a);
            const got = codec.decode(input);
            if (at < 0) assertEquals(got, MORE);
            else {
              const end = at > 0 && model[at - 1] === 0x0d ? at - 1 : at;
              assertEquals(got, decoder.decode(model.subarray(0, end)));
              model = model.subarray(at + 1);
            }
          }
        } else if (step.kind === "take") {
          const count = Math.min(step.count, model.length);
          assertEquals(input.take(count), model.slice(0, count));
          model = model.subarray(count);
          codec = lines({ maxLength: 4000 }).decoder();
        } else {
          const whole = concat([held, encoder.encode(`${"y".repeat(step.count)}\n`)]);
          const at = Math.floor(whole.length / 2);
          accept(whole.slice(0, at));
          held = whole.slice(at);
        }
      }
    }));
  },
);

Deno.test(
  "OutputBuffer encodes each text by itself, whatever is added before and after it",
  pure,
  () => {
    const halves = ["first", `${"a".repeat(20)}\ud83d`, `\ude00${"b".repeat(20)}`];
    const text = fc.oneof(
      { weight: 4, arbitrary: fc.string({ maxLength: 60 }) },
      { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
      // Halves of characters, which must not become one.
      {
        weight: 1,
        arbitrary: fc.constantFrom(...halves),
      },
    );
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant("text" as const), text }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("bytes" as const), text }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("prefixed" as const), text }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant("failing" as const), text }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("take" as const), text }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("count" as const), text }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("write" as const), text }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const out = new OutputBuffer(new BufferPool());
        const got: Uint8Array[] = [];
        const expected: Uint8Array[] = [];
        let total = 0;
        const add = (...parts: Uint8Array[]) => {
          expected.push(...parts);
          for (const { length } of parts) total += length;
        };
        for (const { kind, text } of steps) {
          const bytes = encoder.encode(text);
          if (kind === "text") {
            out.text(text);
            add(bytes);
          } else if (kind === "bytes") {
            out.bytes(bytes);
            add(bytes);
          } else if (kind === "prefixed") {
            out.prefixed(2, (out) => {
              out.text(text);
              out.text(text);
            });
            const { length } = bytes;
            add(Uint8Array.of((2 * length) >> 8, 2 * length), bytes, bytes);
          } else if (kind === "failing") {
            const encode = () => {
              for (let i = 0; i < text.length % 30; i++) out.text(text);
              throw new RangeError("no such message");
            };
            try {
              out.addFrame({ encode }, undefined);
            } catch (error) {
              if (!(error instanceof RangeError)) throw error;
            }
          } else if (kind === "take") {
            while (!out.isEmpty) got.push(out.take().bytes.slice());
          } else if (kind === "count") assertEquals(out.accepted, total);
          else out.writing = !out.writing;
        }
        assertEquals(out.accepted, total);
        while (!out.isEmpty) got.push(out.take().bytes);
        assertEquals(concat(got), concat(expected));
      }),
      { examples: [[halves.map((text) => ({ kind: "text" as const, text }))]] },
    );
  },
);

Deno.test(
  "Session counts gathered text in bytes: bytesBuffered, flush() and maxBufferedOutput",
  async () => {
    const [near, far] = memoryPair();
    const options = { highWaterMark: 1000, maxBufferedOutput: 1000 };
    const [a, b] = [new Session(near, options), new Session(far)];
    for (let i = 0; i < 10; i++) a.send("é".repeat(20));
    assertEquals(a.bytesBuffered, 400);
    await a.flush();
    assertEquals([a.bytesBuffered, a.bytesWritten], [0, 400]);
    assertEquals((await b.readExactly(400)).length, 400);
    await Promise.all([a.close(), b.close()]);
  },
);

Deno.test("Session ends if gathered text exceeds maxBufferedOutput in bytes", async () => {
  const [near] = memoryPair({ capacity: 16 });
  const session = new Session(near, { highWaterMark: 1000, maxBufferedOutput: 1000 });
  session.send("first");
  const sent: Promise<void>[] = [];
  for (let i = 0; i < 30; i++) sent.push(session.send("é".repeat(20)));
  await assertRejects(() => sent.at(-1)!);
  assertEquals((await session.closed).reason, "limit");
});
