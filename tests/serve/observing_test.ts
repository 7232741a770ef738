import { assert, assertEquals } from "@std/assert";
import type { ServerObserver } from "../../serve/observer.ts";
import { serve, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { type Connection, memoryListener } from "../../transport/mod.ts";
import {
  ask,
  bounded,
  echo,
  readAll,
  readToReset,
  recorder,
  seeRefused,
  serveThrough,
  until,
} from "../_serving.ts";

Deno.test("serve() reports all events to its observer, in order", bounded, async () => {
  const listener = memoryListener();
  const seen = recorder();
  const server = serve(
    { listener, observer: seen, maxSessions: 2, overload: "refuse" },
    (session) => {
      seen.events.push(`handle ${session.id}`);
      return session.readLine().then((line) => {
        if (line === "fail") throw new Error("no such command");
        return echo(session);
      });
    },
  );
  const first = new Session(listener.connect());
  const second = new Session(listener.connect());
  await until(() => server.sessions.size === 2);
  await seeRefused(listener.connect());
  await first.send("fail\n");
  assertEquals(await readToReset(first), "");
  await first.close();
  await until(() => server.sessions.size === 1);
  server.suspend();
  server.resume();
  await second.send("go\n");
  assertEquals(await ask(second, "rose"), "rose!");
  server.shutdown();
  assertEquals(await readAll(second), "");
  await second.close();
  await server.finished;
  assertEquals(seen.events, [
    "listening",
    "start 1",
    "handle 1",
    "start 2",
    "handle 2",
    "refused memory a maxSessions",
    "handler 1 Error: no such command",
    "end 1 error",
    "suspended",
    "listening",
    "draining",
    "end 2 drain",
    "closed",
  ]);
});

Deno.test("serve() is in the state that its observer is called with", bounded, async () => {
  const told: string[] = [];
  const seen: string[] = [];
  let server: Server | undefined = undefined; // still so when it begins to listen
  const observer: ServerObserver = {
    onStateChange(state): void {
      told.push(state);
      seen.push(server?.state ?? state);
    },
  };
  server = serve({ listener: memoryListener(), observer }, echo);
  server.suspend();
  server.resume();
  await server.shutdown();
  assertEquals(told, [
    "listening",
    "suspended",
    "listening",
    "draining",
    "closed",
  ]);
  assertEquals(seen, told);
});

Deno.test("serve() reports one start and one end for each session", bounded, async () => {
  const CLIENTS = 120;
  const listener = memoryListener();
  const seen = recorder();
  const server = serve(
    { listener, observer: seen, idleTimeout: 200, closeTimeout: 200 },
    async (session) => {
      await session.send("welcome!");
      if (session.id % 6 === 0) session.abort();
      if (session.id % 6 === 1) throw new Error("no such command");
      if (session.id % 6 === 2) return;
      await echo(session);
    },
  );
  const clients: Connection[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    clients.push(listener.connect());
    if (i % 4 === 0) clients[i]!.close();
    if (i % 4 === 1) await clients[i]!.closeWrite();
    if (i % 4 === 2) await clients[i]!.write(new TextEncoder().encode("half a line"));
  }
  // Those who sit still are ended by their deadline.
  await until(() => server.stats().accepted === CLIENTS && server.sessions.size === 0);
  await server.shutdown();
  for (let id = 1; id <= CLIENTS; id++) {
    const words = seen.events.filter((event) => event.split(" ")[1] === `${id}`)
      .map((event) => event.split(" ")[0]).filter((word) => word !== "handler");
    assertEquals(words, ["start", "end"], `session ${id}`);
  }
});

Deno.test("serve() reports a handler's error before its session's end", bounded, async () => {
  const listener = memoryListener();
  const seen = recorder();
  const server = serve({ listener, observer: seen }, async (session) => {
    for await (const _ of session);
    throw new Error("too few names");
  });
  // The peer has finished its side: there is nothing that the session waits for.
  const client = listener.connect();
  await client.closeWrite();
  await until(() => seen.events.length === 4);
  assertEquals(seen.events.slice(1), ["start 1", "handler 1 Error: too few names", "end 1 error"]);
  client.close();
  await server.shutdown();
});

Deno.test("serve() has final figures and a free descriptor in onSessionEnd", bounded, async () => {
  const listener = memoryListener();
  const figures: unknown[] = [];
  await using server = serve({
    listener,
    observer: {
      onSessionEnd(session, { reason, duration }): void {
        figures.push([session.bytesRead, session.bytesWritten, reason, duration >= 0]);
        figures.push([server.sessions.has(session), server.stats().active]);
      },
    },
  }, echo);
  await using client = new Session(listener.connect());
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await until(() => figures.length === 2);
  assertEquals(figures, [[5, 6, "peer", true], [false, 0]]);
});

const METHODS = [
  "onStateChange",
  "onSessionStart",
  "onSessionEnd",
  "onRefusal",
  "onAcceptError",
  "onHandlerError",
] as const;

function brokenObserver(break_: (method: string) => unknown): ServerObserver {
  return Object.fromEntries(METHODS.map((method) => [method, () => break_(method)]));
}

/** What `onError` is to be told of a broken observer, in any order. */
const BROKEN = [
  "onAcceptError",
  "onHandlerError",
  "onRefusal",
  "onSessionEnd",
  "onSessionStart",
  "onStateChange", // listening
  "onStateChange", // draining
  "onStateChange", // closed
  "no such command",
  "out of luck",
].sort();

Deno.test("serve() reports to onError that its observer throws", bounded, async () => {
  const told: string[] = [];
  await serveThrough({
    observer: brokenObserver((method) => {
      throw new Error(method);
    }),
    onError: (error) => void told.push((error as Error).message),
  });
  assertEquals(told.sort(), BROKEN);
});

Deno.test("serve() reports to onError that its observer rejects", bounded, async () => {
  const told: string[] = [];
  await serveThrough({
    observer: brokenObserver((method) => Promise.reject(new Error(method))),
    onError: (error) => void told.push((error as Error).message),
  });
  assertEquals(told.sort(), BROKEN);
});

Deno.test("serve() continues when its observer throws", bounded, async () => {
  await serveThrough({
    observer: brokenObserver((method) => {
      throw new Error(method);
    }),
  });
});

Deno.test("serve() continues when onError throws or rejects", bounded, async () => {
  for (const observer of [{}, brokenObserver(() => Promise.reject(new Error("observer")))]) {
    let calls = 0;
    await serveThrough({
      observer,
      onError(error): void {
        calls++;
        throw error;
      },
    });
    await serveThrough({
      observer,
      onError(error): Promise<never> {
        calls++;
        return Promise.reject(error);
      },
    });
    assert(calls >= 4);
  }
});

Deno.test("serve() calls an observer's methods on the observer", bounded, async () => {
  class Counter implements ServerObserver {
    #count = 0;

    get count(): number {
      return this.#count;
    }

    onSessionEnd(): void {
      this.#count++;
    }
  }
  const observer = new Counter();
  await serveThrough({ observer, onError: () => {} });
  assertEquals(observer.count, 1);
});
