import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { hasDenoSockets } from "../../_internal/deno_sockets.ts";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { ConnectError, ConnectionRefusedError, ConnectTimeoutError } from "../../errors.ts";
import { serve, type ServeOptions } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import {
  type Connection,
  formatAddress,
  memoryPair,
  normalizeAddress,
} from "../../transport/mod.ts";
import { memoryListener } from "../../transport/memory.ts";
import { dialUnix } from "../../transport/unix.ts";
import { dialing } from "../_dialing.ts";
import { canRun, canUnix, hasUnixListening } from "../_permissions.ts";
import {
  ask,
  bounded,
  ConnectionOver,
  countedSignal,
  echo,
  readAll,
  recorder,
  runModule,
  settle,
} from "../_serving.ts";
import { fullServer, leaveStale, overAbstract, overUnix, somePath, withPython } from "../_unix.ts";

const { AddrInUse } = Deno.errors;

Deno.test("serve() and connect() take a path", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  let seen: Session | undefined;
  const server = serve({ path, keepAlive: true }, (session) => echo(seen = session));
  assertEquals([server.state, server.addr], ["listening", { transport: "unix", path }]);
  assertEquals(await server.listening, server.addr);
  const client = await connect({ path, keepAlive: true });
  assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(client.remoteAddr, { transport: "unix", path });
  assertEquals(client.localAddr, { transport: "unix", path: "" });
  assertEquals(seen!.remoteAddr, { transport: "unix", path: "" });
  assertEquals(seen!.localAddr, { transport: "unix", path });
  await client.close();
  await server.shutdown();
  assertEquals(place.files(), []);
  // What is gone can be listened on again, at once.
  await using again = serve({ path }, echo);
  assertEquals(again.state, "listening");
});

Deno.test("serve() neither judges nor counts peers on a Unix socket", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const options: ServeOptions = { allow: [], deny: ["0.0.0.0/0", "::/0"] };
  await using _server = serve({ path, ...options, maxSessionsPerAddress: 1 }, echo);
  await using one = await connect({ path });
  await using two = await connect({ path });
  assertEquals([await ask(one, "rose"), await ask(two, "jo")], ["rose!", "jo!"]);
});

Deno.test("serve() logs peers on a Unix socket by a name", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const logger = { debug: log, info: log, warn: log, error: log };
  const server = serve({ path, logger }, () => {});
  await using client = await connect({ path });
  await readAll(client);
  await client.close();
  await server.shutdown();
  assertEquals(lines.slice(0, 2), [
    `listening on ${path}`,
    "session 1 from unix socket started",
  ]);
});

Deno.test("serve() takes an abstract name", overAbstract, async () => {
  const path = `\0parley-${crypto.randomUUID()}`;
  const server = serve({ path }, echo);
  assertEquals(server.addr, { transport: "unix", path });
  assertEquals(formatAddress(server.addr), `@${path.slice(1)}`);
  const client = await connect({ path });
  assertEquals(await ask(client, "rose"), "rose!");
  const error = assertThrows(() => serve({ path }, echo), AddrInUse);
  assertEquals(error.message, `cannot listen on @${path.slice(1)}: a server listens there`);
  await client.close();
  await server.shutdown();
  const refused = await assertRejects(() => connect({ path }), ConnectionRefusedError);
  assertEquals(refused.message, `cannot connect to @${path.slice(1)}: nothing listens there`);
});

Deno.test("formatAddress() shows no control character of a path", { permissions: "none" }, () => {
  assertEquals(
    formatAddress({ transport: "unix", path: "/tmp/a\nb\0\x1b[c" }),
    "/tmp/a\\nb\\x00\\x1b[c",
  );
  assertEquals(formatAddress({ transport: "unix", path: "" }), "unix socket");
});

Deno.test("normalizeAddress() gives a nameless socket a path", { permissions: "none" }, () => {
  const nameless = { transport: "unix", path: null as unknown as string } as const;
  assertEquals(normalizeAddress(nameless), { transport: "unix", path: "" });
  assertEquals(formatAddress(nameless), "unix socket");
});

Deno.test("Server.suspend() while a server starts holds until resume()", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const seen = recorder();
  const server = serve({ path, observer: seen }, echo);
  server.suspend();
  server.resume();
  assertEquals(server.state, "starting");
  server.suspend();
  await server.listening;
  const client = await connect({ path });
  const answer = ask(client, "rose");
  await settle();
  assertEquals([server.state, server.stats().accepted], ["suspended", 0]);
  server.resume();
  assertEquals(await answer, "rose!");
  await client.close();
  await server.shutdown();
  assertEquals(seen.events.slice(0, 4), ["suspended", "suspended", "listening", "start 1"]);
});

