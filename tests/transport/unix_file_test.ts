// The file of a Unix socket: its mode, whose it is, and who may replace it.

import process from "node:process";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { hasDenoSockets } from "../../_internal/deno_sockets.ts";
import { connect } from "../../connect/connect.ts";
import { serve, type Server } from "../../serve/serve.ts";
import type { Connection } from "../../transport/mod.ts";
import { dialing } from "../_dialing.ts";
import { canRun, canUnix } from "../_permissions.ts";
import { ask, assertNoDescriptorLeft, echo, recorder, runModule, settle } from "../_serving.ts";
import {
  beforeRenaming,
  fullServer,
  inPython,
  leaveStale,
  modeOf,
  overUnix,
  overUnixCounting,
  overUnixMode,
  removeNow,
  somePath,
  withPython,
} from "../_unix.ts";

const { AddrInUse } = Deno.errors;

Deno.test("serve() sets the mode of its file", overUnixMode, async () => {
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

const withPythonMode = { ...withPython, ignore: withPython.ignore || overUnixMode.ignore };

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

Deno.test(
  "serve() changes the mode of no file but its own, whoever swaps it",
  withPythonMode,
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

Deno.test("serve() shows its file with no other mode", withPythonMode, async () => {
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

Deno.test("serve() gives the umask back", overUnixMode, async () => {
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

Deno.test("serve() leaves a server alone that is too busy to answer", withPython, async () => {
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
  const problem = "cannot find out whether a server listens there (not yours)";
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
    const problem = "there is a file that is not a socket";
    assertEquals(error.message, `cannot listen on ${path}: ${problem}`);
    assert(isStill());
    removeNow(path);
  }
});

Deno.test("serve() takes over a path that has become free", {
  ...overUnix,
  ignore: overUnix.ignore || !hasDenoSockets,
}, async () => {
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

/** Listens on the path in the place of whatever is there, as a server in another process does. */
function replaceNow(path: string): Deno.Listener {
  removeNow(path);
  return Deno.listen({ transport: "unix", path });
}

Deno.test("serve() does not replace a socket that came after it had looked", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  const real = Deno.connect;
  let looks = 0;
  let quick: Deno.Listener | undefined;
  using _ = dialing(async (options) => {
    try {
      return await real(options as Deno.ConnectOptions);
    } finally {
      if (++looks === 2) quick = replaceNow(path);
    }
  });
  const error = await assertRejects(() => serve({ path }, echo).listening, AddrInUse);
  assertEquals(error.message, `cannot listen on ${path}: another server was faster`);
  assertEquals(place.files(), ["test.sock"]);
  quick!.close();
});

Deno.test("serve() puts a socket back that came while it took another away", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  let quick: Deno.Listener | undefined;
  using _ = beforeRenaming(() => quick = replaceNow(path));
  const error = await assertRejects(() => serve({ path }, echo).listening, AddrInUse);
  assertEquals(error.message, `cannot listen on ${path}: another server was faster`);
  assertEquals(place.files(), ["test.sock"]);
  const accepted = quick!.accept();
  const client = await Deno.connect({ transport: "unix", path });
  (await accepted).close();
  client.close();
  quick!.close();
});

Deno.test("serve() takes over a path whose file disappears meanwhile", overUnix, async () => {
  await using place = await somePath();
  const { path } = place;
  await leaveStale(path);
  using _ = beforeRenaming(() => removeNow(path));
  await using server = serve({ path }, echo);
  await server.listening;
  assertEquals(place.files(), ["test.sock"]);
});

/** Binds the path, and listens on it when it is told to. */
const STARTING = `
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
print("bound", flush=True)
sys.stdin.readline()
listener.listen()
print("listening", flush=True)
sys.stdin.read()
`;

Deno.test(
  "serve() leaves a server alone that has bound and does not listen yet",
  withPython,
  async () => {
    await using place = await somePath();
    const { path } = place;
    await using starting = await inPython(STARTING, path);
    const real = Deno.connect;
    using _ = dialing(async (options) => {
      try {
        return await real(options as Deno.ConnectOptions);
      } catch (error) {
        await starting.type("\n");
        await starting.stdout.until(/listening\n/);
        throw error;
      }
    });
    const error = await assertRejects(() => serve({ path }, echo).listening, AddrInUse);
    assertEquals(error.message, `cannot listen on ${path}: a server listens there`);
    assertEquals(place.files(), ["test.sock"]);
    await starting.endInput();
    await starting.ended();
  },
);

/** Two threads that want one path again and again, at the same moment; tells how it went. */
const RIVALS = `
const rival = \`
  import { serve } from "library/serve/serve.ts";
  let server;
  self.onmessage = async ({ data: { path, at } }) => {
    if (path === undefined) return self.postMessage(await server?.shutdown());
    while (performance.timeOrigin + performance.now() < at);
    server = serve({ path }, () => {});
    server.listening.then(() => self.postMessage("listening"), ({ message }) => self.postMessage(message));
  };
\`;
const url = "data:application/typescript," + encodeURIComponent(rival);
const workers = [0, 1].map(() => new Worker(url, { type: "module" }));
const ask = (message) => Promise.all(workers.map((worker) => new Promise((resolve) => {
  worker.onmessage = ({ data }) => resolve(data);
  worker.postMessage(message);
})));
for (let round = 0; round < 100; round++) {
  const stale = Deno.listen({ transport: "unix", path: path + ".0" });
  Deno.renameSync(path + ".0", path);
  stale.close();
  const at = performance.timeOrigin + performance.now() + 5;
  console.log((await ask({ path, at })).sort().join("; ").replaceAll(path, "PATH"));
  await ask({});
}
for (const worker of workers) worker.terminate();
`;

Deno.test("serve() gives a path to one of two threads that want it at once", {
  ...overUnix,
  ignore: !canUnix || !await canRun("deno"),
}, async () => {
  await using place = await somePath();
  const source = `const path = ${JSON.stringify(place.path)};${RIVALS}`;
  const { code, stdout, stderr } = await runModule(source);
  assertEquals(code, 0, stderr);
  const lines = stdout.trimEnd().split("\n");
  assertEquals(lines.length, 100);
  const other =
    /^cannot listen on PATH: (another server was faster|a server listens there); listening$/;
  assertEquals(lines.filter((line) => !other.test(line)), []);
  assertEquals(place.files(), []);
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

Deno.test("Server.shutdown() leaves the file of another server", overUnix, async () => {
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
