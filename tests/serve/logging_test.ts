import { assertEquals, assertFalse, assertMatch, assertStringIncludes } from "@std/assert";
import { configureSync, getLogger, type LogRecord, resetSync } from "@logtape/logtape";
import { textOf } from "../../_internal/thrown.ts";
import { type LogFields, type Logger, logObserver } from "../../serve/observer.ts";
import { serve } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryListener } from "../../transport/mod.ts";
import { canNet, canRun } from "../_permissions.ts";
import { isDisturbing, THROWN } from "../_thrown.ts";
import {
  bounded,
  capturePrinted,
  clock,
  echo,
  overDenoNet,
  readToReset,
  recorder,
  runModule,
  serveThrough,
} from "../_serving.ts";

const canRunDeno = canNet && await canRun("deno");

const FAILING = `
  import { serve } from "library/serve/serve.ts";
  import { connect } from "library/connect/connect.ts";
  const server = serve({ port: 0, OPTIONS }, () => {
    throw new Error("no such command");
  });
  const client = await connect({ port: server.addr.port });
  await Array.fromAsync(client).catch(() => {}); // with the node transport, it is reset
  await client.close();
  await server.shutdown();
`;

Deno.test("serve() prints errors without an observer for them", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  for (const options of ["", "observer: { onSessionEnd() {} }"]) {
    const { code, stdout, stderr } = await runModule(FAILING.replace("OPTIONS", options));
    assertEquals([code, stdout], [0, ""], stderr);
    assertMatch(stderr, /^Error: no such command\n\s+at /);
  }
});

Deno.test("serve() prints nothing with an observer", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  for (const options of ["onError() {}", "observer: { onHandlerError() {} }"]) {
    const outcome = await runModule(FAILING.replace("OPTIONS", options));
    assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
  }
});