Deno.test("Server.unref() lets the process end on a Unix socket", {
  ...overUnix,
  ignore: !canUnix || !await canRun("deno"),
}, async () => {
  await using place = await somePath();
  for (const isStale of [false, true]) {
    if (isStale) await leaveStale(place.path);
    const { code, stdout, stderr } = await runModule(`
      import { serve } from "library/serve/serve.ts";
      const server = serve({ path: ${JSON.stringify(place.path)} }, () => {});
      server.unref();
      await server.listening;
      console.log(server.state);
    `);
    assertEquals([code, stdout], [0, "listening\n"], stderr);
  }
});

Deno.test("serve() ends a program that looks at nothing when its path is taken", {
  ...overUnix,
  ignore: !canUnix || !await canRun("deno"),
}, async () => {
  await using place = await somePath();
  const { path } = place;
  await using _server = serve({ path }, echo);
  const { code, stderr } = await runModule(`
    import { serve } from "library/serve/serve.ts";
    await serve({ path: ${JSON.stringify(path)} }, () => {}).finished;
  `);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `cannot listen on ${path}: a server listens there`);
});

Deno.test("serve() and connect() need no permission beyond the path's own, and mode --allow-sys", {
  ...overUnix,
  ignore: !canUnix || !await canRun("deno"),
}, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const own = { net: [`unix:${path}`], read: [path], write: [path], import: true };
  const needed = 'NotCapable: Requires sys access to "umask", run again with the --allow-sys flag';
  const cases: [permissions: object, mode: string, heard: string][] = [
    [own, "", "welcome!"],
    [{ ...own, sys: true }, ", mode: 0o600", "welcome!"],
    [own, ", mode: 0o600", needed],
  ];
  for (const [permissions, mode, heard] of cases) {
    // `deno eval` has all permissions, so the program starts a worker that has not.
    const { code, stdout, stderr } = await runModule(
      `
      const source = \`
        import { serve } from "library/serve/serve.ts";
        import { connect } from "library/connect/connect.ts";
        const path = ${JSON.stringify(path)};
        try {
          const server = serve({ path${mode} }, (session) => session.send("welcome!"));
          await server.listening;
          const client = await connect({ path });
          for await (const text of client) self.postMessage(text);
          await client.close();
          await server.shutdown();
        } catch (error) {
          self.postMessage(String(error));
        }
        self.close();
      \`;
      const url = "data:application/typescript," + encodeURIComponent(source);
      const permissions = ${JSON.stringify(permissions)};
      const worker = new Worker(url, { type: "module", deno: { permissions } });
      worker.onmessage = ({ data }) => console.log(data);
    `,
      { flags: ["--unstable-worker-options"] },
    );
    assertEquals([code, stdout], [0, `${heard}\n`], stderr);
  }
});

Deno.test("serve() and connect() pass on that a path may not be used", {
  permissions: "none",
  ignore: !hasUnixListening,
}, async () => {
  const path = "/run/parley-test.sock";
  assertThrows(() => serve({ path }, echo), Deno.errors.NotCapable);
  await assertRejects(() => connect({ path }), Deno.errors.NotCapable);
});

Deno.test("serve() names the path whose directory does not exist", overUnix, async () => {
  await using place = await somePath();
  const path = `${place.path}/no/test.sock`;
  const error = assertThrows(() => serve({ path }, echo), Deno.errors.NotFound);
  assertEquals(error.message, `cannot listen on ${path}: its directory does not exist`);
});

const ONE_ADDRESS = "exclude each other: one socket has one address";
const BAD: [option: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [{ path: 5 }, TypeError, "path must be a string, got a number"],
  [{ path: null }, TypeError, "path must be a string, got null"],
  [
    { path: "" },
    TypeError,
    'path must be that of a file, or a NUL and a name (Linux), got ""',
  ],
  [
    { path: "\0" },
    TypeError,
    'path must be that of a file, or a NUL and a name (Linux), got "\\u0000"',
  ],
  [
    { path: "/a\0b" },
    TypeError,
    'path must be that of a file, or a NUL and a name (Linux), got "/a\\u0000b"',
  ],
  [{ path: "/a", port: 80 }, TypeError, `path and port ${ONE_ADDRESS}`],
  [{ path: "/a", hostname: "::1" }, TypeError, `path and hostname ${ONE_ADDRESS}`],
];
const BAD_FOR_SERVE: typeof BAD = [
  [{ path: "/a", listener: memoryListener() }, TypeError, `path and listener ${ONE_ADDRESS}`],
  [{ port: 0, mode: 0o600 }, TypeError, "mode is for a Unix socket, and needs a path"],
  [{ path: "/a", mode: "600" }, TypeError, "mode must be a number, got a string"],
  [{ path: "/a", mode: 0o1000 }, RangeError, "mode must be from 0o000 to 0o777, got 0o1000"],
  [{ path: "/a", mode: -1 }, RangeError, "mode must be from 0o000 to 0o777, got 0o-1"],
  [{ path: "/a", mode: 0.5 }, RangeError, "mode must be from 0o000 to 0o777, got 0o0.4"],
  [{ path: "\0a", mode: 0o600 }, TypeError, "mode is for a file, but an abstract name has none"],
];

