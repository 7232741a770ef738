// The example of MQTT with clients by hand, which may say anything.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Broker, type BrokerLimits, DEFAULT_LIMITS } from "../../examples/mqtt/broker.ts";
import { packetCodec } from "../../examples/mqtt/packets.ts";
import { serveMqtt } from "../../examples/mqtt/server.ts";
import { TopicTree } from "../../examples/mqtt/topics.ts";
import { Hub } from "../../hub/mod.ts";
import { connect, type Server, type Session, type SessionEnd } from "../../mod.ts";
import { sessionPair } from "../../testing/mod.ts";
import { TestNetwork } from "../hub/_bus.ts";
import { connectPacket, MqttPeer, packet, publishPacket, text } from "../_mqtt.ts";
import { overNet, portOf, settle, until } from "../_serving.ts";

interface TestBroker extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  readonly ends: SessionEnd[];
}

/** A broker that must not fail by itself, whatever its clients do. */
function serveBroker(limits?: Partial<BrokerLimits>): TestBroker {
  const ends: SessionEnd[] = [];
  const errors: unknown[] = [];
  const observer = { onSessionEnd: (_: Session, end: SessionEnd) => void ends.push(end) };
  const onError = (error: unknown): unknown => errors.push(error);
  const server = serveMqtt({ port: 0, observer, onError }, limits);
  return {
    server,
    port: portOf(server),
    ends,
    async [Symbol.asyncDispose](): Promise<void> {
      await server.shutdown();
      assertEquals(errors, []);
    },
  };
}

const PING = packet(0xc0);
const DISCONNECT = packet(0xe0);
const subscribePacket = (...parts: (number | number[])[]): number[] => packet(0x82, 0, 1, ...parts);

Deno.test(
  "mqtt() passes on what was published, by wildcards too, and once to each",
  overNet,
  async () => {
    await using broker = serveBroker();
    await using rose = await MqttPeer.enter(broker.port);
    await using think = await MqttPeer.enter(broker.port);
    await rose.subscribe(["a/+", 0], ["a/#", 1], ["a/b", 0], ["+/+", 1]);
    await think.subscribe(["#", 0]);
    await think.send(
      ...[publishPacket("a/b", "one"), publishPacket("a", "two", { id: 7 })],
      ...[publishPacket("/", "three", { id: 8 }), publishPacket("$SYS/a", "four")],
      ...[publishPacket("b", "five"), publishPacket("a/b", "", { retain: true })],
    );
    assertEquals(await think.readAll(), [
      ...["publish0 a/b: one", "publish0 a: two", "puback 7", "publish0 /: three", "puback 8"],
      ...["publish0 b: five", "publish0 a/b: "],
    ]);
    assertEquals(await rose.readAll(), [
      ...["publish0 a/b: one", "publish1 1 a: two", "publish1 2 /: three", "publish0 a/b: "],
    ]);
    await think.send(publishPacket("a/b", "high", { id: 9 }));
    await think.readAll();
    assertEquals(await rose.readAll(), ["publish1 3 a/b: high"]);
    await rose.send(packet(0xa2, 0, 9, text("a/#"), text("nothing"), text("+/+"), text("a/+")));
    assertEquals(await rose.read(), "unsuback 9");
    await think.send(publishPacket("a/b", "six"), publishPacket("a/c", "seven"));
    await think.readAll();
    assertEquals(await rose.readAll(), ["publish0 a/b: six"]);
  },
);

