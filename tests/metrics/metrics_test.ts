import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  connect,
  type Durations,
  PoolExhaustedError,
  reconnect,
  serve,
  type ServerState,
  sessionPool,
} from "../../mod.ts";
import { openCapture } from "../../capture/mod.ts";
import { serveDatagrams } from "../../datagram/mod.ts";
import { Hub } from "../../hub/mod.ts";
import { Metrics } from "../../metrics/mod.ts";
import { METRIC_NAMES } from "../../metrics/definitions.ts";
import { noEnds, noStats } from "../../serve/stats.ts";
import { Session } from "../../session.ts";
import { datagramNetwork, sessionPair } from "../../testing/mod.ts";
import { memoryListener, memoryPair } from "../../transport/mod.ts";
import { canRead, canWrite } from "../_permissions.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { countAbove, fullMetrics, positive, totalOf, valueOf, valuesOf } from "../_metrics.ts";
import { ask, bounded, echo, overNet, portOf, readAll, until } from "../_serving.ts";
import { serveTls } from "../_tls_serving.ts";

const overFiles = { ...bounded, ignore: !canRead || !canWrite };
const REASON = "parley.session.end_reason";

Deno.test("Metrics has what a server counts, at the moment", bounded, async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, echo);
  const metrics = new Metrics();
  metrics.addServer("echo", server);
  const [first, second] = [listener.connect(), listener.connect()].map((one) => new Session(one));
  await ask(first!, "rose");
  await ask(second!, "jo");
  assertEquals(valueOf(metrics, "parley.active_sessions"), 2);
  assertEquals(valueOf(metrics, "parley.started_sessions"), 2);
  const bytes = (): unknown => valuesOf(metrics, "parley.network.io", "network.io.direction");
  assertEquals(bytes(), { receive: 8, transmit: 10 });
  await first!.close();
  await until(() => valueOf(metrics, "parley.active_sessions") === 1);
  assertEquals(bytes(), { receive: 8, transmit: 10 });
  await Promise.all([server.shutdown(), second!.close()]);
  assertEquals(valueOf(metrics, "parley.active_sessions"), 0);
  assertEquals(positive(valuesOf(metrics, "parley.ended_sessions", REASON)), { peer: 1, drain: 1 });
  assertEquals(positive(valuesOf(metrics, "parley.server.state", "parley.server.state")), {
    closed: 1,
  });
  const durations = valuesOf(metrics, "parley.session.duration")[""] as Durations;
  const { count, sum } = totalOf(durations);
  assertEquals(count, 2);
  assert(sum > 0);
});

Deno.test("Metrics has each state of a server", bounded, async () => {
  const states: ServerState[] = [];
  const metrics = new Metrics();
  const look = (): void => {
    const found = positive(valuesOf(metrics, "parley.server.state", "parley.server.state"));
    assertEquals(found, { [server.state]: 1 });
    states.push(server.state);
  };
  const server = serve({ port: 0, drainDelay: 10 }, echo);
  metrics.addServer("echo", server);
  look();
  await server.listening;
  server.observe({ onStateChange: look });
  look();
  server.suspend();
  server.resume();
  await server.shutdown();
  const sequence = ["suspended", "listening", "lame-duck", "draining", "closed"];
  assertEquals(states.slice(1), ["listening", ...sequence]); // it begins with "starting" over node:net only
});

Deno.test("ServerStats.ends has each reason for which a session has ended", bounded, async (t) => {
  const handlers: Record<string, (session: Session) => unknown> = {
    peer: echo,
    local: (session) => session.abort(),
    limit: (session) => session.readLine({ maxLength: 1 }),
    idle: (session) => session.readExactly(100),
    error: () => {
      throw new Error("told to throw");
    },
  };
  for (const [reason, handler] of Object.entries(handlers)) {
    await t.step(reason, async () => {
      const listener = memoryListener();
      const idleTimeout = reason === "idle" ? 10 : Infinity;
      const options = { listener, idleTimeout, closeTimeout: 10, onError: () => {} };
      await using server = serve(options, handler);
      const client = new Session(listener.connect());
      await client.send("rose\n");
      if (reason === "peer") await client.close();
      await until(() => server.stats().ends[reason as "peer"] === 1);
      assertEquals(server.stats().ends, { ...noEnds(), [reason]: 1 });
      client.abort();
    });
  }
});

