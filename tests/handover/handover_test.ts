import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type ChildProcess, fork } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { connect } from "../../connect/connect.ts";
import { handOver, keep, kept, relayHandover, takeOver } from "../../handover/mod.ts";
import { serve, type ServeOptions } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { memoryListener } from "../../transport/mod.ts";
import { sessionPair } from "../../testing/mod.ts";
import { canFork } from "../_permissions.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  echo,
  overNet,
  overNetCounting,
  portOf,
  readAll,
  recorder,
  settle,
  until,
} from "../_serving.ts";
import { counting } from "./_service.ts";

const overProcesses = { ...overNet, ignore: overNet.ignore || !canFork };

/** A process of `_server.ts`, which listens. */
interface Started extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly port: number;
}

/** Sends a signal: `ChildProcess.kill()` would also close the channel, and `Deno.kill()` needs every permission to run. */
async function kill(pid: number, signal: "STOP" | "KILL"): Promise<void> {
  await new Deno.Command("bash", { args: ["-c", `kill -${signal} ${pid}`] }).output();
}

async function startServer(name: string, options: Partial<ServeOptions> = {}): Promise<Started> {
  const program = new URL("./_server.ts", import.meta.url).pathname;
  const child = fork(program, [name, JSON.stringify(options)], { env: {}, execPath: "deno" });
  const [addr] = await once(child, "message") as [Deno.NetAddr];
  return {
    child,
    port: addr.port,
    async [Symbol.asyncDispose](): Promise<void> {
      const exited = once(child, "exit");
      child.send("stop");
      await exited;
    },
  };
}

/** Has a process hand over all its sessions. */
async function handedOver(child: ChildProcess): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onMessage = (message: unknown): void => void (message === "done" && resolve());
  child.on("message", onMessage);
  child.send("hand over");
  await promise;
  child.off("message", onMessage);
}

/** Sends lines until the client is told to stop, and sees the answers in order. Resolves with who has answered. */
async function talk(
  port: number,
  isOver: () => boolean,
  onAnswer: () => void = () => {},
): Promise<string[]> {
  await using client = await connect({ port });
  const names = new Set<string>();
  for (let i = 1; !isOver() || i <= 20; i++) {
    const half = `line ${i}`.slice(0, i % 5);
    await client.send(half);
    if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await client.send(`${`line ${i}`.slice(half.length)}\n`);
    const answer = await client.readLine();
    const [name] = answer!.split(" ");
    assertEquals(answer, `${name} ${i} line ${i}`);
    names.add(name!);
    if (i === 1) onAnswer();
  }
  return [...names];
}

Deno.test(
  "handOver() moves sessions under load to a child, and loses nothing",
  overProcesses,
  async () => {
    await using next = await startServer("new", { sessionRate: { perSecond: 1 } });
    const observer = recorder();
    const server = serve({ port: 0, transport: "node", observer }, counting("old"));
    let isOver = false;
    const talks = Promise.all(Array.from({ length: 20 }, () => talk(portOf(server), () => isOver)));
    await until(() => server.stats().accepted === 20);
    await until(() => server.stats().bytesRead > 2000);
    let moved = 0;
    while (moved < 20) moved += await handOver(server, next.child);
    await server.shutdown();
    isOver = true;
    for (const names of await talks) assertEquals(names, ["old", "new"]);
    assertEquals(observer.events.filter((event) => /^end \d+ handover$/.test(event)).length, 20);
  },
);

Deno.test(
  "relayHandover() moves sessions between two children, and loses nothing",
  overProcesses,
  async () => {
    await using old = await startServer("old");
    await using next = await startServer("new");
    let isOver = false;
    let seen = 0;
    const talking = () => talk(old.port, () => isOver, () => void seen++);
    const talks = Promise.all(Array.from({ length: 20 }, talking));
    const stop = relayHandover(old.child, next.child);
    await until(() => seen === 20);
    await handedOver(old.child);
    isOver = true;
    for (const names of await talks) assertEquals(names.at(-1), "new");
    stop();
  },
);

Deno.test(
  "handOver() takes unread input and what was kept along, there and back",
  overProcesses,
  async () => {
    await using next = await startServer("new");
    const server = serve({ port: 0, transport: "node" }, counting("old"));
    const stop = takeOver(server, next.child);
    await using client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, "one"), "old 1 one");
    const part = "x".repeat(40_000);
    await client.send(part);
    await client.flush();
    await until(() => server.stats().bytesRead === 4 + part.length);
    assertEquals(await handOver(server, next.child), 1);
    assertEquals(await ask(client, "two"), `new 2 ${part}two`);
    await client.send("half");
    await handedOver(next.child);
    assertEquals(await ask(client, " and half"), "old 3 half and half");
    await client.close();
    stop();
    await server.shutdown();
  },
);

