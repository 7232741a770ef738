import process from "node:process";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { ConnectError, ConnectionRefusedError, ConnectTimeoutError } from "../../errors.ts";
import { serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import {
  type Connection,
  formatAddress,
  memoryPair,
  normalizeAddress,
} from "../../transport/mod.ts";
import { dialUnix } from "../../transport/unix.ts";
import { dialing } from "../_dialing.ts";
import { canRun, canUnix } from "../_permissions.ts";
import { Program } from "../_programs.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  ConnectionOver,
  countedSignal,
  echo,
  overNetCounting,
  readAll,
  recorder,
  runModule,
  settle,
} from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const overUnix = { ...bounded, ignore: !canUnix };
const overUnixCounting = { ...overNetCounting, ignore: !canUnix || overNetCounting.ignore };
const overAbstract = { ...bounded, ignore: !canUnix || Deno.build.os !== "linux" };
const { AddrInUse } = Deno.errors;

/** A new path in a directory of its own. */
async function somePath(): Promise<AsyncDisposable & { path: string; files(): string[] }> {
  const dir = await makeTempDir();
  return {
    path: `${dir.path}/test.sock`,
    files: () => [...Deno.readDirSync(dir.path)].map(({ name }) => name),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** The permissions of a file. */
async function modeOf(path: string): Promise<number> {
  return (await Deno.lstat(path)).mode! & 0o7777;
}

/** Removes a file, before anything else can happen. */
function removeNow(path: string): void {
  Deno.removeSync(path);
}

/** Leaves a socket's file that nobody listens on, as a killed server does. */
async function leaveStale(path: string): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path: `${path}.0` });
  await Deno.rename(`${path}.0`, path);
  listener.close();
  // The clock of file systems is coarse, and what a killed server leaves is older than a tick of it.
  const born = (await Deno.lstat(path)).birthtime?.getTime();
  while (born !== undefined && await birthOfNext(`${path}.0`) === born) await tick();
}

/** When a file would be born now. */
async function birthOfNext(path: string): Promise<number | undefined> {
  await Deno.writeTextFile(path, "");
  const { birthtime } = await Deno.lstat(path);
  await Deno.remove(path);
  return birthtime?.getTime();
}

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

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
  assertEquals(refused.message, `cannot connect to @${path.slice(1)}: nobody listens there`);
});

Deno.test("formatAddress() shows no control character of a path", { permissions: "none" }, () => {
  assertEquals(formatAddress({ transport: "unix", path: "/tmp/a\nb\0\x1b[c" }), "/tmp/a?b??[c");
  assertEquals(formatAddress({ transport: "unix", path: "" }), "unix socket");
});

Deno.test("normalizeAddress() gives a nameless socket a path", { permissions: "none" }, () => {
  const nameless = { transport: "unix", path: null as unknown as string } as const;
  assertEquals(normalizeAddress(nameless), { transport: "unix", path: "" });
  assertEquals(formatAddress(nameless), "unix socket");
});

Deno.test("serve() sets the mode of its file", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  for (const mode of [0o600, 0o660, 0o777, 0]) {
    await using _server = serve({ path, mode }, echo);
    assertEquals(await modeOf(path), mode);
  }
  await leaveStale(path);
  await using server = serve({ path, mode: 0o642 }, echo);
  await server.listening;
  assertEquals(await modeOf(path), 0o642);
});

/** Puts a link to another file in the place of whatever is at the path, again and again, until its input ends. */
const SWAPPING = `
import os, sys, threading
path, victim = sys.argv[1:]
def swap():
    while True:
        try:
            os.unlink(path)
            os.symlink(victim, path)
        except OSError:
            pass
threading.Thread(target=swap, daemon=True).start()
print("swapping", flush=True)
sys.stdin.read()
`;

/** Tells each mode that the file at the path is seen with, once, until its input ends. */
const WATCHING = `
import os, sys, threading
path, = sys.argv[1:]
modes = set()
def watch():
    while True:
        try:
            mode = os.lstat(path).st_mode & 0o7777
        except OSError:
            continue
        if mode not in modes:
            modes.add(mode)
            print(f"{mode:o}", flush=True)
threading.Thread(target=watch, daemon=True).start()
print("watching", flush=True)
sys.stdin.read()
`;