Deno.test("ServerStats has unread input, unsent output and blocked sessions", overNet, async () => {
  const message = new Uint8Array(1024 * 1024);
  await using server = serve({ port: 0, maxBufferedOutput: 16 * 1024 * 1024 }, async (session) => {
    for (let i = 0; i < 8; i++) session.send(message);
    await session.closed;
  });
  const metrics = new Metrics();
  metrics.addServer("slow", server);
  const client = await connect({ port: portOf(server) });
  await client.send("never read");
  await until(() => valueOf(metrics, "parley.unread_input") === "never read".length);
  assertEquals(valueOf(metrics, "parley.blocked_sessions"), 1);
  const unsent = valueOf(metrics, "parley.unsent_output");
  assert(unsent > 0 && unsent <= 8 * message.length, String(unsent));
  assert(valueOf(metrics, "parley.memory.held") > 0);
  client.abort();
  await until(() => server.stats().active === 0);
  for (const name of ["parley.unread_input", "parley.unsent_output", "parley.blocked_sessions"]) {
    assertEquals([name, valueOf(metrics, name)], [name, 0]);
  }
});

Deno.test("ServerStats counts TLS handshakes and how they fail", overNet, async () => {
  await using tls = serveTls({ tls: { minVersion: "TLSv1.3" } });
  const metrics = new Metrics();
  metrics.addServer("tls", tls.server);
  await using client = await tls.dial();
  assertEquals(await ask(client, "rose"), "rose!");
  const durations = valuesOf(metrics, "parley.tls_handshake.duration")[""] as Durations;
  const { count, sum } = totalOf(durations);
  assertEquals(count, 1);
  assert(sum > 0);
  const plain = await connect({ port: tls.port });
  await plain.send("this is no ClientHello\n");
  await readAll(plain).catch(() => {});
  await plain.close();
  const silent = await connect({ port: tls.port });
  await silent.close();
  await until(() => tls.refusals.length === 2);
  const failures = valuesOf(metrics, "parley.tls_handshake.errors", "error.type");
  assertEquals(positive(failures), { "not-tls": 1 });
  assertEquals(positive(valuesOf(metrics, "parley.rejected_connections", "error.type")), {
    handshake: 1,
    left: 1,
  });
});

Deno.test("Metrics.clientObserver() counts what reconnecting clients do", overNet, async () => {
  const server = serve({ port: 0 }, async (session) => {
    await session.send("hi");
    if (session.id === 3) server.shutdown();
  });
  const metrics = new Metrics();
  const options = {
    port: portOf(server),
    observer: metrics.clientObserver("greeted"),
    maxDelay: 1,
    random: () => 1,
    maxAttempts: 5,
  };
  const client = reconnect(options);
  let sessions = 0;
  try {
    for await (const session of client) {
      sessions++;
      assertEquals(valueOf(metrics, "parley.client.active_sessions"), 1);
      await session.readExactly(2);
      await readAll(session);
    }
  } catch { /* nobody listens any more */ }
  assertEquals(sessions, 3);
  const dials = valueOf(metrics, "parley.client.dials");
  assertEquals(valueOf(metrics, "parley.client.active_sessions"), 0);
  const errors = valuesOf(metrics, "parley.client.dial.errors", "error.type");
  assertEquals(positive(errors), { ConnectionRefusedError: dials - 3 });
  const ended = valuesOf(metrics, "parley.client.ended_sessions", REASON);
  assertEquals(positive(ended), { peer: 3 });
  const bytes = valuesOf(metrics, "parley.client.network.io", "network.io.direction");
  assertEquals(bytes, { receive: 6, transmit: 0 });
  const waits = valueOf(metrics, "parley.client.waits");
  assertEquals(waits, dials - 1);
  assertEquals(valueOf(metrics, "parley.client.wait.time"), waits / 1000);
  await server.finished;
});

Deno.test("Metrics.addHub() has the numbers of a hub", bounded, async () => {
  const [[left, right], [other]] = [memoryPair(), memoryPair()];
  const [near, far] = [new Session(left), new Session(right)];
  const slow = new Session(other!);
  await using hub = new Hub({ slow: "drop-newest", maxWaiting: 10 });
  const metrics = new Metrics();
  metrics.addHub("news", hub);
  for (const session of [near, slow]) hub.join("hall", session);
  hub.join("roof", near);
  for (let i = 0; i < 3; i++) hub.publish("hall", "12345678\n");
  assertEquals(await far.readLine(), "12345678");
  const value = (name: string): number => valueOf(metrics, `parley.hub.${name}`);
  assertEquals([value("groups"), value("sessions"), value("memberships")], [2, 2, 3]);
  assertEquals([value("published_messages"), value("disconnected")], [3, 0]);
  assertEquals(value("dropped_messages"), hub.stats().dropped);
  assert(hub.stats().dropped > 0);
  assertEquals(value("delivered_messages"), 6);
  hub.publish("hall", "1\n", { except: near });
  hub.publish("roof", "2\n", { except: slow }); // which is not there
  hub.publish("cellar", "3\n");
  assertEquals(value("delivered_messages"), 8);
  for (const session of [near, far, slow]) session.abort();
});