Deno.test(
  "handOver() leaves sessions that are busy, and those without keep()",
  overProcesses,
  async () => {
    await using next = await startServer("new");
    const release = Promise.withResolvers<void>();
    const handlers: ((session: Session) => unknown)[] = [
      echo, // keeps nothing
      async (session) => {
        keep(session, 0);
        await session.readLine(); // a single reading
      },
      async (session) => {
        keep(session, 0);
        for await (const _ of session.bytes()); // a stream has no boundaries
      },
      async (session) => {
        keep(session, 0);
        await release.promise;
      },
      async (session) => {
        keep(session, 0);
        await session.closeWrite();
        for await (const _ of session);
      },
      async (session) => {
        keep(session, 0);
        session.send(new Uint8Array(2 ** 25)); // the client reads nothing
        for await (const _ of session);
      },
    ];
    const server = serve(
      { port: 0, transport: "node", maxBufferedOutput: 2 ** 26 },
      (session) => handlers[session.id - 1]!(session),
    );
    const clients: Session[] = [];
    for (const _ of handlers) {
      clients.push(await connect({ port: portOf(server) }));
      await until(() => server.sessions.size === clients.length);
    }
    assertEquals(await handOver(server, next.child), 0);
    assertEquals(server.sessions.size, handlers.length);
    release.resolve();
    server.abort();
    for (const client of clients) client.abort();
    await server.finished;
  },
);

Deno.test(
  "handOver() takes input along that came while a rate held it back",
  overProcesses,
  async () => {
    await using next = await startServer("new");
    const readRate = { perSecond: 1, burst: 5, exceeded: "wait" } as const;
    const server = serve({ port: 0, transport: "node", readRate }, counting("old"));
    await using client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, "1234"), "old 1 1234");
    await client.send("5678\n");
    await until(() => server.stats().waits.reads > 0);
    await settle();
    assertEquals(await handOver(server, next.child), 1);
    assertEquals(await client.readLine(), "new 2 5678");
    await server.shutdown();
  },
);

Deno.test("handOver() leaves a session whose output a rate holds back", overProcesses, async () => {
  await using next = await startServer("new");
  const writeRate = { perSecond: 1, burst: 5 };
  const server = serve({ port: 0, transport: "node", writeRate }, async (session) => {
    keep(session, 0);
    await session.send("0123456789");
    for await (const _ of session);
  });
  const client = await connect({ port: portOf(server) });
  await until(() => server.stats().waits.writes > 0);
  await settle();
  assertEquals(await handOver(server, next.child), 0);
  client.abort();
  server.abort();
  await Promise.all([client.closed, server.finished]);
});

Deno.test("takeOver() refuses sessions for which there is no room", overProcesses, async () => {
  await using next = await startServer("new", { maxSessions: 1 });
  const server = serve({ port: 0, transport: "node" }, counting("old"));
  const clients = [];
  for (const line of ["one", "two"]) {
    const client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, line), `old 1 ${line}`);
    clients.push(client);
  }
  assertEquals(await handOver(server, next.child), 2);
  const [first, second] = clients;
  assertEquals(await ask(first!, "three"), "new 2 three");
  assertEquals(await readAll(second!).catch(() => ""), "");
  await Promise.all(clients.map((client) => client.close()));
  await server.shutdown();
});

Deno.test("handOver() counts sessions where they are, and leaves no descriptor", {
  ...overNetCounting,
  ignore: overProcesses.ignore || overNetCounting.ignore,
}, async () => {
  await using next = await startServer("new", { maxSessionsPerAddress: 3 });
  await assertNoDescriptorLeft(async () => {
    const options = { port: 0, transport: "node", maxSessionsPerAddress: 3 } as const;
    const server = serve(options, counting("old"));
    const clients: Session[] = [];
    for (let round = 0; round < 2; round++) { // the second time, the first three count no more
      for (let i = 0; i < 3 - round; i++) {
        const client = await connect({ port: portOf(server) });
        assertEquals(await ask(client, "one"), "old 1 one");
        clients.push(client);
      }
      assertEquals(await handOver(server, next.child), 3 - round);
      assertEquals(server.stats().active, 0);
    }
    const answers = clients.map((client) => ask(client, "two").catch(() => undefined));
    const served = (await Promise.all(answers)).filter((answer) => answer === "new 2 two");
    assertEquals(served.length, 3); // the other two were refused
    for (const client of clients) client.abort();
    await Promise.all(clients.map(({ closed }) => closed));
    await server.shutdown();
    await isFree(next.port);
  });
});