Deno.test("serve() and connect() refuse bad paths by name and value", {
  permissions: "none",
}, async () => {
  for (const [option, kind, says] of BAD) {
    assertThrows(() => serve(option as ServeOptions, echo), kind, says);
    await assertRejects(() => connect(option as ConnectOptions), kind, says);
  }
  for (const [option, kind, says] of BAD_FOR_SERVE) {
    assertThrows(() => serve(option as ServeOptions, echo), kind, says);
  }
  assertThrows(() => serve({}, echo), TypeError, "port must be a number, got undefined");
  await assertRejects(() => connect({}), TypeError, "port must be a number, got undefined");
});

Deno.test(
  "serve() and connect() take a path as long as the system does",
  overAbstract,
  async () => {
    await using place = await somePath();
    const longest = place.path.padEnd(107, "x");
    const path = `${place.path.padEnd(105, "x")}é`; // of two bytes
    for (const each of [longest, path, `\0${longest.replaceAll("/", "-")}`]) {
      await using _server = serve({ path: each }, echo);
      await using client = await connect({ path: each });
      assertEquals(await ask(client, "rose"), "rose!");
      const says = `path must be at most 107 bytes, got 108: ${JSON.stringify(`${each}y`)}`;
      assertThrows(() => serve({ path: `${each}y` }, echo), RangeError, says);
      await assertRejects(() => connect({ path: `${each}y` }), RangeError, says);
    }
  },
);

async function failure(options: ConnectOptions): Promise<ConnectError> {
  return await assertRejects(() => connect(options), ConnectError);
}

Deno.test("connect() explains errors of a path", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const missing = await failure({ path });
  assertEquals([missing.name, missing.address], ["ConnectError", path]);
  assertEquals(missing.message, `cannot connect to ${path}: no such file`);
  assert(missing.cause instanceof Deno.errors.NotFound);
  await leaveStale(path);
  const refused = await failure({ path });
  assert(refused instanceof ConnectionRefusedError);
  assertEquals(refused.message, `cannot connect to ${path}: nothing listens there`);
});

Deno.test("connect() waits for room in the backlog of a Unix socket", {
  ...withPython,
  ignore: withPython.ignore || !hasDenoSockets,
}, async () => {
  await using place = await somePath();
  const { path } = place;
  await using full = await fullServer(path);
  const real = Deno.connect;
  let dials = 0;
  using _ = dialing((options) => {
    dials++;
    return real(options as Deno.ConnectOptions);
  });
  const connected = connect({ path });
  await settle();
  await full.accept();
  const session = await connected;
  assert(dials > 1);
  session.abort();
  await session.closed;
});

Deno.test("connect() gives up on a full backlog after connectTimeout", withPython, async () => {
  await using place = await somePath();
  const { path } = place;
  await using _full = await fullServer(path);
  const error = await failure({ path, connectTimeout: 20 });
  assert(error instanceof ConnectTimeoutError);
  const problem = "no connection within 20 ms (connectTimeout)";
  assertEquals(error.message, `cannot connect to ${path}: ${problem}`);
});

Deno.test(
  "connect() rejects with the reason of its signal while it waits",
  withPython,
  async () => {
    await using place = await somePath();
    const { path } = place;
    await using _full = await fullServer(path);
    for (const reason of [new Error("enough"), "enough", undefined]) {
      const controller = new AbortController();
      const count = countedSignal(controller.signal);
      const thrown = connect({ path, signal: controller.signal }).catch((error) => error);
      await settle();
      controller.abort(reason);
      assertStrictEquals(await thrown, controller.signal.reason);
      assertEquals(count.listeners, 0);
    }
  },
);

Deno.test("connect() closes what a Unix socket brings after its signal", bounded, async () => {
  const dialled = Promise.withResolvers<Connection>();
  using _ = dialing(() => dialled.promise);
  const controller = new AbortController();
  const reason = new Error("enough");
  const connecting = connect({ path: "/a", signal: controller.signal }).catch((error) => error);
  await settle();
  controller.abort(reason);
  assertStrictEquals(await connecting, reason); // though the dial goes on
  let closes = 0;
  class Closed extends ConnectionOver {
    override close(): void {
      closes++;
      super.close();
    }
  }
  const [near, far] = memoryPair();
  dialled.resolve(new Closed(near));
  await settle();
  assertEquals(closes, 1);
  far.close();
});

Deno.test("dialUnix() leaves no listener on its signal", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const { signal } = new AbortController();
  const count = countedSignal(signal);
  await assertRejects(() => dialUnix(path, signal), Deno.errors.NotFound);
  assertEquals(count.listeners, 0);
  await using _server = serve({ path }, echo);
  const connection = await dialUnix(path, signal);
  assertEquals(count.listeners, 0);
  connection.close();
});