Deno.test("Metrics has how late the event loop is, while there is a server", bounded, async () => {
  const metrics = new Metrics();
  const late = (): Durations => valuesOf(metrics, "parley.event_loop.lateness")[""] as Durations;
  assertEquals(totalOf(late()).count, 0);
  const [one, other] = [0, 1].map(() => serve({ listener: memoryListener() }, echo));
  metrics.addServer("one", one!);
  metrics.addServer("one", one!);
  metrics.addServer("other", other!);
  await one!.shutdown();
  const before = totalOf(late()).count;
  await until(() => totalOf(late()).count > before);
  for (const until = performance.now() + 300; performance.now() < until;);
  await until(() => countAbove(late(), 100) > 0);
  await other!.shutdown();
  metrics.addServer("one", one!); // it has ended: there must be no timer, or the test would leak it
});

Deno.test("Metrics.addPool() has the numbers of a pool", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  await using pool = sessionPool({ port: portOf(server), maxSessions: 1, maxWaiting: 1 });
  const metrics = new Metrics();
  metrics.addPool("echo", pool);
  const value = (name: string, label = "parley.pool.name"): unknown =>
    valuesOf(metrics, `parley.pool.${name}`, label);
  const states = (): unknown => value("sessions", "parley.pool.session.state");
  assertEquals(states(), { idle: 0, leased: 0, other: 0 });
  const lease = await pool.get();
  assertEquals(states(), { idle: 0, leased: 1, other: 0 });
  const refused = pool.get({ timeout: 1 });
  assertEquals(value("waiting_callers"), { echo: 1 });
  await assertRejects(() => pool.get(), PoolExhaustedError);
  await assertRejects(() => refused, PoolExhaustedError);
  assertEquals(value("refused_callers", "error.type"), { maxWaiting: 1, waitTimeout: 1 });
  await ask(lease.session, "rose");
  lease.release();
  assertEquals(states(), { idle: 1, leased: 0, other: 0 });
  await pool.use((session) => ask(session, "jo"));
  assertEquals([value("leases"), value("dials")], [{ echo: 2 }, { echo: 1 }]);
  const { echo: waits } = value("wait.duration") as Record<string, Durations>;
  assertEquals(totalOf(waits!).count, 4);
});

Deno.test("Metrics.addPool() counts each address that is dialled, and fails", overNet, async () => {
  const closed = serve({ port: 0 }, echo);
  const port = portOf(closed);
  await closed.shutdown();
  await using server = serve({ port: 0 }, echo);
  await using pool = sessionPool({ addresses: [{ port }, { port: portOf(server) }] });
  const metrics = new Metrics();
  metrics.addPool("echo", pool);
  await pool.use((session) => ask(session, "rose"));
  const value = (name: string): number => valueOf(metrics, `parley.pool.${name}`);
  assertEquals([value("dials"), value("dial.errors"), value("leases")], [2, 1, 1]);
});

Deno.test("Metrics.addCapture() has the numbers of a capture", overFiles, async () => {
  await using dir = await makeTempDir();
  const capture = openCapture(`${dir.path}/a.pcapng`, { maxFileSize: 65_536, maxQueue: 131_072 });
  const metrics = new Metrics();
  metrics.addCapture("all", capture);
  const value = (name: string): number => valueOf(metrics, `parley.capture.${name}`);
  assertEquals([value("sessions"), value("packets"), value("files")], [0, 0, 1]);
  const [client, session] = sessionPair();
  capture.add(session);
  const reading = Array.fromAsync(client.bytes());
  session.send(new Uint8Array(1_000_000));
  await Promise.all([session.close(), reading.then(() => client.close())]);
  await capture.close();
  assertEquals(value("sessions"), 1);
  assert(value("packets") > 2);
  assertEquals(value("packets"), capture.stats().packets);
  assertEquals(value("dropped_packets"), capture.stats().droppedPackets);
  assert(value("files") > 1);
  const { size } = await Deno.stat(`${dir.path}/a.pcapng`);
  assert(value("written") > size);
});

Deno.test("Metrics.addDatagramServer() has the numbers of a datagram server", bounded, async () => {
  const network = datagramNetwork();
  const socket = network.socket("198.51.100.1", 53);
  const server = serveDatagrams(
    { socket, maxMessageSize: 4, onError: () => {} },
    (message, sender) => {
      if (message.length === 1) throw new Error("told to throw");
      return sender.send(message);
    },
  );
  const metrics = new Metrics();
  metrics.addDatagramServer("dns", server);
  await using sessions = serve({ listener: memoryListener() }, echo);
  metrics.addServer("dns", sessions);
  const peer = network.socket("203.0.113.7");
  peer.start({ onMessage: () => {}, onError: () => {} });
  for (const message of ["rose", "too large", "x"]) {
    peer.send(new TextEncoder().encode(message), socket.addr, () => {});
  }
  const value = (name: string): number => valueOf(metrics, `parley.datagram.${name}`);
  await until(() => value("received") === 3 && value("sent") === 1);
  await until(() => server.stats().handlerErrors === 1);
  assertEquals(positive(valuesOf(metrics, "parley.datagram.dropped", "error.type")), {
    "too-large": 1,
  });
  const errors = valuesOf(metrics, "parley.handler.errors", "network.transport");
  assertEquals(errors, { memory: 0, udp: 1 });
  await server.shutdown();
  peer.close();
});

