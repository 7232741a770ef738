import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { ConnectionRefusedError } from "../../errors.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { type MemoryListener, memoryListener } from "../../transport/mod.ts";
import {
  ask,
  bounded,
  countedSignal,
  echo,
  overNet,
  portOf,
  readAll,
  recorder,
  settle,
} from "../_serving.ts";

/** A delay that no test waits for. */
const LONG = 1_000_000;

/** Timers and a clock that go on when the test says so. */
class VirtualTime implements Disposable {
  readonly #real = { setTimeout, clearTimeout };
  readonly #now = performance.now;
  readonly #waiting = new Map<number, [at: number, callback: () => void]>();
  #nextId = 1;
  now = 1000;

  constructor() {
    const set = (callback: () => void, delay = 0): number => {
      this.#waiting.set(this.#nextId, [this.now + delay, callback]);
      return this.#nextId++;
    };
    const clear = (id: number): void => void this.#waiting.delete(id);
    Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
    performance.now = () => this.now;
  }

  get timers(): number {
    return this.#waiting.size;
  }

  /** Lets time pass, with everything that is due in it. */
  async pass(duration: number): Promise<void> {
    const end = this.now + duration;
    await settle();
    for (;;) {
      const [next] = [...this.#waiting].sort(([, [a]], [, [b]]) => a - b);
      if (next === undefined || next[1][0] > end) break;
      this.#waiting.delete(next[0]);
      this.now = Math.max(this.now, next[1][0]);
      next[1][1]();
      await settle();
    }
    this.now = end;
  }

  [Symbol.dispose](): void {
    Object.assign(globalThis, this.#real);
    performance.now = this.#now;
  }
}

/** A server with clients that leave when it does, and when each of its events was told, since the last `shutdown()`. */
interface Timed {
  server: Server;
  listener: MemoryListener;
  events: [at: number, event: string][];
}

function timed(time: VirtualTime, options: ServeOptions, handler: Handler): Timed {
  const listener = memoryListener();
  const events: Timed["events"] = [];
  const begun = time.now;
  const note = (event: string): void => void events.push([time.now - begun, event]);
  const observer = {
    onStateChange: note,
    onSessionEnd: ({ id }: Session, { reason }: { reason: string }) => note(`${id} ${reason}`),
  };
  return { server: serve({ listener, observer, ...options }, handler), listener, events };
}

async function enter({ listener }: Timed, count: number): Promise<Session[]> {
  const peers = Array.from({ length: count }, () => new Session(listener.connect()));
  await settle();
  return peers;
}

async function leave(peer: Session): Promise<void> {
  try {
    await readAll(peer);
  } catch { /* it was cut off */ }
  await peer.close();
}

Deno.test("Server.shutdown() with a drainDelay accepts until the delay is over", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: 5000 }, echo);
  const { server, events } = duck;
  const [old] = await enter(duck, 1);
  const finished = server.shutdown();
  assertEquals(server.state, "lame-duck");
  await time.pass(4999);
  const [late] = await enter(duck, 1);
  assertEquals([await ask(old!, "rose"), await ask(late!, "think")], ["rose!", "think!"]);
  assertEquals([...server.sessions].map(({ draining }) => draining.aborted), [false, false]);
  const left = [old!, late!].map(leave);
  await time.pass(1);
  assertEquals(server.state, "draining");
  await time.pass(100);
  await Promise.all([finished, ...left]);
  assertEquals(events, [
    [0, "listening"],
    [0, "lame-duck"],
    [5000, "draining"],
    [5000, "1 drain"],
    [5100, "2 drain"],
    [5100, "closed"],
  ]);
  assertEquals(time.timers, 0);
});

Deno.test("Server.shutdown() with a drainDelay ends sessions one after the other", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: 10, shutdownTimeout: 2000 }, echo);
  const peers = await enter(duck, 40);
  const left = peers.map(leave);
  const finished = duck.server.shutdown();
  await time.pass(10);
  assertEquals(duck.server.sessions.size, 39);
  const last = [...duck.server.sessions].at(-1)!;
  assertEquals(last.draining.aborted, true); // all are told at once
  await time.pass(1000);
  await Promise.all([finished, ...left]);
  const ends = duck.events.filter(([, event]) => event.endsWith(" drain"));
  assertEquals(ends, peers.map((_, i) => [10 + 25 * i, `${i + 1} drain`]));
});