/** A program in Python that is at work. */
async function inPython(source: string, ...args: string[]): Promise<Program> {
  const program = new Program("python3", ["-c", source, ...args]);
  await program.stdout.until(/\n/);
  return program;
}

const withPython = { ...overAbstract, ignore: overAbstract.ignore || !await canRun("python3") };

Deno.test(
  "serve() changes the mode of no file but its own, whoever swaps it",
  withPython,
  async () => {
    await using place = await somePath();
    const { path } = place;
    const victim = `${path}.victim`;
    await Deno.writeTextFile(victim, "mine", { mode: 0o600 });
    await using swapping = await inPython(SWAPPING, path, victim);
    for (let served = 0; served < 500;) {
      try {
        removeNow(path);
      } catch { /* it is gone already */ }
      let server: Server;
      try {
        server = serve({ path, mode: 0o666 }, echo);
      } catch (error) {
        assert(error instanceof AddrInUse, `${error}`);
        continue;
      }
      server.listening.catch(() => {});
      await server.shutdown();
      served++;
      assertEquals(await modeOf(victim), 0o600, `after ${served} servers`);
    }
    await swapping.endInput();
    await swapping.ended();
  },
);

Deno.test("serve() shows its file with no other mode", withPython, async () => {
  await using place = await somePath();
  const { path } = place;
  for (const mode of [0o600, 0o666]) {
    await using watching = await inPython(WATCHING, path);
    const told = `watching\n${mode.toString(8)}\n`;
    {
      await using _server = serve({ path, mode }, echo);
      await watching.stdout.until(/\n\d+\n/);
    }
    for (let round = 0; round < 500; round++) await serve({ path, mode }, echo).shutdown();
    await watching.endInput();
    assertEquals((await watching.ended()).stdout, told);
  }
});

Deno.test("serve() gives the umask back", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const umask = process.umask();
  await using _server = serve({ path, mode: 0o666 }, echo);
  assertEquals(process.umask(), umask);
  assertThrows(() => serve({ path: `${path}/no`, mode: 0o666 }, echo));
  assertEquals(process.umask(), umask);
});

Deno.test("serve() replaces the file of a server that was killed", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const seen = recorder();
  const server = serve({ path, observer: seen }, echo);
  assertEquals([server.state, server.addr], ["starting", { transport: "unix", path }]);
  assertEquals(seen.events, []);
  assertEquals(await server.listening, server.addr);
  assertEquals(server.state, "listening");
  const client = await connect({ path });
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await server.shutdown();
  assertEquals(seen.events, ["listening", "start 1", "end 1 peer", "draining", "closed"]);
  assertEquals(place.files(), []);
});

Deno.test("serve() leaves a server alone that listens", overUnixCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    await using place = await somePath();
    const { path } = place;
    await using server = serve({ path }, echo);
    await using client = await connect({ path });
    assertEquals(await ask(client, "rose"), "rose!");
    const seen = recorder();
    const late = serve({ path, observer: seen }, echo);
    const error = await assertRejects(() => late.listening, AddrInUse);
    assertEquals(error.message, `cannot listen on ${path}: a server listens there`);
    assert(error.cause instanceof AddrInUse);
    await late.finished;
    assertEquals([late.state, seen.events], ["closed", []]); // it was nothing that could close
    await late.shutdown();
    late.abort();
    assertEquals(seen.events, []);
    const suspended = serve({ path, observer: seen }, echo);
    suspended.suspend();
    await assertRejects(() => suspended.listening, AddrInUse);
    await suspended.finished;
    assertEquals(seen.events, ["suspended", "draining", "closed"]);
    assertEquals(place.files(), ["test.sock"]);
    assertEquals(await ask(client, "jo"), "jo!");
    await using next = await connect({ path });
    assertEquals(await ask(next, "ann"), "ann!");
    assertEquals(server.state, "listening");
  });
});

/** Listens on the path, accepts nothing before it is told to, and ends when it is told no more. */
const FULL = `
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(0)
print("listening", flush=True)
connections = []
for line in sys.stdin:
    connections.append(listener.accept())
`;