Deno.test("Metrics leaves out metrics of workers that it does not know", () => {
  const metrics = new Metrics();
  const point = { attributes: {}, value: 1 };
  const own = { kind: "counter", unit: "{x}", description: "d", points: [point] } as const;
  metrics.addServer("one", {
    addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    state: "listening",
    stats: () => ({
      ...noStats(),
      workers: [],
      metrics: [{ ...own, name: "rose\n" }, { ...own, name: "parley.hub.errors" }],
    }),
  });
  const names = metrics.collect().map(({ name }) => name);
  assertEquals(names.filter((name) => !METRIC_NAMES.includes(name as never)), []);
  assertEquals(valueOf(metrics, "parley.hub.errors"), 1);
});

Deno.test("Metrics has all metrics that are defined, of a server, a client and a hub", () => {
  const names = fullMetrics().collect().map(({ name }) => name);
  assertEquals(names.toSorted(), METRIC_NAMES.toSorted());
});

Deno.test("Metrics.addServer() refuses a name that is taken or invalid", bounded, async () => {
  const metrics = new Metrics();
  const server = serve({ listener: memoryListener() }, echo);
  metrics.addServer("rose", server);
  metrics.addServer("rose", server);
  const other = serve({ listener: memoryListener() }, echo);
  assertThrows(
    () => metrics.addServer("rose", other),
    TypeError,
    'there is a server of the name "rose" already',
  );
  await server.shutdown();
  metrics.addServer("rose", other);
  assertEquals(positive(valuesOf(metrics, "parley.server.state", "parley.server.state")), {
    listening: 1,
  });
  await other.shutdown();
  for (const name of ["", "x".repeat(101)]) {
    assertThrows(() => metrics.addServer(name, server), RangeError, "name must have 1 to 100");
    assertThrows(() => metrics.clientObserver(name), RangeError, "name must have 1 to 100");
  }
  assertThrows(() => metrics.addServer(1 as never, server), TypeError, "name must be a string");
});

Deno.test("Metrics refuses what it cannot measure when it is added", overNet, async () => {
  const metrics = new Metrics();
  await using sessions = serve({ listener: memoryListener() }, echo);
  await using datagrams = serveDatagrams({ port: 0 }, () => {});
  await using hub = new Hub();
  const wrong = [undefined, null, 1, "rose", {}, { stats: 1 }, { stats: () => ({}) }, {
    stats: () => undefined,
  }];
  const cases: [method: "addServer" | "addDatagramServer" | "addHub", wrong: unknown[]][] = [
    ["addServer", [...wrong, datagrams, hub]],
    ["addDatagramServer", [...wrong, sessions, hub]],
    ["addHub", [...wrong, sessions, datagrams]],
  ];
  for (const [method, all] of cases) {
    for (const one of all) {
      assertThrows(() => metrics[method]("x", one as never), TypeError, "must be ");
    }
  }
  assertThrows(
    () => metrics.addServer("x", datagrams as never),
    TypeError,
    "server must be what serve() or serveWorkers() returns, and that of serveDatagrams() goes to " +
      "addDatagramServer(): TypeError: parley.started_sessions would be undefined",
  );
  const names = metrics.collect().map(({ name }) => name);
  assertEquals(names.filter((name) => /^parley\.(?!event_loop)/.test(name)), []);
});

Deno.test("Metrics.handler answers GET and HEAD by the header Accept", async () => {
  const metrics = new Metrics();
  const get = metrics.handler(new Request("http://localhost/metrics"));
  assertEquals(get.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assertStringIncludes(await get.text(), "# TYPE process_memory_usage_bytes gauge\n");
  const headers = { accept: "application/openmetrics-text;version=1.0.0,*/*;q=0.1" };
  const open = metrics.handler(new Request("http://localhost/metrics", { headers }));
  const type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
  assertEquals(open.headers.get("content-type"), type);
  assertEquals((await open.text()).endsWith("\n# EOF\n"), true);
  const head = metrics.handler(new Request("http://localhost/metrics", { method: "HEAD" }));
  assertEquals([head.status, await head.text()], [200, ""]);
  const post = metrics.handler(new Request("http://localhost/metrics", { method: "POST" }));
  assertEquals([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
});
