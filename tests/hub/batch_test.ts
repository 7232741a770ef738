// What a hub publishes in one turn of the event loop.

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MalformedFrameError } from "../../errors.ts";
import { Hub, type HubTracer } from "../../hub/mod.ts";
import {
  type Batch,
  type BusMessage,
  decodeBatch,
  type Kind,
  messagesOf,
  Outgoing,
  sizeOf,
  TRACED,
} from "../../hub/message.ts";
import type { Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { settle } from "../_serving.ts";
import { TestBus, TestNetwork } from "./_bus.ts";

const permissions = "none";
const CONTEXT = 25;

/** A bus that notes what it carries. */
class NotingBus extends TestBus {
  readonly batches: Batch[] = [];

  override publish(group: string, message: Uint8Array): boolean {
    this.batches.push(decodeBatch(message.slice()));
    return super.publish(group, message);
  }

  /** The texts of each batch. */
  texts(): string[][] {
    return this.batches.map(({ content }) =>
      messagesOf(content).map(({ payload }) => new TextDecoder().decode(payload).trim())
    );
  }
}

/** Two hubs, of which the second one has members in some groups. */
class Pair implements AsyncDisposable {
  readonly network = new TestNetwork();
  readonly bus = new NotingBus(this.network);
  readonly gaps: [from: number, to: number][] = [];
  readonly errors: unknown[] = [];
  readonly hub: Hub;
  readonly other: Hub;
  readonly #sessions = new Map<string, [client: Session, session: Session]>();

  constructor(tracer?: HubTracer) {
    const onError = (error: unknown): void => void this.errors.push(error);
    this.network.buses.push(this.bus);
    this.hub = new Hub({ bus: this.bus, onError, ...(tracer && { tracer }) });
    const onGap = (_: string, from: number, to: number): void => void this.gaps.push([from, to]);
    this.other = new Hub({ bus: this.network.bus(), onError, onGap });
  }

  async join(...groups: string[]): Promise<void> {
    for (const group of groups) {
      const pair = sessionPair();
      this.#sessions.set(group, pair);
      await this.other.join(group, pair[1]);
    }
  }

  /** The lines that the member of a group has got. */
  async lines(group: string): Promise<string[]> {
    const [client, session] = this.#sessions.get(group)!;
    session.closeWrite();
    return await Array.fromAsync(client.lines());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.hub.close(), this.other.close()]);
    for (const pair of this.#sessions.values()) for (const session of pair) session.abort();
  }
}

Deno.test("what a Hub publishes in a turn goes over the bus in one batch for each group", {
  permissions,
}, async () => {
  await using pair = new Pair();
  await pair.join("hall", "garden");
  for (let at = 1; at <= 3; at++) {
    assert(pair.hub.publish("hall", `h${at}\n`));
    await null; // microtasks belong to the turn
    pair.hub.publish("garden", `g${at}\n`, { key: "é" });
  }
  assertEquals(pair.bus.batches, []);
  await settle();
  pair.hub.publish("hall", "h4\n");
  await settle();
  assertEquals(pair.bus.texts(), [["h1", "h2", "h3"], ["g1", "g2", "g3"], ["h4"]]);
  assertEquals(pair.bus.batches.map(({ number, count }) => [number, count]), [
    ...[[1, 3], [1, 3], [4, 1]],
  ]);
  assertEquals(messagesOf(pair.bus.batches[1]!.content).map(({ key }) => key), ["é", "é", "é"]);
  assertEquals(pair.other.stats().received, 7);
  assertEquals(await pair.lines("hall"), ["h1", "h2", "h3", "h4"]);
  assertEquals(await pair.lines("garden"), ["g1", "g2", "g3"]);
  assertEquals([pair.gaps, pair.errors], [[], []]);
});

Deno.test("a batch that is lost is a gap of all its messages, one that comes again is ignored", {
  permissions,
}, async () => {
  await using pair = new Pair();
  await pair.join("hall");
  const fates = [1, 0, 2, 1];
  pair.network.carry = (deliver) => {
    for (let copies = fates.shift()!; copies > 0; copies--) deliver();
  };
  for (let batch = 0; batch < 4; batch++) {
    for (let at = 0; at <= batch; at++) pair.hub.publish("hall", `${batch}.${at}\n`);
    await settle();
  }
  assertEquals(pair.gaps, [[2, 3]]);
  const { received, lost, ignored } = pair.other.stats();
  assertEquals({ received, lost, ignored }, { received: 8, lost: 2, ignored: 3 });
  assertEquals(await pair.lines("hall"), [
    ...["0.0", "2.0", "2.1", "2.2", "3.0", "3.1", "3.2", "3.3"],
  ]);
});

