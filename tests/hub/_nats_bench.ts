/**
 * What a hub costs over NATS, beside the client of NATS alone: messages a second between two processes, the CPU time of both,
 * and the latency of a hop. One process publishes, and the other one counts or sends back.
 *
 *     deno run --allow-all tests/hub/_nats_bench.ts [MESSAGES] [ROUNDS]
 *
 * Both have the same payloads and groups, and the server confirms the same number of messages at a time. What the hub receives
 * goes to a session, whose connection is a function.
 *
 * @module
 */

import process from "node:process";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Hub, natsBus } from "../../hub/mod.ts";
import { Session } from "../../session.ts";
import { startNats } from "../_nats.ts";
import { beLongPatient, Program } from "../_programs.ts";
import type { Connection } from "../../transport/connection.ts";

const SIZE = 128;
const HOPS = 2000;
/** After how many messages the publisher waits until the server has confirmed them. */
const UNCONFIRMED = 500;
const MAX_GROUPS = 50;
/** What the first byte of a message asks for. Others are counted. */
const ECHO = "e".charCodeAt(0);
const CPU_TIME = "c".charCodeAt(0);

/** How messages are published: how many in a turn of the event loop, and to how many groups, one after the other. */
const FLOWS: Record<string, { perTurn: number; groups: number }> = {
  "500 in a turn": { perTurn: 500, groups: 1 },
  "10 in a turn": { perTurn: 10, groups: 1 },
  "1 in a turn": { perTurn: 1, groups: 1 },
  "500 in a turn, to 50 groups": { perTurn: 500, groups: MAX_GROUPS },
};

/** One end of the way: both publish to subjects and are called with what arrives. */
interface End {
  publish(subject: string, message: Uint8Array): void;
  receive(subject: string, onData: (data: Uint8Array) => void): Promise<void>;
}

function natsEnd(connection: NatsConnection): End {
  return {
    publish: (subject, message) => connection.publish(subject, message),
    async receive(subject, onData): Promise<void> {
      connection.subscribe(subject, { callback: (_, { data }) => onData(data) });
      await connection.flush();
    },
  };
}

function hubEnd(connection: NatsConnection): End {
  const hub = new Hub({ bus: natsBus(connection, { prefix: "hub" }) });
  return {
    publish: (subject, message) => void hub.publish(subject, message),
    receive: (subject, onData) => hub.join(subject, new Session(calling(onData))),
  };
}

/** A connection whose peer is a function. */
function calling(onData: (data: Uint8Array) => void): Connection {
  const addr = { transport: "memory", name: "none" } as const;
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const take = (data: Uint8Array): number => {
    onData(data);
    return data.length;
  };
  return {
    ...{ remoteAddr: addr, localAddr: addr },
    read: () => promise,
    write: (data) => Promise.resolve(take(data)),
    writeNow: take,
    closeWrite: () => Promise.resolve(),
    close: () => reject(new Error("closed")),
  };
}

const ENDS = { nats: natsEnd, hub: hubEnd };
type Kind = keyof typeof ENDS;
const KINDS = Object.keys(ENDS) as Kind[];

/** The CPU time of this process so far, in microseconds. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Answers what is asked for, and counts the rest. */
async function answer(end: End, count: number): Promise<void> {
  let left = count * SIZE;
  const onData = (data: Uint8Array): void => {
    if (data[0] === ECHO) return end.publish("back", new Uint8Array(data));
    if (data[0] === CPU_TIME) return end.publish("back", bytesOfNumber(cpuTime()));
    left -= data.length;
    if (left > 0) return;
    left = count * SIZE;
    end.publish("back", new Uint8Array(1));
  };
  for (let group = 0; group < MAX_GROUPS; group++) await end.receive(`there${group}`, onData);
}

function bytesOfNumber(value: number): Uint8Array {
  return new Uint8Array(new Float64Array([value]).buffer);
}

/** What messages have taken. */
interface Taken {
  /** Messages a second. */
  readonly rate: number;
  /** The CPU time of a message in each process, in microseconds. */
  readonly publisher: number;
  readonly receiver: number;
}

class Side {
  readonly #end: End;
  readonly #connection: NatsConnection;
  #back: PromiseWithResolvers<Uint8Array> = Promise.withResolvers();

  constructor(kind: Kind, connection: NatsConnection) {
    this.#connection = connection;
    this.#end = ENDS[kind](connection);
  }

  async open(): Promise<void> {
    await this.#end.receive("back", (data) => this.#back.resolve(new Uint8Array(data)));
  }

