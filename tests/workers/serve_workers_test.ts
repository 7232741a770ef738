import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type ServerState, SessionEndedError, systemErrors } from "../../mod.ts";
import { serveWorkers, WorkerCrashError } from "../../workers/mod.ts";
import { until } from "../_serving.ts";
import { dial, dialEach, kill, serveCommands, service, stop, withWorkers } from "./_workers.ts";

type ErrorClass = new (...args: never[]) => Error;

Deno.test(
  "serveWorkers() serves in each worker, and adds up their figures",
  withWorkers,
  async () => {
    const states: ServerState[] = [];
    const started: number[] = [];
    const { server } = await serveCommands({
      workers: 3,
      observer: {
        onStateChange: (state) => void states.push(state),
        onWorkerStart: (worker) => void started.push(worker),
      },
    });
    assertEquals([server.state, started.toSorted()], ["listening", [0, 1, 2]]);
    const clients = await dialEach(server, 3);
    await until(() => server.stats().active === 3);
    const { accepted, bytesRead, workers } = server.stats();
    assertEquals(
      workers.map(({ worker, state, deaths, stats }) => [worker, state, deaths, stats.active]),
      [
        [0, "serving", 0, 1],
        [1, "serving", 0, 1],
        [2, "serving", 0, 1],
      ],
    );
    assertEquals([accepted >= 3, bytesRead], [true, accepted * "thread\n".length]);
    const closed = clients.map((client) => client.readLine());
    await server.shutdown();
    assertEquals(await Promise.all(closed), [undefined, undefined, undefined]);
    assertEquals([server.state, states], ["closed", ["listening", "draining", "closed"]]);
    assertEquals([server.stats().active, server.stats().accepted], [0, accepted]);
    for (const client of clients) await client.close();
  },
);

Deno.test("serveWorkers() starts a worker again that has died", withWorkers, async (t) => {
  for (
    const [command, reason, message] of [
      ["die", "error", "told to die"],
      ["reject", "error", "told to reject"],
      ["exit", "exit", "the worker has exited with code 3"],
    ] as const
  ) {
    await t.step(command, async () => {
      const { server, deaths } = await serveCommands();
      const [victim, other] = await dialEach(server, 2);
      await kill(victim!, command);
      await until(() => deaths.length === 1);
      const [worker, end] = deaths[0]!;
      assertEquals([end.reason, end.cause.message, end.restartIn], [reason, message, 50]);
      await until(() => server.stats().workers[worker]!.state === "serving");
      assertEquals(server.stats().workers[worker]!.deaths, 1);
      const again = await dialEach(server, 2);
      await other!.send("thread\n");
      assert(await other!.readLine());
      await stop(server, [other!, ...again]);
      assertEquals(deaths.length, 1);
    });
  }
});

Deno.test(
  "serveWorkers() goes on when a handler throws, as serve() does",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({ workers: 1 });
    const client = await dial(server);
    await client.send("throw\n");
    await assertRejects(() => client.readLine(), SessionEndedError);
    await until(() => server.stats().handlerErrors === 1);
    await server.shutdown();
    assertEquals(deaths, []);
  },
);

Deno.test(
  "serveWorkers() gives up a server whose workers die at once again and again",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({ workers: 1, maxCrashes: 3 });
    const failed = assertRejects(() => server.finished, WorkerCrashError, "worker 0 (error)");
    while (server.state === "listening") {
      try {
        await kill(await dial(server));
      } catch { // it does not listen at the moment
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    const { cause } = await failed;
    assertEquals((cause as Error).message, "told to die");
    assertEquals(deaths.map(([, { restartIn }]) => restartIn), [50, 100, Infinity]);
  },
);

Deno.test(
  "serveWorkers() tells of a worker without memory, and starts it again",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({
      workers: 1,
      maxHeap: 32 * 1024 * 1024,
      workerTimeout: 8000,
    });
    const [client, other] = [await dial(server), await dial(server)];
    // Deno 2.9.6 ends only the function at times, and the worker lives on.
    const again = setInterval(() => client.send("eat\n").catch(() => {}), 1000);
    await kill(client, "eat");
    clearInterval(again);
    await assertRejects(() => other.readLine(), SessionEndedError);
    await until(() => deaths.length === 1);
    // Deno 2.9.6 says of some of them only that they have stopped.
    assert(["memory", "unresponsive"].includes(deaths[0]![1].reason), deaths[0]![1].reason);
    await until(() => server.stats().workers[0]!.state === "serving");
    const another = await dial(server);
    await another.send("thread\n");
    assert(await another.readLine());
    await stop(server, [client, other, another]);
  },
);

Deno.test(
  "serveWorkers() ends with an error when a worker is stuck and cannot be ended",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({ workerTimeout: 5000 });
    const failed = assertRejects(() => server.finished, WorkerCrashError, "(unresponsive)");
    const [victim, other] = await dialEach(server, 2);
    await victim!.send("spin 20000\n");
    await failed;
    assertEquals(deaths.map(([, { reason, restartIn }]) => [reason, restartIn]), [
      ["unresponsive", Infinity],
    ]);
    assertEquals(await other!.readLine(), undefined); // it was drained
    await stop(server, [victim!, other!]);
  },
);

Deno.test(
  "serveWorkers() waits for a worker that is busy for less than workerTimeout",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands({ workers: 1, workerTimeout: 10_000 });
    const client = await dial(server);
    await client.send("spin 1500\n");
    assertEquals(await client.readLine(), "undefined");
    await stop(server, [client]);
    assertEquals(deaths, []);
  },
);