Deno.test("mqtt() is one broker over all processes of a bus", overNet, async () => {
  const network = new TestNetwork();
  const errors: unknown[] = [];
  const limits = { maxPacket: 9000 };
  const serveOne = (): Server =>
    serveMqtt({ port: 0, bus: network.bus(), onError: (error) => errors.push(error) }, limits);
  await using here = serveOne();
  await using there = serveOne();
  const will = { topic: "b/will", payload: "gone", qos: 1, retain: true };
  await using rose = await MqttPeer.enter(portOf(here), { will });
  await using think = await MqttPeer.enter(portOf(there));
  await rose.subscribe(["a/#", 1]);
  await think.subscribe(["a/+", 1], ["b/#", 0]);
  await rose.send(
    ...[publishPacket("a/b", "one"), publishPacket("a/b", "two", { id: 7 })],
    ...[publishPacket("a/b/c", "three"), publishPacket("b", "four", { id: 8, retain: true })],
    publishPacket("a/long", "x".repeat(8900)),
  );
  for (const expected of ["publish0 a/b: one", "publish1 1 a/b: two", "publish0 b: four"]) {
    assertEquals(await think.read(), expected);
  }
  assertEquals((await think.read())?.length, 8900 + "publish0 a/long: ".length);
  const own = [...await rose.readAll(), ...await rose.readAll()]; // each once
  assertEquals(own.map((line) => line.slice(0, 21)), [
    ...[
      "publish0 a/b: one",
      "publish1 1 a/b: two",
      "puback 7",
      "publish0 a/b/c: three",
      "puback 8",
    ],
    "publish0 a/long: xxxx",
  ]);

  await using other = new Hub({ bus: network.bus() });
  other.publish("mqtt", new Uint8Array([0xf0, 0]));
  await until(() => errors.length === 2);
  for (const error of errors.splice(0)) assertMatch(`${error}`, /a packet that begins with 0xf0/);
  rose.session.abort();
  assertEquals(await think.read(), "publish0 b/will: gone");
  await using late = await MqttPeer.enter(portOf(there));
  await late.subscribe(["#", 1]);
  assertEquals(await late.readAll(), [
    ...["publish1 retain 1 b: four", "publish1 retain 2 b/will: gone"],
  ]);
  assertEquals(errors, []);
});

Deno.test("mqtt() tells which messages of other brokers it has lost", overNet, async () => {
  const network = new TestNetwork();
  const errors: unknown[] = [];
  const onError = (error: unknown): unknown => errors.push(error);
  await using server = serveMqtt({ port: 0, bus: network.bus(), onError }, { maxPacket: 9000 });
  await using rose = await MqttPeer.enter(portOf(server));
  await rose.subscribe(["a", 1]);
  await using other = new Hub({ bus: network.bus() });
  const { carry } = network;
  const publish = (text: string): boolean =>
    other.publish("mqtt", new Uint8Array(publishPacket("a", text, { id: 1 })));

  publish("one");
  await settle();
  network.carry = () => {};
  publish("lost");
  await settle();
  network.carry = carry;
  publish("two");
  assertEquals([await rose.read(), await rose.read()], ["publish1 1 a: one", "publish1 2 a: two"]);
  assertEquals(`${errors.splice(0)}`, "Error: messages of other brokers were lost on the bus: 1");

  for (let i = 0; i < 300; i++) publish("x".repeat(8000)); // 2.4 MB at once, of which 1 MiB may wait
  await until(() => errors.length > 0);
  const [, lost] = /since this one was too slow: (\d+)$/.exec(`${errors.splice(0)}`) ?? [];
  assert(Number(lost) > 100 && Number(lost) < 250, lost);

  await server.shutdown();
  await until(() => network.buses[0]!.isClosed);
});

Deno.test("mqtt() refuses packets that are too large for its bus", overNet, () => {
  assertThrows(
    () => serveMqtt({ port: 0, bus: new TestNetwork().bus() }),
    RangeError,
    "maxPacket must be at most 9936 on this bus, got 262144",
  );
});