Deno.test("serve() prints accept errors without an observer for them", {
  ...bounded,
  ignore: overDenoNet.ignore || !canRunDeno,
}, async () => {
  const { code, stdout, stderr } = await runModule(`
    import { serve } from "library/serve/serve.ts";
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
    "warn cannot accept (again within 5 ms): Error: out of luck",
    "warn connection from memory a refused: maxSessions reached",
  ]);
});

Deno.test(
  "logObserver() says what is done about a lack of memory, ten times in 10 s",
  bounded,
  () => {
    using time = clock();
    const [logger, lines] = collect();
    const { onMemoryPressure } = logObserver(logger);
    const figures = { held: 800, limit: 1000, paused: 3, ended: 0 };
    onMemoryPressure!({ ...figures, pressure: "reading-paused" });
    onMemoryPressure!({ ...figures, pressure: "accepting-paused" });
    onMemoryPressure!({ ...figures, pressure: "sessions-ended", ended: 1 });
    onMemoryPressure!({ ...figures, pressure: "sessions-ended", ended: 2 });
    for (let i = 0; i < 9; i++) onMemoryPressure!({ ...figures, pressure: "none" });
    time.now += 10_000;
    onMemoryPressure!({ ...figures, pressure: "none" });
    const after = ": buffers hold 800 bytes, maxBufferMemory is 1000";
    assertEquals(lines, [
      `warn the sessions that hold most memory are not read for now${after}`,
      `warn no connection is accepted for now${after}`,
      `warn a session that held too much memory was ended${after}`,
      `warn 2 sessions that held too much memory were ended${after}`,
      ...Array(6).fill(`info memory is sufficient again${after}`),
      `info memory is sufficient again${after}; 3 more such messages were not logged`,
    ]);
  },
);

Deno.test("serve() accepts a LogTape logger", bounded, async () => {
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
    assertEquals(await readToReset(client), "");
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

Deno.test("serve() accepts a logger like those of @std/log", bounded, async () => {
  const logger = new ReturningLogger();
  const server = serve({ listener: memoryListener(), logger }, echo);
  await server.shutdown();
  assertEquals(logger.lines, [
    "info listening on memory state,address",
    "info draining (memory) state,address",
    "info closed (memory) state,address",
  ]);
});

Deno.test("serve() accepts console as a logger", { ...bounded, ignore: !canRunDeno }, async () => {
  const { code, stdout, stderr } = await runModule(`
    import { serve } from "library/serve/serve.ts";
    import { Session } from "library/session.ts";
    import { memoryListener } from "library/transport/mod.ts";
    const listener = memoryListener();
    const server = serve({ listener, logger: console }, () => {
      throw "50%d of %c{id}"; // a format for console, a template for LogTape
    });
    const client = new Session(listener.connect());
    await client.bytes().next().catch(() => {}); // it is reset
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

/** Servers whose handlers throw each what a handler can throw, one after the other. */
const THROWING = `
  import { serve } from "library/serve/serve.ts";
  import { Session } from "library/session.ts";
  import { THROWN } from "library/tests/_thrown.ts";
  import { memoryListener } from "library/transport/mod.ts";
  for (const [, thrown] of THROWN) {
    const listener = memoryListener();
    const server = serve({ listener, OPTIONS }, () => {
      throw thrown;
    });
    const client = new Session(listener.connect());
    await client.bytes().next().catch(() => {}); // it is reset
    await server.shutdown();
  }
`;

Deno.test("serve() prints whatever is thrown, and nothing that disturbs a terminal", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  const { code, stdout, stderr } = await runModule(THROWING.replace("OPTIONS", ""));
  assertEquals([code, stdout], [0, ""], stderr);
  assertFalse(isDisturbing(stderr));
  const firsts = stderr.trimEnd().split("\n").filter((line) => !/^( +at |caused by )/.test(line));
  assertEquals(firsts, THROWN.map(([, thrown]) => textOf(thrown)));
});

Deno.test(
  "serve() prints 10 errors within 10 s, and how many it has left out",
  bounded,
  async () => {
    using time = clock();
    using printed = capturePrinted();
    const listener = memoryListener();
    const server = serve({ listener }, ({ id }) => {
      throw `fault ${id}`;
    });
    const fail = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) await readToReset(new Session(listener.connect()));
    };
    await fail(100);
    const first = Array.from({ length: 10 }, (_, i) => `fault ${i + 1}`);
    assertEquals(printed.texts, first);
    time.now += 10_000;
    await fail(12);
    const omitted = ["fault 101", "90 more errors of handlers were not printed"];
    const second = Array.from({ length: 9 }, (_, i) => `fault ${i + 102}`);
    assertEquals(printed.texts, [...first, ...omitted, ...second]);
    await server.shutdown();
    assertEquals(printed.texts.at(-1), "2 more errors of handlers were not printed");
  },
);

Deno.test("serve() logs whatever is thrown to console, and nothing that disturbs a terminal", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  const { code, stdout, stderr } = await runModule(THROWING.replace("OPTIONS", "logger: console"));
  assertEquals(code, 0, stderr);
  assertFalse(isDisturbing(stdout + stderr));
  const threw = stderr.match(/^the handler of session \d+ from memory a threw: /gm);
  assertEquals(threw?.length, THROWN.length);
  assertFalse(/^ERROR forged/m.test(stdout + stderr));
});

Deno.test(
  "serve() logs whatever is thrown with fields that any logger can write",
  bounded,
  async () => {
    const listener = memoryListener();
    const lines: string[] = [];
    const write = (message: string, fields: LogFields): void => {
      lines.push(JSON.stringify({ message, ...fields }));
    };
    const logger = { debug: write, info: write, warn: write, error: write };
    let next = 0;
    const server = serve({ listener, logger }, () => {
      throw THROWN[next++]![1];
    });
    for (const _ of THROWN) {
      const client = new Session(listener.connect());
      await readToReset(client);
      await client.close();
    }
    await server.shutdown();
    for (
      const kind of [
        /^{"message":"the handler of session/,
        /^{"message":"session \d+ .* ended: error/,
      ]
    ) {
      assertEquals(lines.filter((line) => kind.test(line)).length, THROWN.length);
    }
    for (const line of lines) assertFalse(isDisturbing(line), line);
  },
);
