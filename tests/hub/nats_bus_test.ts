import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals, assertThrows } from "@std/assert";
import { type Bus, Hub, natsBus } from "../../hub/mod.ts";
import { hasNats, startNats } from "../_nats.ts";
import { bounded, until } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { type Broker, SCENES, Side } from "./_brokers.ts";
import { HISTORY_SCENES } from "./_history_scenes.ts";

const withNats = { ...bounded, ignore: !hasNats };

async function natsBroker(): Promise<Broker & { connect(): Promise<NatsConnection> }> {
  const directory = await makeTempDir();
  let { program, port } = await startNats(undefined, directory.path);
  const connections: NatsConnection[] = [];
  const open = async (): Promise<NatsConnection> => {
    const connection = await connect({
      ...{ servers: `127.0.0.1:${port}`, maxReconnectAttempts: -1, reconnectTimeWait: 50 },
      noEcho: true,
    });
    connections.push(connection);
    return connection;
  };
  return {
    connect: open,
    async bus(prefix, history): Promise<Bus> {
      const connection = await open();
      const jetstream = history && await jetstreamManager(connection);
      return natsBus(connection, {
        ...(prefix !== undefined && { prefix }),
        ...(jetstream !== undefined && { history: { ...history, jetstream } }),
      });
    },
    signal: (signal) => program.kill(signal),
    kill: () => program[Symbol.asyncDispose](),
    async restart(): Promise<void> {
      ({ program } = await startNats(port, directory.path));
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all(connections.map((connection) => connection.close()));
      await program[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

for (const [shows, scene] of Object.entries({ ...SCENES, ...HISTORY_SCENES })) {
  Deno.test(`natsBus() ${shows}`, withNats, async () => {
    await using broker = await natsBroker();
    await scene(broker);
  });
}

Deno.test(
  "natsBus() gets a message once, however alike the names of groups are",
  withNats,
  async () => {
    await using broker = await natsBroker();
    const connection = await broker.connect();
    await using a = new Side(natsBus(connection));
    await using b = new Side(await broker.bus());
    const ends = Array.from({ length: 100 }, (_, at) => `${at}`);
    const names = ["x".repeat(1000), "€".repeat(60), "\u{10ffff}".repeat(500)]
      .flatMap((start) => ends.map((end) => start + end));
    await Promise.all(names.map((name) => a.hub.join(name, a.session)));
    const before = connection.stats().inMsgs;
    for (const at of names.keys()) b.hub.publish(names[at]!, `${at}\n`);
    await until(() => a.lines.length === names.length);
    await connection.flush();
    assertEquals(connection.stats().inMsgs - before, names.length);
    assertEquals([a.errors, b.errors, a.hub.stats().ignored], [[], [], 0]);
  },
);

Deno.test("natsBus() serves one hub", withNats, async () => {
  await using broker = await natsBroker();
  const bus = await broker.bus();
  await using _hub = new Hub({ bus });
  assertThrows(() => new Hub({ bus }), TypeError, "this bus is used by another hub already");
});

Deno.test(
  "a prefix is made of tokens that mean nothing to a broker",
  { permissions: "none" },
  () => {
    const no = (): never => {
      throw new Error("not called");
    };
    const methods = { publish: no, subscribe: no, flush: no, status: no, isClosed: () => false };
    const connection = methods as Partial<NatsConnection> as NatsConnection;
    for (const prefix of ["a", "a-b.c_D.1", "x".repeat(128)]) natsBus(connection, { prefix });
    for (
      const prefix of ["", ".", "a.", ".a", "a..b", "*", ">", "a b", "ä", "a\n", "x".repeat(129)]
    ) {
      assertThrows(() => natsBus(connection, { prefix }), RangeError, "prefix must be 1 to 128 ");
    }
    // @ts-expect-error no string
    assertThrows(() => natsBus(connection, { prefix: 1 }), TypeError, "prefix must be a string");
  },
);