/** A server whose backlog is full. */
async function fullServer(path: string): Promise<AsyncDisposable & { accept(): Promise<void> }> {
  const child = new Deno.Command("python3", {
    args: ["-c", FULL, path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [output, input] = [child.stdout.getReader(), child.stdin.getWriter()];
  await output.read();
  const first = await Deno.connect({ transport: "unix", path });
  return {
    accept: () => input.write(new TextEncoder().encode("\n")),
    async [Symbol.asyncDispose](): Promise<void> {
      first.close();
      await input.close();
      await output.cancel();
      await child.status;
    },
  };
}

// Elsewhere, a connect may wait or be refused.
const overFull = { ...overUnix, ignore: overAbstract.ignore || !await canRun("python3") };

Deno.test("serve() leaves a server alone that is too busy to answer", overFull, async () => {
  await using place = await somePath();
  const { path } = place;
  await using _full = await fullServer(path);
  const error = await assertRejects(() => serve({ path }, echo).listening, AddrInUse);
  const problem = "a server listens there, and its backlog is full";
  assertEquals(error.message, `cannot listen on ${path}: ${problem}`);
  assertEquals(place.files(), ["test.sock"]);
});

Deno.test("serve() leaves a socket alone that it may not look at", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const cause = new Deno.errors.PermissionDenied("not yours");
  using _ = dialing(() => Promise.reject(cause));
  const error = await assertRejects(() => serve({ path }, echo).listening, AddrInUse);
  const problem = "whether a server listens there cannot be told (not yours)";
  assertEquals(error.message, `cannot listen on ${path}: ${problem}`);
  assertEquals(place.files(), ["test.sock"]);
});

Deno.test("serve() never replaces what is no socket", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const others: [make: () => void, isStill: () => boolean][] = [
    [() => Deno.writeTextFileSync(path, "mine"), () => Deno.readTextFileSync(path) === "mine"],
    [() => Deno.mkdirSync(path), () => Deno.lstatSync(path).isDirectory],
    [() => Deno.symlinkSync(`${path}.0`, path), () => Deno.lstatSync(path).isSymlink],
  ];
  await leaveStale(`${path}.0`); // which the link leads to
  for (const [make, isStill] of others) {
    make();
    const error = assertThrows(() => serve({ path }, echo), AddrInUse);
    const problem = "what is there is no socket, and is left alone";
    assertEquals(error.message, `cannot listen on ${path}: ${problem}`);
    assert(isStill());
    removeNow(path);
  }
});

Deno.test("serve() takes a path that is free again when it looks", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const real = Deno.connect;
  /** What the system finds while it is asked, or has found just before. */
  const looks: ((options: Deno.ConnectOptions) => Promise<Connection>)[] = [
    (options) => {
      removeNow(path);
      return real(options);
    },
    (options) => real(options).finally(() => removeNow(path)),
  ];
  for (const look of looks) {
    await leaveStale(path);
    let server: Server;
    {
      using _ = dialing(look);
      server = serve({ path }, echo);
      await server.listening;
    }
    const client = await connect({ path });
    assertEquals(await ask(client, "rose"), "rose!");
    await client.close();
    await server.shutdown();
  }
});

Deno.test("serve() gives a path to one of two that want it at once", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const [one, two] = [serve({ path }, echo), serve({ path }, echo)];
  const outcomes = await Promise.allSettled([one.listening, two.listening]);
  const winner = outcomes[0]!.status === "fulfilled" ? one : two;
  assertEquals(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const { reason } = outcomes.find(({ status }) => status === "rejected") as PromiseRejectedResult;
  assert(reason instanceof AddrInUse);
  assertStringIncludes(reason.message, `cannot listen on ${path}: `);
  assertEquals(winner.state, "listening");
  const client = await connect({ path });
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await Promise.all([one.shutdown(), two.shutdown()]);
  assertEquals(place.files(), []);
});

Deno.test("serve() does not replace a socket that came after it had looked", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const real = Deno.connect;
  let quick: Deno.Listener | undefined;
  using _ = dialing(async (options) => {
    try {
      return await real(options as Deno.ConnectOptions);
    } finally {
      removeNow(path);
      quick = Deno.listen({ transport: "unix", path });
    }
  });
  const error = await assertRejects(() => serve({ path }, echo).listening, AddrInUse);
  assertEquals(error.message, `cannot listen on ${path}: another server was faster`);
  assertEquals(place.files(), ["test.sock"]);
  quick!.close();
});