/** What a client may not say, once it has said who it is. */
const BAD: Record<string, number[]> = {
  "a length that does not end": [0x30, 0x80, 0x80, 0x80, 0x80, 0],
  "a length that cannot end": [0x30, 0xff, 0xff, 0xff, 0xff],
  "a packet that is too long": [0x30, 0x80, 0x80, 0x40],
  "a second CONNECT": connectPacket({}),
  "type 0": packet(0x00),
  "CONNACK": packet(0x20, 0, 0),
  "PUBREC": packet(0x50, 0, 1),
  "SUBACK": packet(0x90, 0, 1, 0),
  "type 15": packet(0xf0),
  "flags of PINGREQ": packet(0xc1),
  "flags of SUBSCRIBE": packet(0x80, 0, 1, text("a"), 0),
  "a PINGREQ with more": packet(0xc0, 0),
  "a PUBACK with more": packet(0x40, 0, 1, 0),
  "QoS 2": packet(0x34, text("a"), 0, 1),
  "QoS 3": packet(0x36, text("a"), 0, 1),
  "an empty topic": packet(0x30, text("")),
  "a topic that is cut off": packet(0x30, 0, 5, [0x61]),
  "no topic": packet(0x30),
  "a topic with +": packet(0x30, text("a/+")),
  "a topic with #": packet(0x30, text("a#")),
  "a topic with NUL": packet(0x30, text("a\0")),
  "a topic that is no UTF-8": packet(0x30, text(new Uint8Array([0xc3, 0x28]))),
  "a topic of too many levels": packet(0x30, text("/".repeat(64))),
  "a topic that is too long": packet(0x30, text("a".repeat(1025))),
  "a packet identifier of 0": publishPacket("a", "", { id: 0 }),
  "no packet identifier": packet(0x32, text("a"), 1),
  "a subscription to nothing": subscribePacket(),
  "a subscription without QoS": subscribePacket(text("a")),
  "a subscription with QoS 3": subscribePacket(text("a"), 3),
  "a subscription with 0": packet(0x82, 0, 0, text("a"), 0),
  "a filter that is empty": subscribePacket(text(""), 0),
  "a filter with # in between": subscribePacket(text("a/#/b"), 0),
  "a filter with # behind a letter": subscribePacket(text("a#"), 0),
  "a filter with + behind a letter": subscribePacket(text("a+/b"), 0),
  "a filter of too many levels": subscribePacket(text("+/".repeat(64)), 0),
  "UNSUBSCRIBE of nothing": packet(0xa2, 0, 1),
};

for (const [what, bytes] of Object.entries(BAD)) {
  Deno.test(`mqtt() ends a client that sends ${what}, and no other`, overNet, async () => {
    await using broker = serveBroker();
    await using witness = await MqttPeer.enter(broker.port);
    await witness.subscribe(["will", 0]);
    const will = { topic: "will", payload: "gone" };
    await using bad = await MqttPeer.enter(broker.port, { will });
    await bad.send(bytes, PING);
    assertEquals(await bad.read().catch(() => undefined), undefined);
    assertEquals(await witness.read(), "publish0 will: gone");
    assertEquals(await witness.readAll(), []);
    await bad.session.close();
    await until(() => broker.ends.length > 0);
    assertMatch(broker.ends[0]!.reason, /error|limit|local/);
  });
}

/** What begins no session. */
const NO_CONNECT: Record<string, [bytes: number[], reply?: string]> = {
  "PINGREQ": [PING],
  "nothing but a PUBLISH": [publishPacket("will", "")],
  "CONNECT of another protocol": [packet(0x10, text("HTTP"), 4, 2, 0, 0, text(""))],
  "CONNECT of MQTT 3.1": [packet(0x10, text("MQIsdp"), 3, 2, 0, 0, text("a")), "connack new 1"],
  "CONNECT of MQTT 5": [packet(0x10, text("MQTT"), 5, 2, 0, 0, 0, text("")), "connack new 1"],
  "CONNECT without a name": [connectPacket({ isClean: false }), "connack new 2"],
  "CONNECT with a reserved flag": [packet(0x10, text("MQTT"), 4, 3, 0, 0, text(""))],
  "CONNECT with QoS of no will": [packet(0x10, text("MQTT"), 4, 10, 0, 0, text(""))],
  "CONNECT with a password alone": [packet(0x10, text("MQTT"), 4, 0x42, 0, 0, text(""), text(""))],
  "CONNECT with a will in QoS 3": [
    packet(0x10, text("MQTT"), 4, 0x1e, 0, 0, text(""), text("will"), text("")),
  ],
  "CONNECT with a will for many": [connectPacket({ will: { topic: "#", payload: "" } })],
  "CONNECT that is cut off": [packet(0x10, text("MQTT"), 4, 2, 0)],
  "CONNECT with more": [[...packet(0x10, text("MQTT"), 4, 2, 0, 0, text(""), 0)]],
};