Deno.test("Server.shutdown() with a drainDelay serves each session until its turn", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: 10 }, echo);
  const [first, second] = await enter(duck, 2);
  const finished = duck.server.shutdown();
  const hasLeft = leave(first!);
  await time.pass(109);
  await hasLeft;
  assertEquals(await ask(second!, "rose"), "rose!");
  await Promise.all([leave(second!), time.pass(1)]);
  await finished;
});

Deno.test("Server.shutdown() gives each session as long from its turn to its abort", async () => {
  using time = new VirtualTime();
  const forever = Promise.withResolvers<void>();
  const asked: number[] = [];
  const duck = timed(time, { drainDelay: 10, shutdownTimeout: 2000 }, async (session) => {
    try {
      for await (const _ of session);
    } catch {
      asked.push(time.now - 1000);
    }
    await forever.promise;
  });
  const peers = await enter(duck, 20);
  const left = peers.map(leave);
  const finished = duck.server.shutdown();
  await time.pass(2010);
  await Promise.all([finished, ...left]);
  assertEquals(asked, peers.map((_, i) => 10 + 50 * i));
  const ends = duck.events.filter(([, event]) => event.endsWith(" drain"));
  assertEquals(ends, peers.map((_, i) => [1010 + 50 * i, `${i + 1} drain`]));
  assertEquals(time.timers, 0);
  forever.resolve();
});

Deno.test("Server.shutdown() without a shutdownTimeout ends ten sessions a second", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: 10, shutdownTimeout: Infinity }, echo);
  const left = (await enter(duck, 30)).map(leave);
  const finished = duck.server.shutdown();
  await time.pass(2910);
  await Promise.all([finished, ...left]);
  assertEquals(duck.events.at(-1), [2910, "closed"]);
});

Deno.test("Server.shutdown() without a drainDelay ends all loops at once", async () => {
  using time = new VirtualTime();
  const duck = timed(time, {}, echo);
  const left = (await enter(duck, 40)).map(leave);
  const finished = duck.server.shutdown();
  await settle();
  await Promise.all([finished, ...left]);
  assertEquals(time.timers, 0);
});

Deno.test("Server.shutdown() takes a drainDelay instead of that of the server", async () => {
  using time = new VirtualTime();
  const { server, events } = timed(time, { drainDelay: LONG }, echo);
  const finished = server.shutdown({ drainDelay: 20 });
  await time.pass(20);
  await finished;
  assertEquals(events, [[0, "listening"], [0, "lame-duck"], [20, "draining"], [20, "closed"]]);
});

Deno.test("Server.shutdown() changes the delay if it is called again with one", async () => {
  using time = new VirtualTime();
  const { server, events } = timed(time, { drainDelay: 1000 }, echo);
  const finished = server.shutdown();
  await time.pass(500);
  server.shutdown(); // no change
  await time.pass(400);
  server.shutdown({ drainDelay: 300 });
  await time.pass(300);
  server.shutdown({ drainDelay: LONG });
  await finished;
  assertEquals(events.slice(1), [[0, "lame-duck"], [1200, "draining"], [1200, "closed"]]);
});

Deno.test("Server.shutdown({ drainDelay: 0 }) ends the delay at once", bounded, async () => {
  const observer = recorder();
  const server = serve({ listener: memoryListener(), observer, drainDelay: LONG }, echo);
  const finished = server.shutdown();
  server.shutdown({ drainDelay: 0 });
  assertEquals(server.state, "draining");
  await finished;
  assertEquals(observer.events, ["listening", "lame-duck", "draining", "closed"]);
});

Deno.test("Server.shutdown({ drainDelay: 0 }) still ends one session after the other", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: LONG }, echo);
  const left = (await enter(duck, 3)).map(leave);
  duck.server.shutdown();
  duck.server.shutdown({ drainDelay: 0 });
  await time.pass(200);
  await Promise.all([duck.server.finished, ...left]);
  assertEquals(duck.events.at(-1), [200, "closed"]);
});