Deno.test(
  "serveWorkers() says in listening what keeps its module from serving",
  withWorkers,
  async (t) => {
    for (
      const [module, message] of [
        ["data:text/javascript,export const x = 1", "the default export of data:text/javascript"],
        ["data:text/javascript,throw new RangeError('no')", "no"],
        [service("_no_such_file"), "Module not found"],
        [
          "data:text/javascript,export default () => {}; export const options = { maxSession: 1 }",
          "there is no option options of",
        ],
        [
          "data:text/javascript,export default () => {}; export const options = { maxSessions: 1 }",
          "it is an option of the whole server: give it to serveWorkers()",
        ],
      ] as const
    ) {
      await t.step(message, async () => {
        const told: unknown[] = [];
        const server = serveWorkers(module, { port: 0, workers: 2, onError: (e) => told.push(e) });
        const error = await assertRejects(() => server.listening, Error, message);
        await server.finished;
        assertEquals([server.state, told], ["closed", [error]]);
      });
    }
  },
);

Deno.test("serveWorkers() throws at once what it cannot do", withWorkers, async (t) => {
  const module = service("_service");
  for (
    const [options, kind, message] of [
      [{ workers: 0 }, RangeError, "workers must be an integer from 1 to 256, got 0"],
      [{ workers: "all" }, TypeError, 'workers must be a number or "auto"'],
      [{ maxHeap: 1024 }, RangeError, "maxHeap must be"],
      [{ maxCrashes: 0 }, RangeError, "maxCrashes must be"],
      [{ workerTimeout: 0 }, RangeError, "workerTimeout must be"],
      [{ path: "/tmp/x" }, TypeError, "path is not possible here: workers cannot share"],
      [{ fd: 3 }, TypeError, "fd is not possible here"],
      [{ transport: "deno" }, TypeError, "transport is not possible here"],
      [{ idleTimeout: -1 }, RangeError, "idleTimeout must be"],
      [{ maxSessions: 0 }, RangeError, "maxSessions must be"],
      [{ overload: "drop" }, RangeError, "overload must be"],
      [{ allow: ["10.0.0.1/8"] }, RangeError, "allow[0] must"],
      [{ allow: [() => {}] }, TypeError, "allow[0] is a function, which cannot be sent to workers"],
      [{ tls: { cert: "x", key: "y" } }, TypeError, "cert must be"],
      [
        { observer: { onSessionEnd: () => {} } },
        TypeError,
        "observer.onSessionEnd is told of sessions",
      ],
      [
        { observer: { onMemoryPressure: () => {} } },
        TypeError,
        "observer.onMemoryPressure is told of sessions",
      ],
      [
        { maxSessionsPerAddress: 1, maxSessions: 2 ** 30 },
        RangeError,
        "maxSessions must be at most",
      ],
      [{ hostname: "192.0.2.1" }, Error, "192.0.2.1"],
    ] as [Record<string, unknown>, ErrorClass, string][]
  ) {
    await t.step(`${Object.keys(options)} ${message}`, () => {
      assertThrows(() => serveWorkers(module, { port: 0, ...options }), kind, message);
    });
  }
  assertThrows(() => serveWorkers("./x.ts", { port: 0 }), TypeError, "must be an absolute URL");
});

Deno.test("serveWorkers() does not share a port by mistake", withWorkers, async () => {
  const { server } = await serveCommands();
  const { port } = server.addr as Deno.NetAddr;
  assertThrows(() => serveWorkers(service("_service"), { port }), systemErrors.AddrInUse);
  const { server: sharing } = await serveCommands({ port, reusePort: true });
  assertEquals(sharing.addr, server.addr);
  await sharing.shutdown();
  await server.shutdown();
});

Deno.test("serveWorkers() in a worker says so", withWorkers, async () => {
  const server = serveWorkers(service("_recursive"), { port: 0, workers: 1, onError: () => {} });
  await assertRejects(() => server.listening, TypeError, "must be called in the main thread");
  await server.finished;
});

Deno.test(
  "WorkersServer.suspend() holds for all workers, also for those that start",
  withWorkers,
  async () => {
    const { server, deaths } = await serveCommands();
    const [victim, other] = await dialEach(server, 2);
    server.suspend();
    assertEquals(server.state, "suspended");
    await kill(victim!);
    await until(() => deaths.length === 1);
    await until(() => server.stats().workers.every(({ state }) => state === "serving"));
    const { accepted } = server.stats();
    const waiting = await Promise.all(Array.from({ length: 8 }, () => dial(server)));
    const answers = waiting.map(async (client) => {
      await client.send("thread\n");
      return await client.readLine();
    });
    await other!.send("thread\n");
    assert(await other!.readLine());
    assertEquals(server.stats().accepted, accepted);
    server.resume();
    assertEquals((await Promise.all(answers)).every((answer) => answer !== undefined), true);
    await stop(server, [other!, ...waiting]);
  },
);

Deno.test("WorkersServer.abort() ends sessions and threads at once", withWorkers, async () => {
  const { server, deaths } = await serveCommands();
  const clients = await dialEach(server, 2);
  server.abort(new Error("enough"));
  for (const client of clients) {
    await assertRejects(() => client.readLine(), SessionEndedError);
  }
  await server.finished;
  await Promise.all(clients.map(({ closed }) => closed));
  assertEquals(deaths, []);
});

Deno.test("WorkersServer.shutdown() before it listens ends it", withWorkers, async () => {
  const server = serveWorkers(service("_service"), { port: 0, workers: 2 });
  await server.shutdown();
  await assertRejects(() => server.listening, systemErrors.Interrupted);
  assertEquals(server.state, "closed");
});

Deno.test("serveWorkers() shuts down when its signal aborts", withWorkers, async () => {
  const stop = new AbortController();
  const { server } = await serveCommands({ signal: stop.signal });
  stop.abort();
  await server.finished;
  assertEquals(server.state, "closed");
});