for (const [what, [bytes, reply]] of Object.entries(NO_CONNECT)) {
  Deno.test(`mqtt() does not let in who begins with ${what}`, overNet, async () => {
    await using broker = serveBroker();
    await using witness = await MqttPeer.enter(broker.port);
    await witness.subscribe(["#", 0]);
    const bad = new MqttPeer(await connect({ port: broker.port }));
    await bad.send(bytes, PING);
    if (reply !== undefined) assertEquals(await bad.read(), reply);
    assertEquals(await bad.read().catch(() => undefined), undefined);
    assertEquals(await witness.readAll(), []);
    await bad.session.close();
  });
}

Deno.test("mqtt() takes a name and a password, and every will", overNet, async () => {
  await using broker = serveBroker();
  await using witness = await MqttPeer.enter(broker.port);
  await witness.subscribe(["will/#", 2 - 1]);
  const connectWith = (flags: number, ...parts: number[][]): number[] =>
    packet(0x10, text("MQTT"), 4, flags, 0, 0, text(""), ...parts);
  const will = [text("will/x"), text("\0\xff")];
  const openings: [opening: number[], told: string[]][] = [
    [connectWith(0x02), []],
    [connectWith(0xc2, text("rose"), text("secret")), []],
    [connectWith(0x82, text("rose")), []],
    [connectWith(0x06, ...will), ["publish0 will/x: \0\xc3\xbf"]],
    [connectWith(0x0e, ...will), ["publish1 1 will/x: \0\xc3\xbf"]],
    [connectWith(0x16, ...will), ["publish1 2 will/x: \0\xc3\xbf"]],
    [connectWith(0xe6, ...will, text("rose"), text("")), ["publish0 will/x: \0\xc3\xbf"]],
  ];
  for (const [opening, told] of openings) {
    for (const goodbye of [[], [DISCONNECT]]) {
      const peer = new MqttPeer(await connect({ port: broker.port }));
      await peer.send(opening, ...goodbye);
      assertEquals(await peer.read(), "connack new 0");
      await peer.session.close();
      const { length } = broker.ends;
      await until(() => broker.server.sessions.size === 1 && broker.ends.length >= length);
      const got = await witness.readAll();
      if (goodbye.length > 0) assertEquals(got, []);
      else {assertEquals(
          got.map((line) => line.replace(/publish1 \d/, "publish1 *")),
          told.map((line) => line.replace(/publish1 \d/, "publish1 *")),
        );}
    }
  }
  await using late = await MqttPeer.enter(broker.port);
  await late.subscribe(["will/#", 0]);
  assertEquals(await late.readAll(), ["publish0 retain will/x: \0\xc3\xbf"]); // 0xe6 retains
});

