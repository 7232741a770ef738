import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { configureSync, getLogger, type LogRecord, resetSync } from "@logtape/logtape";
import type { Logger, ServerObserver } from "../observer.ts";
import { serve, type ServeOptions } from "../serve.ts";
import { Session } from "../session.ts";
import { type Connection, type Listener, memoryListener } from "../transport/mod.ts";
import { canNet, canRun } from "./_permissions.ts";
import { ask, bounded, echo, readAll, recorder, runModule, settle, until } from "./_serving.ts";

const canRunDeno = canNet && await canRun("deno");

/** Sees a connection closed without a word. */
async function seeRefused(client: Connection): Promise<void> {
  assertEquals(await client.read(new Uint8Array(1)), null);
  client.close();
}

Deno.test("serve() tells its observer all that happens, in order", bounded, async () => {
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
  assertEquals(await readAll(first), "");
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

Deno.test("serve() tells of one start and one end for each session", bounded, async () => {
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

Deno.test("serve() tells of a handler that throws before its session's end", bounded, async () => {
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

/** A listener whose first accept fails. */
function failingOnce(inner: Listener): Listener {
  let isFirst = true;
  return {
    addr: inner.addr,
    accept(): Promise<Connection> {
      if (!isFirst) return inner.accept();
      isFirst = false;
      return Promise.reject(new Error("out of luck"));
    },
    close: () => inner.close(),
  };
}

/** Goes through everything that an observer is told, and shows that the server does its work all the same. */
async function serveThrough(options: ServeOptions): Promise<void> {
  const inner = memoryListener();
  const listener = failingOnce(inner);
  const server = serve({ ...options, listener, maxSessions: 1, overload: "refuse" }, async (s) => {
    await echo(s);
    throw new Error("no such command");
  });
  const client = new Session(inner.connect());
  assertEquals(await ask(client, "rose"), "rose!");
  await seeRefused(inner.connect());
  await client.closeWrite();
  assertEquals(await readAll(client), "");
  await client.close();
  await server.shutdown();
  const { accepted, refused, acceptErrors, handlerErrors } = server.stats();
  assertEquals([accepted, refused, acceptErrors, handlerErrors], [1, 1, 1, 1]);
  await settle();
}

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

Deno.test("serve() goes on when its observer throws, and tells onError", bounded, async () => {
  const told: string[] = [];
  await serveThrough({
    observer: brokenObserver((method) => {
      throw new Error(method);
    }),
    onError: (error) => void told.push((error as Error).message),
  });
  assertEquals(told.sort(), BROKEN);
});

Deno.test("serve() goes on when its observer rejects, and tells onError", bounded, async () => {
  const told: string[] = [];
  await serveThrough({
    observer: brokenObserver((method) => Promise.reject(new Error(method))),
    onError: (error) => void told.push((error as Error).message),
  });
  assertEquals(told.sort(), BROKEN);
});

Deno.test("serve() goes on when its observer throws and nobody is told", bounded, async () => {
  await serveThrough({
    observer: brokenObserver((method) => {
      throw new Error(method);
    }),
  });
});

Deno.test("serve() goes on when onError throws or rejects", bounded, async () => {
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

const FAILING = `
  import { serve } from "library/serve.ts";
  import { connect } from "library/connect.ts";
  const server = serve({ port: 0, OPTIONS }, () => {
    throw new Error("no such command");
  });
  const client = await connect({ port: server.addr.port });
  for await (const _ of client);
  await client.close();
  await server.shutdown();
`;

Deno.test("serve() prints errors where nobody else is told", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  const { code, stdout, stderr } = await runModule(FAILING.replace("OPTIONS", ""));
  assertEquals([code, stdout], [0, ""], stderr);
  assertMatch(stderr, /^Error: no such command\n\s+at /);
});

Deno.test("serve() prints nothing where somebody is told", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  for (const options of ["onError() {}", "observer: {}"]) {
    const outcome = await runModule(FAILING.replace("OPTIONS", options));
    assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
  }
});

Deno.test("serve() prints that it cannot accept where nobody else is told", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  const { code, stdout, stderr } = await runModule(`
    import { serve } from "library/serve.ts";
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const server = serve({ listener }, () => {});
    listener.close();
    await server.finished;
  `);
  assertEquals([code, stdout], [0, ""], stderr);
  assertStringIncludes(stderr, "BadResource");
});

/** The levels and messages that a logger is given. */
function collect(): [Logger, string[]] {
  const lines: string[] = [];
  const log = (level: string) => (message: string): void => void lines.push(`${level} ${message}`);
  return [
    { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
    lines,
  ];
}

Deno.test("serve() logs to a logger beside its observer and onError", bounded, async () => {
  const [logger, lines] = collect();
  const seen = recorder();
  const told: unknown[] = [];
  await serveThrough({ logger, observer: seen, onError: (error) => void told.push(error) });
  assertEquals([seen.events.length, told.length], [8, 2]);
  const short = lines.map((line) => line.split("\n")[0]!.replace(/after \d+ ms/, "after N ms"));
  assertEquals(short.sort(), [
    "error the handler of session 1 from memory a threw: Error: no such command",
    "info closed (memory)",
    "info draining (memory)",
    "info listening on memory",
    "info session 1 from memory a ended: error (Error: no such command), after N ms, 5 bytes in, 6 bytes out",
    "info session 1 from memory a started",
    "warn cannot accept (again in 5 ms): Error: out of luck",
    "warn connection from memory a refused: maxSessions reached",
  ]);
});

Deno.test("serve() takes a LogTape logger as it is", bounded, async () => {
  const records: LogRecord[] = [];
  configureSync({
    sinks: { memory: (record) => void records.push(record) },
    loggers: [
      { category: "parley-test", sinks: ["memory"], lowestLevel: "debug" },
      { category: ["logtape", "meta"], sinks: [] },
    ],
  });
  try {
    const listener = memoryListener();
    const server = serve({ listener, logger: getLogger("parley-test") }, () => {
      throw new Error("{id} of {address}");
    });
    const client = new Session(listener.connect());
    assertEquals(await readAll(client), "");
    await client.close();
    await server.shutdown();
  } finally {
    resetSync();
  }
  assertEquals(
    records.map(({ level }) => level),
    [
      "info",
      "info",
      "error",
      "info",
      "info",
      "info",
    ].toSorted(() => 0),
  );
  const thrown = records.find(({ level }) => level === "error")!;
  const text = thrown.message.join("");
  assertStringIncludes(
    text,
    "the handler of session 1 from memory a threw: Error: (id) of (address)",
  );
  assertEquals([thrown.properties["id"], thrown.properties["address"]], [1, "memory a"]);
  assertEquals((thrown.properties["error"] as Error).message, "{id} of {address}");
});

/** Typed as a logger of the kind that returns what it is given, and that also takes a function. */
class ReturningLogger {
  readonly lines: string[] = [];

  debug<T>(msg: () => T, ...args: unknown[]): T | undefined;
  debug<T>(msg: T extends () => unknown ? never : T, ...args: unknown[]): T;
  debug<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("debug", msg, args);
  }

  info<T>(msg: () => T, ...args: unknown[]): T | undefined;
  info<T>(msg: T extends () => unknown ? never : T, ...args: unknown[]): T;
  info<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("info", msg, args);
  }

  warn<T>(msg: () => T, ...args: unknown[]): T | undefined;
  warn<T>(msg: T extends () => unknown ? never : T, ...args: unknown[]): T;
  warn<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("warn", msg, args);
  }

  error<T>(msg: () => T, ...args: unknown[]): T | undefined;
  error<T>(msg: T extends () => unknown ? never : T, ...args: unknown[]): T;
  error<T>(msg: T | (() => T), ...args: unknown[]): T | undefined {
    return this.#log("error", msg, args);
  }

  #log<T>(level: string, msg: T | (() => T), args: unknown[]): T {
    const value = msg instanceof Function ? msg() : msg;
    this.lines.push(`${level} ${value} ${Object.keys(args[0] as object)}`);
    return value;
  }
}

Deno.test("serve() takes a logger of @std/log's shape as it is", bounded, async () => {
  const logger = new ReturningLogger();
  const server = serve({ listener: memoryListener(), logger }, echo);
  await server.shutdown();
  assertEquals(logger.lines, [
    "info listening on memory state,address",
    "info draining (memory) state,address",
    "info closed (memory) state,address",
  ]);
});

Deno.test("serve() takes console as it is", { ...bounded, ignore: !canRunDeno }, async () => {
  const { code, stdout, stderr } = await runModule(`
    import { serve } from "library/serve.ts";
    import { Session } from "library/session.ts";
    import { memoryListener } from "library/transport/mod.ts";
    const listener = memoryListener();
    const server = serve({ listener, logger: console }, () => {
      throw "50%d of %c{id}"; // a format for console, a template for LogTape
    });
    const client = new Session(listener.connect());
    for await (const _ of client);
    await client.close();
    await server.shutdown();
  `);
  assertEquals(code, 0);
  assertEquals(
    stderr,
    "the handler of session 1 from memory a threw: 50% d of % c(id) " +
      '{ id: 1, address: "memory a", error: "50%d of %c{id}" }\n',
  );
  const lines = stdout.split("\n");
  assertEquals(lines[0], 'listening on memory { state: "listening", address: "memory" }');
  assertEquals(lines[1], 'session 1 from memory a started { id: 1, address: "memory a" }');
});
