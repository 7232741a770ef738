// Traces that go along with the messages of a hub.

import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { MalformedFrameError } from "../../errors.ts";
import { Hub, type HubTracer } from "../../hub/mod.ts";
import { SYSTEM_CLOCK } from "../../hub/clock.ts";
import { Outgoing, TRACED } from "../../hub/message.ts";
import type { Session } from "../../session.ts";
import { sessionPair } from "../../testing/mod.ts";
import { type TestBus, TestNetwork } from "./_bus.ts";

const permissions = "none";
const ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER = "00-ffffffffffffffffffffffffffffffff-0000000000000001-00";

/** A tracer whose trace a test chooses, and that notes what is delivered. */
class Traces implements HubTracer {
  now: string | undefined;
  readonly delivered: [id: number, group: string, traceparent: string][] = [];

  traceparent(): string | undefined {
    return this.now;
  }

  onDelivery({ id }: Session, group: string, traceparent: string): void {
    this.delivered.push([id, group, traceparent]);
  }
}

interface Member {
  hub: Hub;
  bus: TestBus;
  session: Session;
  errors: unknown[];
  gaps: unknown[];
  end(): Promise<string[]>;
}

/** A hub with a member in the group `hall`. What it publishes is on the bus at once. */
async function member(network: TestNetwork, tracer?: HubTracer): Promise<Member> {
  const bus = network.bus();
  const errors: unknown[] = [];
  const gaps: unknown[] = [];
  const hub = new Hub({
    bus,
    onError: (error) => void errors.push(error),
    onGap: (...gap) => void gaps.push(gap),
    ...(tracer && { tracer }),
  }, { ...SYSTEM_CLOCK, soon: (call) => call() });
  const [client, session] = sessionPair();
  await hub.join("hall", session);
  return {
    ...{ hub, bus, session, errors, gaps },
    async end(): Promise<string[]> {
      session.closeWrite();
      const lines = await Array.fromAsync(client.lines());
      await Promise.all([client.close(), session.close(), hub.close()]);
      return lines;
    },
  };
}

Deno.test("the tracer of a Hub gets the trace of each message for each session, in all processes", {
  permissions,
}, async () => {
  const network = new TestNetwork();
  const [here, there] = [new Traces(), new Traces()];
  const [a, b] = [await member(network, here), await member(network, there)];
  a.hub.publish("hall", "none\n");
  here.now = ONE;
  a.hub.publish("hall", "one\n", { except: a.session });
  here.now = OTHER;
  a.hub.publish("hall", "other\n", { key: "é" });
  here.now = undefined;
  a.hub.publish("hall", "");
  a.hub.publish("hall", "again none\n");
  assertEquals(here.delivered, [[a.session.id, "hall", OTHER]]);
  assertEquals(there.delivered, [[b.session.id, "hall", ONE], [b.session.id, "hall", OTHER]]);
  assertEquals(await a.end(), ["none", "other", "again none"]);
  assertEquals(await b.end(), ["none", "one", "other", "again none"]);
  assertEquals([a.errors, b.errors, a.gaps, b.gaps], [[], [], [], []]);
});

Deno.test("a Hub without a tracer delivers messages of a trace, and notices lost ones", {
  permissions,
}, async () => {
  const network = new TestNetwork();
  const traces = new Traces();
  const [a, b] = [await member(network, traces), await member(network)];
  a.hub.publish("hall", "1\n");
  traces.now = ONE;
  a.hub.publish("hall", "2\n");
  network.carry = () => {};
  a.hub.publish("hall", "3\n");
  traces.now = undefined;
  network.carry = (deliver) => deliver();
  a.hub.publish("hall", "4\n");
  assertEquals(b.gaps, [["hall", 3, 3]]);
  assertEquals([await a.end(), await b.end()], [["1", "2", "3", "4"], ["1", "2", "4"]]);
});

Deno.test("a Hub tells what is wrong with its tracer, and publishes the message", {
  permissions,
}, async () => {
  const wrong = [
    "rose",
    "",
    ONE.toUpperCase(),
    `${ONE} `,
    `${ONE}-00`,
    ONE.replace("00-", "01-"),
    `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${"0".repeat(16)}-01`,
    7 as never,
  ];
  const network = new TestNetwork();
  const traces = new Traces();
  const [a, b] = [await member(network, traces), await member(network, traces)];
  for (const traceparent of wrong) {
    traces.now = traceparent;
    a.hub.publish("hall", "text\n");
  }
  traces.traceparent = () => {
    throw new RangeError("fault");
  };
  a.hub.publish("hall", "text\n");
  traces.traceparent = () => ONE;
  traces.onDelivery = traces.traceparent = () => {
    throw new RangeError("fault");
  };
  a.hub.publish("hall", "text\n");
  assertEquals(a.errors.length, wrong.length + 2);
  for (const error of a.errors.slice(0, wrong.length)) {
    assertInstanceOf(error, TypeError);
    assertMatch(error.message, /^traceparent\(\) of tracer must return one of version 00/);
  }
  assertEquals([traces.delivered, b.errors], [[], []]);
  const lines = Array(wrong.length + 2).fill("text");
  assertEquals([await a.end(), await b.end()], [lines, lines]);
});

Deno.test("a Hub ignores the trace of another process that is none, and reports a part of one", {
  permissions,
}, async () => {
  const network = new TestNetwork();
  const traces = new Traces();
  const a = await member(network, traces);
  let number = 0;
  const send = (payload: Uint8Array): void => {
    const batch = new Outgoing(TRACED, "hall", { key: "", payload });
    const bytes = batch.encode({ sender: 1, epoch: 1, number: ++number, elapsed: 0 });
    a.bus.listener!.onMessage(bytes);
  };
  for (let size = 0; size < 25; size++) send(new Uint8Array(size).fill(1));
  assertEquals(a.errors.length, 25);
  for (const error of a.errors) assertInstanceOf(error, MalformedFrameError);
  const line = new TextEncoder().encode("text\n");
  send(new Uint8Array([...Array(25).fill(0), ...line]));
  send(new Uint8Array([...Array(16).fill(0), ...Array(9).fill(255), ...line]));
  send(new Uint8Array([...Array(16).fill(255), ...Array(9).fill(0), ...line]));
  assertEquals(traces.delivered, []);
  send(new Uint8Array([...Array(25).fill(255), ...line]));
  assertEquals(traces.delivered, [
    [a.session.id, "hall", `00-${"f".repeat(32)}-${"f".repeat(16)}-ff`],
  ]);
  assertEquals([a.hub.stats().received, a.errors.length], [4, 25]);
  assertEquals(await a.end(), ["text", "text", "text", "text"]);
});