Deno.test("mqtt() ends a client that is silent for 1.5 × its keep-alive", overNet, async () => {
  await using broker = serveBroker();
  await using witness = await MqttPeer.enter(broker.port);
  await witness.subscribe(["will", 0]);
  await using silent = await MqttPeer.enter(broker.port, {
    keepAlive: 1,
    will: { topic: "will", payload: "gone" },
  });
  await silent.subscribe(["news", 0]);
  await using talking = await MqttPeer.enter(broker.port, { keepAlive: 1 });
  const since = performance.now();
  const told = witness.read();
  let isOver = false;
  told.then(() => isOver = true);
  while (!isOver) { // it is sent something all the time
    await talking.send(publishPacket("news", "x"), PING);
    assertEquals(await talking.read(), "pingresp");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertEquals(await told, "publish0 will: gone");
  assert(performance.now() - since >= 1400);
  assertEquals(broker.ends.map(({ reason }) => reason), ["read-idle"]);
  await talking.send(PING);
  assertEquals(await talking.read(), "pingresp");
});

Deno.test("mqtt() retains the last message of a topic, up to its limits", overNet, async () => {
  await using broker = serveBroker({ maxRetained: 3, maxRetainedBytes: 100 });
  await using rose = await MqttPeer.enter(broker.port);
  const retained = async (...filters: [string, number][]): Promise<string[]> => {
    await using peer = await MqttPeer.enter(broker.port);
    await peer.subscribe(...filters);
    return await peer.readAll();
  };
  const retain = async (topic: string, payload: string, id?: number): Promise<void> => {
    await rose.send(publishPacket(topic, payload, { retain: true, ...(id && { id }) }));
    assertEquals(await rose.readAll(), id ? [`puback ${id}`] : []);
  };
  await retain("a/1", "one");
  await retain("a/2", "two", 1);
  await retain("a/1", "again");
  assertEquals((await retained(["a/#", 1])).toSorted(), [
    "publish0 retain a/1: again",
    "publish1 retain 1 a/2: two",
  ]);
  assertEquals(await retained(["+/1", 0], ["a/1", 1], ["b", 0]), ["publish0 retain a/1: again"]);
  await retain("a/1", "");
  assertEquals(await retained(["#", 0]), ["publish0 retain a/2: two"]);
  for (const topic of ["b", "c", "d"]) await retain(topic, "x"); // of which one is too many
  assertEquals((await retained(["#", 0])).length, 3);
  await retain("b", "");
  await retain("d", "x".repeat(100)); // too large
  await retain("e", "y".repeat(90));
  assertEquals(await retained(["d", 0], ["e", 0]), [`publish0 retain e: ${"y".repeat(90)}`]);
  await retain("c", "zz".repeat(20)); // no room for the new one, and the old one is past
  assertEquals(await retained(["c", 0]), []);
});

Deno.test(
  "mqtt() remembers a client that asks for it, and forgets it when it asks for that",
  overNet,
  async () => {
    await using broker = serveBroker();
    await using think = await MqttPeer.enter(broker.port);
    const publish = async (payload: string): Promise<void> => {
      await think.send(
        publishPacket("a", payload, { id: 1 }),
        publishPacket("a", `${payload} in QoS 0`),
      );
      assertEquals(await think.readAll(), ["puback 1"]);
    };
    const opening = { id: "rose", isClean: false };
    const first = await MqttPeer.enter(broker.port, opening);
    await first.subscribe(["a", 1]);
    await publish("one");
    assertEquals(await first.readAll(), ["publish1 1 a: one", "publish0 a: one in QoS 0"]);
    await publish("two");
    assertEquals(await first.readAll(), ["publish1 2 a: two", "publish0 a: two in QoS 0"]);
    await first.send(packet(0x40, 0, 1));
    await first.leave();
    await publish("three");
    const second = await MqttPeer.enter(broker.port, opening, true);
    assertEquals(await second.readAll(), ["publish1 dup 2 a: two", "publish1 3 a: three"]);
    await second.send(
      packet(0x40, 0, 2),
      packet(0x40, 0, 3),
      packet(0x40, 0, 3),
      packet(0x40, 0, 9),
    );
    await second.leave();
    const third = await MqttPeer.enter(broker.port, opening, true);
    assertEquals(await third.readAll(), []);
    await publish("four");
    assertEquals(await third.readAll(), ["publish1 4 a: four", "publish0 a: four in QoS 0"]);
    await third.leave();
    const fourth = await MqttPeer.enter(broker.port, { id: "rose" }); // clean
    await publish("five");
    assertEquals(await fourth.readAll(), []);
    await fourth.leave();
    await (await MqttPeer.enter(broker.port, opening)).leave();
  },
);

Deno.test(
  "mqtt() forgets the client that left first, of too many that are away",
  overNet,
  async () => {
    await using broker = serveBroker({ maxAway: 2 });
    const visit = async (id: string, isPresent: boolean): Promise<void> => {
      const peer = await MqttPeer.enter(broker.port, { id, isClean: false }, isPresent);
      await peer.leave();
    };
    for (const id of ["a", "b"]) await visit(id, false);
    await visit("a", true);
    await visit("c", false); // b is forgotten
    await visit("a", true);
    await visit("c", true);
    await visit("b", false);
  },
);

Deno.test("mqtt() forgets a client once it is to be forgotten, and wholly", overNet, async () => {
  await using broker = serveBroker({ maxAway: 1 });
  for (
    const [isClean, isPresent] of [[false, false], [true, false], [false, false], [false, true]]
  ) {
    const peer = await MqttPeer.enter(broker.port, { id: "rose", isClean: isClean! }, isPresent);
    await peer.leave();
  }
});

Deno.test(
  "Broker sends nothing more to a client that is forgotten",
  { permissions: "none" },
  async () => {
    const codec = packetCodec(1000);
    const broker = new Broker(codec, { ...DEFAULT_LIMITS, maxAway: 0 });
    const [session, other] = sessionPair();
    let deliveries = 0;
    for (const isClean of [true, false]) {
      const connect = {
        type: "connect",
        level: 4,
        clientId: "rose",
        isClean,
        keepAlive: 0,
      } as const;
      const [subscriber] = broker.open(connect);
      subscriber.deliver = () => void deliveries++;
      subscriber.attach(session, session.frames(codec));
      broker.subscribe(subscriber, { type: "subscribe", id: 1, filters: [["a", 1], ["#", 1]] });
      const message = { topic: "a", payload: new Uint8Array(1), qos: 1, retain: false } as const;
      for (let round = 0; round < 3; round++) {
        broker.publish(message);
        broker.leave(subscriber, session);
      }
    }
    assertEquals(deliveries, 2);
    await Promise.all([session.close(), other.close()]);
  },
);

Deno.test("mqtt() ends the older of two connections of a client", overNet, async () => {
  await using broker = serveBroker();
  await using witness = await MqttPeer.enter(broker.port);
  await witness.subscribe(["will", 0]);
  for (const isClean of [true, false]) {
    const opening = { id: "rose", isClean, will: { topic: "will", payload: "gone" } };
    await using older = await MqttPeer.enter(broker.port, opening);
    await older.subscribe(["a", 1]);
    await using newer = await MqttPeer.enter(broker.port, opening, !isClean);
    assertEquals(await older.read().catch(() => undefined), undefined);
    assertEquals(await witness.read(), "publish0 will: gone");
    await witness.send(publishPacket("a", "x", { id: 1 }));
    assertEquals(await witness.readAll(), ["puback 1"]);
    assertEquals(await newer.readAll(), isClean ? [] : ["publish1 1 a: x"]);
    await newer.leave();
  }
});

Deno.test(
  "mqtt() bounds what a client has not acknowledged, and what waits for it",
  overNet,
  async () => {
    await using broker = serveBroker();
    await using think = await MqttPeer.enter(broker.port);
    const rose = await MqttPeer.enter(broker.port, { id: "rose", isClean: false });
    await rose.subscribe(["a", 1]);
    const publish = async (count: number, payload = ""): Promise<void> => {
      for (let i = 1; i <= count; i++) {
        await think.send(
          publishPacket("a", `${i}${payload}`, { id: i }),
        );
      }
      assertEquals((await think.readAll()).length, count);
    };
    await publish(2000);
    let got = await rose.readAll();
    assertEquals(got, Array.from({ length: 16 }, (_, i) => `publish1 ${i + 1} a: ${i + 1}`));
    for (let next = 17; next <= 1016; next++) { // 16 in flight, and 1000 that have waited
      await rose.send(packet(0x40, next - 16 >> 8, next - 16 & 0xff));
      assertEquals(await rose.read(), `publish1 ${next} a: ${next}`);
    }
    for (let id = 1001; id <= 1016; id++) await rose.send(packet(0x40, id >> 8, id & 0xff));
    assertEquals(await rose.readAll(), []);
    await rose.leave();
    await publish(100, "x".repeat(9999)); // of which 52 find room in 512 KiB
    await using again = await MqttPeer.enter(broker.port, { id: "rose", isClean: false }, true);
    got = [];
    for (let next = await again.readAll(); next.length > 0; next = await again.readAll()) {
      got.push(...next);
      for (const line of next) {
        const id = Number(line.split(" ")[1]);
        await again.send(packet(0x40, id >> 8, id & 0xff));
      }
    }
    assertEquals(
      got.map((line) => parseInt(line.split(": ")[1]!)),
      [...Array(52).keys()].map((i) => i + 1),
    );
    await publish(10, "x".repeat(9999)); // there is room again
    assertEquals((await again.readAll()).length, 10);
  },
);

Deno.test("mqtt() limits the filters of a client", overNet, async () => {
  await using broker = serveBroker({ maxFilters: 2 });
  await using rose = await MqttPeer.enter(broker.port);
  await rose.send(subscribePacket(text("a"), 0, text("b"), 1, text("c"), 0, text("a"), 1));
  assertEquals(await rose.read(), "suback 1 0 1 128 1");
  await rose.send(packet(0xa2, 0, 2, text("a")), subscribePacket(text("c"), 2));
  assertEquals([await rose.read(), await rose.read()], ["unsuback 2", "suback 1 1"]);
  await rose.send(publishPacket("d", "x", { retain: true }), subscribePacket(text("d"), 0));
  assertEquals(await rose.readAll(), ["suback 1 128"]);
});

Deno.test(
  "mqtt() drops what a client that does not read is sent in QoS 0, and holds nobody up",
  overNet,
  async () => {
    await using broker = serveBroker();
    await using slow = await MqttPeer.enter(broker.port);
    await slow.subscribe(["a", 0]);
    await using quick = await MqttPeer.enter(broker.port);
    await quick.subscribe(["a", 0]);
    await using think = await MqttPeer.enter(broker.port);
    const message = new Uint8Array(publishPacket("a", "x".repeat(60_000)));
    const [session] = broker.server.sessions;
    let most = 0;
    for (let i = 0; i < 1000; i++) { // 60 MB, which no buffer of the system holds
      await think.session.send(message);
      assertEquals((await quick.read())!.length, 60_000 + "publish0 a: ".length);
      most = Math.max(most, session!.bytesBuffered);
    }
    assert(most > 100_000 && most < 512 * 1024, `${most} bytes were buffered`);
    slow.session.abort();
  },
);

const level = fc.constantFrom("", "a", "b", "$a");

Deno.test("TopicTree finds what matches, and leaves nothing of what is gone", {
  permissions: "none",
}, () => {
  const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
  const filters = fc.tuple(
    fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 4 }),
    fc.boolean(),
  ).map(([levels, isOpen]) =>
    [...levels, ...(isOpen || levels.length === 0 ? ["#"] : [])].join("/")
  );
  fc.assert(fc.property(fc.array(filters), fc.array(filters), topics, (kept, gone, topic) => {
    const tree = new TopicTree<string, string>();
    for (const filter of [...kept, ...gone]) tree.set(filter, filter, filter);
    for (const filter of gone) tree.delete(filter, filter);
    tree.delete("never/there", "x");
    const found: string[] = [];
    tree.match(topic, (key) => found.push(key));
    const left = new Set(kept).difference(new Set(gone));
    assertEquals(tree.isEmpty, left.size === 0);
    assertEquals(found.toSorted(), [...left].filter((filter) => isMatch(filter, topic)).toSorted());
  }));
});

/** What §4.7 says, by a regular expression. */
function isMatch(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  const pattern = filter
    .replaceAll("$", "\\$")
    .replaceAll("+", "[^/]*")
    .replace(/^#$/, ".*")
    .replace(/\/#$/, "(/.*)?");
  return RegExp(`^${pattern}$`, "s").test(topic);
}