Deno.test("batches have a limited size, and what waits in a turn has, too", {
  permissions,
}, async () => {
  await using pair = new Pair();
  await pair.join("hall");
  const size = 10_000; // that of the bus
  for (let at = 0; at < 400; at++) pair.hub.publish("hall", `${at}`.padEnd(99) + "\n");
  const largest = "x".repeat(size - sizeOf("hall", { key: "", payload: new Uint8Array(0) }));
  pair.hub.publish("hall", largest);
  assertThrows(() => pair.hub.publish("hall", largest + "x"), RangeError, "got 10001 with its");
  pair.hub.publish("hall", "\nlast\n");
  const sizes = pair.bus.batches.map(({ content }) => content.length);
  assert(sizes.length > 4 && Math.max(...sizes) <= size, `${sizes}`);

  const before = pair.bus.batches.length;
  for (let at = 0; at < 10_000; at++) pair.hub.publish(`garden ${at}`, "");
  const waiting = before + 10_000 - pair.bus.batches.length;
  assert(waiting < 3000, `${waiting}`); // although they have no bytes
  await settle();
  assertEquals(pair.bus.batches.length, before + 1 + 10_000); // and the last one in the hall
  const lines = await pair.lines("hall");
  assertEquals([lines.length, lines[399]!.trim(), lines.at(-1)], [402, "399", "last"]);
  assertEquals([pair.gaps, pair.errors], [[], []]);
});

Deno.test(
  "what was published in the turn in which the bus goes away waits, and is sent by close()",
  {
    permissions,
  },
  async () => {
    await using pair = new Pair();
    await pair.join("hall");
    assert(pair.hub.publish("hall", "1\n"));
    assert(pair.hub.publish("hall", "2\n"));
    pair.bus.isReady = false;
    await settle();
    assert(pair.hub.stats().backlog > 0);
    pair.hub.publish("hall", "3\n");
    pair.bus.isReady = true;
    pair.hub.publish("hall", "4\n");
    await pair.hub.close();
    assertEquals(pair.bus.texts(), [["1", "2"], ["3"], ["4"]]);
    assertEquals(await pair.lines("hall"), ["1", "2", "3", "4"]);
    assertEquals([pair.gaps, pair.hub.stats().unpublished], [[], 0]);
  },
);

Deno.test("what was published in the turn in which the bus goes away counts if it has no room", {
  permissions,
}, async () => {
  const bus = new NotingBus(new TestNetwork());
  await using hub = new Hub({ bus, maxBacklog: 100 });
  for (const at of [1, 2, 3]) assert(hub.publish("hall", `${at}`.padEnd(50)));
  bus.isReady = false;
  await settle();
  assertEquals([hub.stats().unpublished, hub.stats().backlog], [3, 0]);
});

Deno.test("messages with and without a trace stay in order, and have one numbering", {
  permissions,
}, async () => {
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  let now: string | undefined;
  await using pair = new Pair({ traceparent: () => now, onDelivery: () => {} });
  await pair.join("hall");
  for (const text of ["a", "A", "B", "c", "d", "E"]) {
    now = text < "a" ? trace : undefined;
    pair.hub.publish("hall", `${text}\n`);
  }
  await settle();
  assertEquals(pair.bus.batches.map(({ number, count }) => [number, count]), [
    ...[[1, 1], [2, 2], [4, 2], [6, 1]],
  ]);
  assertEquals(await pair.lines("hall"), ["a", "A", "B", "c", "d", "E"]);
  assertEquals(pair.gaps, []);
});

const name = fc.string({ unit: "binary", maxLength: 100 });
const batches = fc.record({
  kind: fc.integer({ min: 0, max: 255 }),
  sender: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  epoch: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  number: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  elapsed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  group: name,
  messages: fc.array(
    fc.record({
      key: fc.oneof(fc.constant(""), name),
      payload: fc.uint8Array({ minLength: CONTEXT, maxLength: 100 }),
    }),
    { minLength: 1, maxLength: 20 },
  ),
});