Deno.test("Server.shutdown() while a server starts leaves the file alone", overUnix, async () => {
  for (const stop of ["shutdown", "abort", "signal"] as const) {
    await using place = await somePath();
    const { path } = place;
    await leaveStale(path);
    const seen = recorder();
    const controller = new AbortController();
    const server = serve({ path, observer: seen, signal: controller.signal }, echo);
    if (stop === "signal") controller.abort();
    else server[stop]();
    await server.finished; // and that it does not listen is no unhandled rejection
    await settle();
    assertEquals([server.state, seen.events], ["closed", ["draining", "closed"]]);
    await assertRejects(() => server.listening, Deno.errors.BadResource);
    assertEquals(place.files(), ["test.sock"]);
  }
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

Deno.test("Server.shutdown() leaves the file of somebody else", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  for (const isFull of [false, true]) { // and so has an accept under way, or has not
    const server = serve({ path, maxSessions: isFull ? 1 : 2 }, echo);
    const served = await connect({ path });
    assertEquals(await ask(served, "rose"), "rose!");
    removeNow(path);
    await using next = serve({ path }, echo);
    await Promise.all([served.close(), server.shutdown()]);
    assertEquals(place.files(), ["test.sock"]);
    await using client = await connect({ path });
    assertEquals(await ask(client, "jo"), "jo!");
    assertEquals(next.stats().accepted, 1);
  }
  assertEquals(place.files(), []);
});

Deno.test("Server.shutdown() leaves a file that is no socket", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const server = serve({ path }, echo);
  removeNow(path);
  await Deno.writeTextFile(path, "mine");
  await server.shutdown();
  assertEquals([await Deno.readTextFile(path), place.files()], ["mine", ["test.sock"]]);
});

Deno.test("Server.shutdown() takes a file that is gone already", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const server = serve({ path }, echo);
  removeNow(path);
  await server.shutdown();
  assertEquals(place.files(), []);
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
  [{ path: "/a", listener: {} }, TypeError, `path and listener ${ONE_ADDRESS}`],
  [{ port: 0, mode: 0o600 }, TypeError, "mode is for a Unix socket, and needs a path"],
  [{ path: "/a", mode: "600" }, TypeError, "mode must be a number, got a string"],
  [{ path: "/a", mode: 0o1000 }, RangeError, "mode must be from 0o000 to 0o777, got 0o1000"],
  [{ path: "/a", mode: -1 }, RangeError, "mode must be from 0o000 to 0o777, got 0o-1"],
  [{ path: "/a", mode: 0.5 }, RangeError, "mode must be from 0o000 to 0o777, got 0o0.4"],
  [{ path: "\0a", mode: 0o600 }, TypeError, "mode is for a file, which an abstract name has not"],
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

Deno.test("connect() says what is wrong with a path", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  const missing = await failure({ path });
  assertEquals([missing.name, missing.address], ["ConnectError", path]);
  assertEquals(missing.message, `cannot connect to ${path}: there is no such file`);
  assert(missing.cause instanceof Deno.errors.NotFound);
  await leaveStale(path);
  const refused = await failure({ path });
  assert(refused instanceof ConnectionRefusedError);
  assertEquals(refused.message, `cannot connect to ${path}: nobody listens there`);
});

Deno.test("connect() waits for room in the backlog of a Unix socket", overFull, async () => {
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

Deno.test("connect() gives up on a full backlog after connectTimeout", overFull, async () => {
  await using place = await somePath();
  const { path } = place;
  await using _full = await fullServer(path);
  const error = await failure({ path, connectTimeout: 20 });
  assert(error instanceof ConnectTimeoutError);
  const problem = "no connection within 20 ms (connectTimeout)";
  assertEquals(error.message, `cannot connect to ${path}: ${problem}`);
});

Deno.test("connect() rejects with the reason of its signal while it waits", overFull, async () => {
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
});

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
  await assertRejects(() => dialUnix({ path }, signal), Deno.errors.NotFound);
  assertEquals(count.listeners, 0);
  await using _server = serve({ path }, echo);
  const connection = await dialUnix({ path }, signal);
  assertEquals(count.listeners, 0);
  connection.close();
});