Deno.test("Server.suspend() and resume() apply during the drainDelay, too", bounded, async () => {
  const observer = recorder();
  const listener = memoryListener();
  const server = serve({ listener, observer, drainDelay: LONG }, echo);
  server.suspend();
  const finished = server.shutdown();
  const peer = new Session(listener.connect());
  const answer = ask(peer, "rose");
  await settle();
  assertEquals([server.state, server.stats().accepted], ["lame-duck", 0]);
  server.resume();
  assertEquals(await answer, "rose!");
  server.suspend();
  const second = new Session(listener.connect());
  await settle();
  assertEquals([server.state, server.stats().accepted], ["lame-duck", 1]);
  server.shutdown({ drainDelay: 0 });
  await Promise.all([leave(peer), leave(second), finished]);
  assertEquals(observer.events.filter((event) => !/^(start|end)/.test(event)), [
    "listening",
    "suspended",
    "lame-duck",
    "draining",
    "closed",
  ]);
});

Deno.test("Server.abort() ends the drainDelay and all sessions", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: LONG }, echo);
  const left = (await enter(duck, 2)).map(leave);
  const finished = duck.server.shutdown();
  await time.pass(10);
  duck.server.abort();
  await Promise.all([finished, ...left]);
  assertEquals(duck.events.slice(1).map(([, event]) => event), [
    "lame-duck",
    "draining",
    "1 local",
    "2 local",
    "closed",
  ]);
  assertEquals(time.timers, 0);
});

Deno.test("serve() begins its drainDelay when its signal aborts", bounded, async () => {
  const stop = new AbortController();
  const count = countedSignal(stop.signal);
  const listener = memoryListener();
  const server = serve({ listener, signal: stop.signal, drainDelay: LONG }, echo);
  stop.abort();
  assertEquals(server.state, "lame-duck");
  const peer = new Session(listener.connect());
  assertEquals(await ask(peer, "rose"), "rose!");
  await Promise.all([leave(peer), server.shutdown({ drainDelay: 0 })]);
  assertEquals(count.listeners, 0);
});

Deno.test("serve() drains at once if its listener is closed by others", async () => {
  using time = new VirtualTime();
  const duck = timed(time, { drainDelay: LONG, onError: () => {} }, echo);
  duck.server.shutdown();
  await settle();
  duck.listener.close();
  await duck.server.finished;
  assertEquals(duck.events.map(([, event]) => event), [
    "listening",
    "lame-duck",
    "draining",
    "closed",
  ]);
  assertEquals(time.timers, 0);
});

Deno.test("serve() still has its limits during the drainDelay", overNet, async () => {
  const options = { port: 0, maxSessions: 1, overload: "refuse", drainDelay: LONG } as const;
  const server = serve(options, echo);
  await using first = await connect({ port: portOf(server) });
  assertEquals(await ask(first, "rose"), "rose!");
  const finished = server.shutdown();
  await using second = await connect({ port: portOf(server) });
  await leave(second);
  assertEquals(server.stats().refusals.maxSessions, 1);
  await first.close();
  server.shutdown({ drainDelay: 0 });
  await finished;
});

Deno.test("Server.shutdown() refuses connects once the drainDelay is over", overNet, async () => {
  const server = serve({ port: 0, drainDelay: LONG }, echo);
  const port = portOf(server);
  await using first = await connect({ port });
  server.shutdown();
  await using second = await connect({ port });
  assertEquals([await ask(first, "rose"), await ask(second, "think")], ["rose!", "think!"]);
  server.shutdown({ drainDelay: 0 });
  await settle(); // the socket goes once the accept that waited has let it go
  await assertRejects(() => connect({ port }), ConnectionRefusedError);
  await Promise.all([leave(first), leave(second), server.finished]);
});

for (
  const [options, message] of [
    [{ drainDelay: -1 }, "drainDelay must be from 0 to 2147483647 ms, got -1"],
    [{ drainDelay: NaN }, "drainDelay must be from 0 to 2147483647 ms, got NaN"],
    [{ drainDelay: Infinity }, "drainDelay must be from 0 to 2147483647 ms, got Infinity"],
    [{ drainDelay: "5s" }, "drainDelay must be a number of milliseconds, got a string"],
    [{ drainDely: 5 }, "there is no option drainDely: did you mean drainDelay?"],
  ] as const
) {
  Deno.test(`serve() and shutdown() refuse ${JSON.stringify(options)}`, bounded, async () => {
    const listener = memoryListener();
    const given = options as { drainDelay: number };
    assertThrows(() => serve({ listener, ...given }, echo), Error, message);
    const server = serve({ listener }, echo);
    assertThrows(() => server.shutdown(given), Error, message);
    assertEquals(server.state, "listening");
    await server.shutdown();
  });
}