/** Waits until a process with the limit above has no session of this address. */
async function isFree(port: number): Promise<void> {
  for (let free = false; !free;) {
    const clients = await Promise.all([0, 1, 2].map(() => connect({ port })));
    const answers = await Promise.all(
      clients.map((client) => ask(client, "free?").catch(() => undefined)),
    );
    free = answers.every((answer) => answer === "new 1 free?");
    await Promise.all(clients.map((client) => client.close()));
  }
}

/** What another process may send with a socket, and what is reported of it. */
const MALFORMED: [message: object, problem: string][] = [
  [{ parley: "session 2", unread: "", kept: "0" }, 'expected "session 1", got "session 2"'],
  [{ parley: "session 2" }, 'expected "session 1", got "session 2"'],
  [{ parley: "x".repeat(100_000), unread: "", kept: "0" }, `got "${"x".repeat(40)}"`],
  [{ parley: null, unread: "", kept: "0" }, "got null"],
  [{ parley: ["session 1"], unread: "", kept: "0" }, "got an object of class Array"],
  ...[undefined, null, 5, {}, ["QQ=="], "%%%", "Q=Q"].map((unread): [object, string] => [
    { parley: "session 1", unread, kept: "0" },
    "unread of a session handed over must be base64",
  ]),
  ...[undefined, null, 5, {}, [], "", "{", "undefined"].map((kept): [object, string] => [
    { parley: "session 1", unread: "", kept },
    "kept of a session handed over must be JSON",
  ]),
];

for (const name of ["takeOver", "relayHandover"] as const) {
  Deno.test(`${name}() reports malformed messages, and closes their sockets`, {
    ...overNet,
    timeout: 20_000,
  }, async () => {
    const channel = new EventEmitter();
    const errors: Error[] = [];
    const onError = (error: unknown): void => void errors.push(error as Error);
    await using server = serve({ port: 0, transport: "node", onError }, counting("new"));
    const stop = name === "takeOver"
      ? takeOver(server, channel)
      : relayHandover(channel, channel, { onError });
    let message: object = {};
    const acceptor = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      channel.emit("message", message, socket);
    });
    acceptor.listen(0, "127.0.0.1");
    await once(acceptor, "listening");
    const { port } = acceptor.address() as AddressInfo;
    for (const [malformed, problem] of MALFORMED) {
      message = malformed;
      const client = await connect({ port });
      assertEquals(await client.readLine().catch(() => undefined), undefined);
      await client.close();
      assertStringIncludes(errors.at(-1)!.message, problem);
    }
    assertEquals(errors.length, MALFORMED.length);
    // Messages of the user are none, and neither are those whose socket was closed on the way.
    for (const other of [null, undefined, 5, "parley", {}, []]) channel.emit("message", other);
    channel.emit("message", { parley: "session 1", unread: "", kept: "0" }, undefined);
    assertEquals(errors.length, MALFORMED.length);
    if (name === "takeOver") {
      assertEquals(server.stats().acceptErrors, MALFORMED.length);
      message = { parley: "session 1", unread: btoa("one"), kept: "7" };
      await using client = await connect({ port });
      assertEquals(await ask(client, " two"), "new 8 one two");
    }
    stop();
    acceptor.close(); // which does not wait for the socket that was taken over
  });
}

for (const ending of ["sent", "exit"] as const) {
  Deno.test(
    `relayHandover() listens once for all sockets on their way (${ending})`,
    overNet,
    async () => {
      const COUNT = 20;
      const [from, to] = [new EventEmitter(), new EventEmitter()];
      const sent: [Socket, () => void][] = [];
      const send = (
        _: object,
        socket: Socket,
        __: undefined,
        done: (error: null) => void,
      ): boolean => sent.push([socket, () => done(null)]) > 0;
      const errors: unknown[] = [];
      const channel = Object.assign(to, { send });
      const stop = relayHandover(from, channel, { onError: (error) => void errors.push(error) });
      const acceptor = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        from.emit("message", { parley: "session 1", unread: "", kept: "0" }, socket);
      });
      acceptor.listen(0, "127.0.0.1");
      await once(acceptor, "listening");
      const { port } = acceptor.address() as AddressInfo;
      const clients = await Promise.all(Array.from({ length: COUNT }, () => connect({ port })));
      await until(() => sent.length === COUNT);
      const counts = () => ["exit", "disconnect"].map((event) => to.listenerCount(event));
      assertEquals(counts(), [1, 1]);
      if (ending === "exit") to.emit("exit");
      for (const [socket, done] of sent) {
        done(); // after the end, too late
        socket.destroy();
      }
      assertEquals(counts(), [0, 0]);
      await settle();
      assertEquals(errors.length, ending === "exit" ? COUNT : 0);
      for (const client of clients) client.abort();
      stop();
      acceptor.close();
    },
  );
}

