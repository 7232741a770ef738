import { assert, assertEquals } from "@std/assert";
import { Hub } from "../../hub/mod.ts";
import { canUnix } from "../_permissions.ts";
import { DATA, Outgoing } from "../../hub/message.ts";
import { fromBytes, hasRedisServer, RawClient } from "../_redis.ts";
import { bounded, until } from "../_serving.ts";
import { Side } from "./_brokers.ts";
import { nodeRedis } from "./_node_redis.ts";
import { redisBroker } from "./_redis_broker.ts";

const withRedis = { ...bounded, ignore: !hasRedisServer || !canUnix };

/** Two hubs with a member in the hall each, and a client of the server. */
async function setUp(history = {}): Promise<
  AsyncDisposable & { a: Side; b: Side; raw: RawClient }
> {
  const stack = new AsyncDisposableStack();
  const broker = stack.use(await redisBroker(nodeRedis));
  const raw = stack.use(
    new RawClient(await Deno.connect({ transport: "unix", path: broker.path })),
  );
  const a = stack.use(new Side(await broker.bus("parley", history)));
  const b = stack.use(new Side(await broker.bus("parley", history)));
  await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
  return { a, b, raw, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Asks until the answer is the expected one. */
async function answers(raw: RawClient, words: string[], reply: string): Promise<void> {
  while (await raw.ask(...words) !== reply) await new Promise((resolve) => setTimeout(resolve, 5));
}

function messagesOf({ errors }: Side): string[] {
  return errors.map((error) => (error as Error).message);
}

Deno.test(
  "redisBus() reads what it has missed while only its subscriber was away",
  withRedis,
  async () => {
    await using all = await setUp();
    const { a, b, raw } = all;
    for (let at = 1; at <= 200; at++) {
      a.hub.publish("hall", `${at}\n`);
      if (at % 40 === 0) {
        assert((await raw.ask("CLIENT", "KILL", "TYPE", "pubsub")).startsWith(":"));
      }
    }
    await until(() => b.lines.length === 200 && b.hub.stats().isBusReady);
    assertEquals(b.lines, a.lines);
    assertEquals([b.gaps, b.hub.stats().lost], [[], 0]);
    assert(b.states.length > 0);
  },
);

Deno.test(
  "redisBus() skips entries that are not from a hub, and tells of them",
  withRedis,
  async () => {
    await using all = await setUp();
    const { a, b, raw } = all;
    b.hub.leave("hall", b.session);
    a.hub.publish("hall", "1\n");
    await answers(raw, ["XLEN", "parley:hall"], ":2\r\n");
    const huge = "x".repeat(3 * 1024 * 1024);
    for (
      const fields of [["a", "b"], ["message", "garbage"], ["message", ""], ["message", huge], [
        ...["message", "1", "message", "2"],
      ]]
    ) await raw.ask("XADD", "parley:hall", "*", ...fields);
    await raw.ask("PUBLISH", "parley:hall", "\x02\x03\x01abc0garbage");
    await raw.ask("PUBLISH", "parley:hall", "\x02\xff\xff");
    a.hub.publish("hall", "2\n");
    await answers(raw, ["XLEN", "parley:hall"], ":8\r\n");
    await b.hub.join("hall", b.session, { last: 100 });
    await until(() => b.lines.length === 2);
    assertEquals(b.lines, ["1", "2"]);
    assertEquals(b.gaps, []);
    const told = messagesOf(b);
    assertEquals(
      told.filter((text) =>
        /^the entry \S+ of the stream "parley:hall", with \d+ bytes, is no /.test(text)
      ).length,
      3,
    );
    assert(told.some((text) => text.includes(`with ${huge.length + 7} bytes`)));
    assertEquals(told.filter((text) => text.startsWith("a batch on the bus has ")).length, 2);
    assertEquals(told.length, 5);
    assertEquals(messagesOf(a).length, 7); // the channel brought two more
  },
);

Deno.test(
  "redisBus() goes on without a history that Redis refuses, and tells of it",
  withRedis,
  async () => {
    await using all = await setUp();
    const { a, b, raw } = all;
    const expect = async (line: string, error: RegExp): Promise<void> => {
      a.hub.publish("hall", `${line}\n`);
      await until(() => b.lines.at(-1) === line && a.errors.length > 0);
      assert(messagesOf(a).some((text) => error.test(text)), `${messagesOf(a)}`);
      a.errors.length = 0;
    };
    await raw.ask("DEL", "parley:hall");
    await raw.ask("SET", "parley:hall", "a string");
    await expect("of the wrong type", /^a message is not kept: WRONGTYPE/);
    await raw.ask("DEL", "parley:hall");
    await raw.ask("XADD", "parley:hall", "18446744073709551615-18446744073709551615", "a", "b");
    await expect("without a position", /^a message is not kept: ERR The stream has exhausted/);
    await raw.ask("DEL", "parley:hall");
    await raw.ask("CONFIG", "SET", "maxmemory", "1");
    await expect("without memory", /OOM/);
    await raw.ask("CONFIG", "SET", "maxmemory", "0");
    a.hub.publish("hall", "kept\n");
    await until(() => b.lines.at(-1) === "kept");
    assertEquals(await raw.ask("XLEN", "parley:hall"), ":1\r\n");
    assertEquals(b.gaps, []);
  },
);

Deno.test("redisBus() goes on with a Redis that has lost its data", withRedis, async () => {
  await using all = await setUp();
  const { a, b, raw } = all;
  for (let round = 0; round < 5; round++) {
    for (let at = 0; at < 10; at++) a.hub.publish("hall", `${round} ${at}\n`);
    await until(() => b.lines.length === (round + 1) * 10);
    await raw.ask("FLUSHALL");
  }
  assertEquals(b.lines, a.lines);
  assertEquals([a.errors, b.errors, b.gaps], [[], [], []]);
});

Deno.test(
  "redisBus() delivers nothing from before when Redis loses the end of a history",
  withRedis,
  async () => {
    await using stack = new AsyncDisposableStack();
    const broker = stack.use(await redisBroker(nodeRedis));
    using raw = new RawClient(await Deno.connect({ transport: "unix", path: broker.path }));
    const before = new Hub({ bus: await broker.bus("parley", {}) });
    for (let at = 0; at < 100; at++) before.publish("hall", `before ${at}\n`);
    await before.close();
    await answers(raw, ["XLEN", "parley:hall"], ":100\r\n");
    const a = stack.use(new Side(await broker.bus("parley", {})));
    const b = stack.use(new Side(await broker.bus("parley", {})));
    await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
    for (let at = 0; at < 10; at++) a.hub.publish("hall", `${at}\n`);
    await until(() => b.lines.length === 10);
    // As if a replica had taken over that did not have the last message yet.
    const last = b.hub.position("hall", b.session)!;
    assertEquals(await raw.ask("XDEL", "parley:hall", last), ":1\r\n");
    assert((await raw.ask("CLIENT", "KILL", "TYPE", "pubsub")).startsWith(":"));
    await until(() => b.hub.stats().ignored > 0); // it has read again what it has had
    a.hub.publish("hall", "10\n");
    await until(() => b.lines.at(-1) === "10");
    const expected = Array.from({ length: 11 }, (_, at) => `${at}`);
    for (const { lines } of [a, b]) assertEquals(lines, expected);
    assertEquals(b.gaps, []);
  },
);

Deno.test("redisBus() reads all of a history that has begun again", withRedis, async () => {
  await using all = await setUp();
  const { b, raw } = all;
  const put = async (position: string, number: number): Promise<void> => {
    const payload = new TextEncoder().encode(`${number}\n`);
    const bytes = new Outgoing(DATA, "hall", { key: "", payload })
      .encode({ sender: 7, epoch: 1, number, elapsed: 0 });
    const id = await raw.ask("XADD", "parley:hall", position, "message", fromBytes(bytes));
    assertEquals(id, `$${position.length}\r\n${position}\r\n`);
  };
  const beginning = parseInt(b.hub.position("hall", b.session)!);
  await raw.ask("DEL", "parley:hall");
  // It has got beyond where it has begun in this process, but not to where it was.
  await put(`${beginning + 3_600_000}-0`, 1);
  await raw.ask("CLIENT", "KILL", "TYPE", "pubsub");
  await until(() => b.lines.length === 1);
  await raw.ask("DEL", "parley:hall");
  await put(`${beginning - 1}-0`, 2);
  await put(`${beginning + 1}-0`, 3);
  await raw.ask("CLIENT", "KILL", "TYPE", "pubsub");
  await until(() => b.lines.at(-1) === "3");
  assertEquals(b.lines, ["1", "2", "3"]);
  assertEquals(b.gaps, []);
});

Deno.test("redisBus() keeps so many messages, for so long", withRedis, async () => {
  await using all = await setUp({ maxMessages: 50, maxAge: 2000 });
  const { a, b, raw } = all;
  for (let at = 0; at < 1000; at++) a.hub.publish("hall", `${at}\n`);
  await until(() => b.lines.length === 1000);
  const [, length] = /^:(\d+)/.exec(await raw.ask("XLEN", "parley:hall"))!;
  assert(Number(length) >= 50 && Number(length) <= 200, length);
  await answers(raw, ["EXISTS", "parley:hall"], ":0\r\n");
  assertEquals(await raw.ask("DBSIZE"), ":1\r\n"); // the number of the last batch, for an hour
});

Deno.test("redisBus() stores a batch once, however often it is sent", withRedis, async () => {
  await using all = await setUp();
  const { a, b, raw } = all;
  for (let at = 0; at < 300; at++) {
    a.hub.publish("hall", `${at}\n`);
    if (at % 30 === 0) await raw.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  }
  await until(() => b.lines.length === 300 && a.hub.stats().isBusReady);
  assertEquals(b.lines, a.lines);
  await answers(raw, ["XLEN", "parley:hall"], ":301\r\n");
  assertEquals(b.gaps, []);
});