function encode(
  { kind, group, messages, ...number }: typeof batches extends fc.Arbitrary<infer One> ? One
    : never,
): Uint8Array {
  const batch = new Outgoing(kind as Kind, group, messages[0]!);
  for (const message of messages.slice(1)) assert(batch.add(message, Infinity));
  return batch.encode(number).slice();
}

/** Decodes, if possible, and checks that what is there are parts of the bytes, one after the other. */
function tryDecode(bytes: Uint8Array): BusMessage[] | undefined {
  let batch: Batch;
  try {
    batch = decodeBatch(bytes);
  } catch (error) {
    assert(error instanceof MalformedFrameError, `${error}`);
    return;
  }
  const messages = messagesOf(batch.content);
  assertEquals(messages.length, batch.count);
  assert(batch.count > 0);
  let end = batch.content.byteOffset;
  for (const { payload } of messages) {
    assert(payload.buffer === bytes.buffer && payload.byteOffset >= end + 6);
    assert(batch.kind !== TRACED || payload.length >= CONTEXT);
    end = payload.byteOffset + payload.length;
  }
  assertEquals(end, bytes.byteOffset + bytes.length);
  return messages;
}

Deno.test("batches survive encoding, and parts of them are refused or whole messages", {
  permissions,
}, () => {
  fc.assert(fc.property(batches, (batch) => {
    const bytes = encode(batch);
    const { content, count, ...rest } = decodeBatch(bytes);
    assertEquals({ ...rest, messages: messagesOf(content) }, batch);
    assertEquals(count, batch.messages.length);
    if (count === 1) assertEquals(sizeOf(batch.group, batch.messages[0]!), bytes.length);
    const kept = new Set<number>();
    for (let end = 0; end < bytes.length; end++) {
      const messages = tryDecode(bytes.subarray(0, end));
      if (messages === undefined) continue;
      assertEquals(messages, batch.messages.slice(0, messages.length));
      kept.add(messages.length);
    }
    assertEquals(kept.size, count - 1); // cut between two messages
    bytes[0] = 2;
    assertThrows(() => decodeBatch(bytes), MalformedFrameError, "has version 2");
  }));
});

Deno.test("any other bytes are refused as a batch, or are whole messages", {
  permissions,
}, () => {
  const random = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(random, (bytes) => {
      tryDecode(bytes);
      if (bytes.length > 0) bytes[0] = 1;
      if (bytes.length > 23) bytes.fill(0, 22, 23);
      tryDecode(bytes);
    }),
    { numRuns: 3000 },
  );
  const edits = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(batches, edits, fc.nat(), (batch, edits, at) => {
      const bytes = encode(batch);
      for (const [place, value] of edits) bytes[place % bytes.length] = value;
      tryDecode(bytes);
      const cut = at % bytes.length;
      tryDecode(bytes.slice(cut));
      tryDecode(new Uint8Array([...bytes.subarray(0, cut), ...bytes]));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("a Hub reports malformed batches, and delivers nothing of them", {
  permissions,
}, async () => {
  await using pair = new Pair();
  await pair.join("hall");
  const messages = ["1\n", "2\n"].map((text) => ({
    key: "",
    payload: new TextEncoder().encode(text),
  }));
  const number = { sender: 1, epoch: 1, number: 1, elapsed: 0 };
  const bytes = encode({ kind: 1, group: "hall", messages, ...number });
  const { listener } = pair.network.buses[1]!;
  const problems = (): string[] =>
    pair.errors.splice(0).map((error) => {
      assert(error instanceof MalformedFrameError);
      return error.message.replace(/ \(at .*/, "");
    });
  listener!.onMessage(bytes.subarray(0, 23));
  listener!.onMessage(bytes.subarray(0, 27));
  listener!.onMessage(bytes.subarray(0, 28));
  listener!.onMessage(bytes.subarray(0, 35));
  listener!.onMessage(bytes.subarray(0, 39));
  listener!.onMessage(bytes.subarray(0, 43));
  assertEquals(problems(), [
    "a batch on the bus has 23 bytes, but its header has 24",
    "a batch on the bus has 27 bytes, but its group ends at 28",
    "a batch on the bus ends in the header of message 1",
    "a batch on the bus has 35 bytes, but message 1 ends at 36",
    "a batch on the bus ends in the header of message 2",
    "a batch on the bus has 43 bytes, but message 2 ends at 44",
  ]);
  assertEquals(pair.other.stats().received, 0);
  listener!.onMessage(bytes);
  assertEquals(await pair.lines("hall"), ["1", "2"]);
});
