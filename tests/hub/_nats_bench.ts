/**
 * What a hub costs over NATS, beside the client of NATS alone: messages a second between two processes, and the latency of a
 * hop. One process publishes, and another one counts or sends back.
 *
 *     deno run --allow-all tests/hub/_nats_bench.ts [MESSAGES] [ROUNDS]
 *
 * @module
 */

import { connect, type NatsConnection } from "@nats-io/transport-node";
import { Hub, natsBus } from "../../hub/mod.ts";
import { Session } from "../../session.ts";
import { startNats } from "../_nats.ts";
import { beLongPatient, Program } from "../_programs.ts";
import type { Connection } from "../../transport/connection.ts";

const SIZE = 128;
const BURST = 500;
const HOPS = 2000;
const ECHO = "e".charCodeAt(0);

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

/** Sends back what begins with `e`, and counts the rest. */
async function answer(end: End, count: number): Promise<void> {
  let left = count * SIZE;
  await end.receive("there", (data) => {
    if (data[0] === ECHO) return end.publish("back", data.slice());
    left -= data.length;
    if (left > 0) return;
    left = count * SIZE;
    end.publish("back", new Uint8Array(1));
  });
}

class Side {
  readonly #end: End;
  readonly #connection: NatsConnection;
  #back: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(kind: Kind, connection: NatsConnection) {
    this.#connection = connection;
    this.#end = ENDS[kind](connection);
  }

  async open(): Promise<void> {
    await this.#end.receive("back", () => this.#back.resolve());
  }

  /** Messages a second. */
  async throughput(count: number): Promise<number> {
    this.#back = Promise.withResolvers();
    const message = new Uint8Array(SIZE);
    const start = performance.now();
    for (let sent = 0; sent < count; sent += BURST) {
      for (let at = 0; at < BURST; at++) this.#end.publish("there", message);
      await this.#connection.flush();
    }
    await this.#back.promise;
    return count / (performance.now() - start) * 1000;
  }

  /** Half of each way there and back, in milliseconds, ascending. */
  async latencies(): Promise<number[]> {
    const message = new Uint8Array(SIZE).fill(ECHO);
    const times: number[] = [];
    for (let hop = 0; hop < HOPS; hop++) {
      this.#back = Promise.withResolvers();
      const start = performance.now();
      this.#end.publish("there", message);
      await this.#back.promise;
      times.push((performance.now() - start) / 2);
    }
    return times.toSorted((a, b) => a - b);
  }
}

function quantile(values: readonly number[], at: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * at)]!;
}

async function main(count: number, rounds: number): Promise<void> {
  beLongPatient();
  const { program, port } = await startNats();
  await using _nats = program;
  const args = ["run", "--quiet", "--allow-all", import.meta.filename!, String(count), "answer"];
  await using other = new Program("deno", [...args, String(port)]);
  await other.stdout.until(/ready/);
  const rates: Record<Kind, number[]> = { nats: [], hub: [] };
  const hops: Record<Kind, number[]> = { nats: [], hub: [] };
  const sides: [Kind, Side][] = [];
  for (const kind of ["nats", "hub"] as const) {
    const side = new Side(kind, await connect({ port }));
    await side.open();
    sides.push([kind, side]);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [kind, side] of round % 2 === 0 ? sides : sides.toReversed()) {
      rates[kind].push(await side.throughput(count));
      hops[kind].push(...await side.latencies());
    }
  }
  for (const kind of ["nats", "hub"] as const) {
    console.log(
      `${kind}: ${
        Math.round(quantile(rates[kind], 0.5))
      } messages of ${SIZE} bytes a second, a hop ` +
        `p50 ${quantile(hops[kind], 0.5).toFixed(3)} ms, p99 ${
          quantile(hops[kind], 0.99).toFixed(3)
        } ms`,
    );
  }
  const ratios = rates.hub.map((rate, round) => rate / rates.nats[round]!);
  const [low, middle, high] = [0.1, 0.5, 0.9].map((at) => quantile(ratios, at).toFixed(2));
  console.log(`the hub has ${middle} × the messages of NATS (${low} to ${high})`);
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