  /** Publishes a message that the other process answers. */
  #ask(kind: number): Promise<Uint8Array> {
    this.#back = Promise.withResolvers();
    this.#end.publish("there0", new Uint8Array(SIZE).fill(kind));
    return this.#back.promise;
  }

  async #receiverTime(): Promise<number> {
    return new Float64Array((await this.#ask(CPU_TIME)).buffer)[0]!;
  }

  async throughput(count: number, flow: typeof FLOWS[string]): Promise<Taken> {
    const receiver = await this.#receiverTime();
    this.#back = Promise.withResolvers();
    const [publisher, start] = [cpuTime(), performance.now()];
    await this.#publish(count, flow);
    await this.#back.promise;
    const rate = count / (performance.now() - start) * 1000;
    return {
      rate,
      publisher: (cpuTime() - publisher) / count,
      receiver: (await this.#receiverTime() - receiver) / count,
    };
  }

  async #publish(count: number, { perTurn, groups }: typeof FLOWS[string]): Promise<void> {
    const message = new Uint8Array(SIZE);
    const subjects = Array.from({ length: groups }, (_, group) => `there${group}`);
    for (let sent = 0; sent < count;) {
      for (let at = 0; at < perTurn; at++) this.#end.publish(subjects[sent++ % groups]!, message);
      await new Promise((resolve) => process.nextTick(resolve));
      if (sent % UNCONFIRMED === 0) await this.#connection.flush();
    }
  }

  /** Half of each way there and back, in milliseconds. */
  async latencies(): Promise<number[]> {
    const times: number[] = [];
    for (let hop = 0; hop < HOPS; hop++) {
      const start = performance.now();
      await this.#ask(ECHO);
      times.push((performance.now() - start) / 2);
    }
    return times;
  }
}

function quantile(values: readonly number[], at: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * at)]!;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Calls `measure` with both sides in each round, in turns. */
async function compare<Result>(
  sides: readonly [Kind, Side][],
  rounds: number,
  measure: (side: Side) => Promise<Result>,
): Promise<Record<Kind, Result[]>> {
  const results: Record<Kind, Result[]> = { nats: [], hub: [] };
  for (let round = 0; round < rounds; round++) {
    for (const [kind, side] of round % 2 === 0 ? sides : sides.toReversed()) {
      results[kind].push(await measure(side));
    }
  }
  return results;
}

async function main(count: number, rounds: number): Promise<void> {
  beLongPatient();
  const { program, port } = await startNats();
  await using _nats = program;
  const args = ["run", "--quiet", "--allow-all", import.meta.filename!, String(count), "answer"];
  await using other = new Program("deno", [...args, String(port)]);
  await other.stdout.until(/ready/);
  const sides: [Kind, Side][] = [];
  for (const kind of KINDS) {
    const side = new Side(kind, await connect({ port }));
    await side.open();
    sides.push([kind, side]);
  }
  for (const [name, flow] of Object.entries(FLOWS)) {
    await compare(sides, 1, (side) => side.throughput(count, flow)); // until the code is compiled
    const results = await compare(sides, rounds, (side) => side.throughput(count, flow));
    const ratios = results.hub.map(({ rate }, round) => rate / results.nats[round]!.rate);
    const [low, middle, high] = [0.1, 0.5, 0.9].map((at) => quantile(ratios, at).toFixed(2));
    console.log(`${name}: the hub has ${middle} × the messages of NATS (${low} to ${high})`);
    for (const kind of KINDS) {
      const [rate, publisher, receiver] = (["rate", "publisher", "receiver"] as const)
        .map((figure) => median(results[kind].map((taken) => taken[figure])));
      console.log(
        `  ${kind}: ${Math.round(rate!)} messages of ${SIZE} bytes a second, ` +
          `µs of CPU time: publisher ${publisher!.toFixed(2)}, receiver ${receiver!.toFixed(2)}`,
      );
    }
  }
  const hops = await compare(sides, rounds, (side) => side.latencies());
  for (const kind of KINDS) {
    const [p50, p99] = [0.5, 0.99].map((at) => quantile(hops[kind].flat(), at).toFixed(3));
    console.log(`a hop over ${kind}: p50 ${p50} ms, p99 ${p99} ms`);
  }
}

const [count = "50000", last = "11", port] = Deno.args;
if (last === "answer") {
  for (const end of Object.values(ENDS)) {
    await answer(end(await connect({ port: Number(port) })), Number(count));
  }
  console.log("ready");
} else {
  await main(Number(count), Number(last));
  Deno.exit();
}