Deno.test("relayHandover() reports what it cannot pass on", overProcesses, async () => {
  await using old = await startServer("old");
  const errors: Error[] = [];
  const onError = (error: unknown): void => void errors.push(error as Error);
  const cause = new Error("the channel is closed");
  const send = (): never => {
    throw cause;
  };
  const stop = relayHandover(old.child, { send, on: () => {}, off: () => {} }, { onError });
  const client = await connect({ port: old.port });
  assertEquals(await ask(client, "one"), "old 1 one");
  await handedOver(old.child);
  assertEquals(await client.readLine(), undefined);
  assertEquals(errors.map(({ message, cause }) => [message, cause]), [
    ["a session could not be handed over", cause],
  ]);
  await client.close();
  stop();
});

Deno.test("handOver() stops at the first session that cannot be sent", overNet, async () => {
  const server = serve({ port: 0, transport: "node" }, counting("old"));
  const clients: Session[] = [];
  for (const line of ["one", "two", "three"]) {
    const client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, line), `old 1 ${line}`);
    clients.push(client);
  }
  const cause = new Error("the channel is closed");
  for (
    const send of [
      (
        _message: unknown,
        _socket: unknown,
        _options: unknown,
        callback: (error: Error) => void,
      ) => {
        queueMicrotask(() => callback(cause));
        return false;
      },
      () => {
        throw cause;
      },
    ]
  ) {
    const channel = { send, on: () => {}, off: () => {} };
    const error = await assertRejects(
      () => handOver(server, channel),
      Error,
      "could not be handed",
    );
    assertEquals(error.cause, cause);
    const lost = clients.shift()!;
    assertEquals(await lost.readLine(), undefined);
    await lost.close();
  }
  assertEquals(server.sessions.size, 1);
  assertEquals(await ask(clients[0]!, "four"), "old 2 four");
  await clients[0]!.close();
  await server.shutdown();
});

Deno.test("handOver() rejects if the other process dies while a socket waits for it", {
  ...overProcesses,
  timeout: 30_000,
}, async () => {
  const server = serve({ port: 0, transport: "node" }, counting("old"));
  const clients: Session[] = [];
  for (let n = 0; n < 4; n++) {
    const client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, "one"), "old 1 one");
    clients.push(client);
  }
  const program = new URL("./_server.ts", import.meta.url).pathname;
  const child = fork(program, ["new", "{}"], { env: {}, execPath: "deno" });
  await once(child, "message");
  const exited = once(child, "exit");
  await kill(child.pid!, "STOP"); // the first socket is in the channel then, and the second one waits
  const failed = assertRejects(() => handOver(server, child), Error, "could not be handed");
  await until(() => server.sessions.size === 2);
  await kill(child.pid!, "KILL");
  await failed;
  await exited;
  if (child.connected) child.disconnect();
  assertEquals(server.sessions.size, 2);
  for (const client of clients.slice(2)) assertEquals(await ask(client, "two"), "old 2 two");
  for (const client of clients) client.abort();
  await server.shutdown();
});

Deno.test("handOver() refuses what it cannot use", bounded, async () => {
  const server = serve({ listener: memoryListener() }, echo);
  const channel = { on: () => {}, off: () => {}, send: () => true };
  await assertRejects(
    () => handOver({} as typeof server, channel),
    TypeError,
    "server must be one",
  );
  for (const lacking of [{ ...channel, connected: false }, { on: channel.on, off: channel.off }]) {
    await assertRejects(() => handOver(server, lacking), TypeError, "channel must be connected");
  }
  assertThrows(() => takeOver({} as typeof server, channel), TypeError, "server must be one");
  await server.shutdown();
});

Deno.test("keep() takes what JSON can hold, up to 64 KiB", { permissions: "none" }, () => {
  const [left, right] = sessionPair();
  const state = { name: "rose", seen: [1, 2] };
  keep(left, state);
  state.seen.push(3);
  assertEquals(kept(left), { name: "rose", seen: [1, 2] });
  assertThrows(
    () => keep(left, undefined),
    TypeError,
    "state must be a value for JSON, got undefined",
  );
  assertThrows(() => keep(left, 1n), TypeError);
  keep(left, "x".repeat(65_534));
  assertThrows(
    () => keep(left, "x".repeat(65_535)),
    RangeError,
    "at most 65536 characters of JSON, got 65537",
  );
  assert(kept(right) === undefined);
  left.abort();
  right.abort();
});
