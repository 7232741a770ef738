// The cases and their contenders.

import type { Case, Contender, Goal } from "./case.ts";
import type { Load } from "./generator.ts";
import type { PeerName } from "./peers.ts";

const BY_HAND = "Deno.listen by hand";
const SMALL_BY_HAND = "Deno.listen by hand, 1 KiB";
const NODE = "Node, net";
const GO = "Go";
const C = "C, epoll";
const BYTES = "Parley, bytes";
const BORROWED = "Parley, borrowed bytes";
const LINES = "Parley, lines";
const READLINE = "Node, readline";
const OVER_NODE = "Parley, node transport";
const TWO_WORKERS = "Parley, 2 workers";
const SCRAPED = "Parley, scraped every second";
const ON_NODE = "Parley on Node";
const ON_BUN = "Parley on Bun";
const ALL_CORES = "Parley, a worker for each core";
const CLUSTER = "Node, node:cluster";
const MQTT_EXAMPLE = "examples/mqtt";

const PER_MESSAGE = { cost: ["CPU per message", "µs"], counted: "messages" } as const;

function who(name: string, peer: PeerName, service?: string): Contender {
  return service === undefined ? { name, peer } : { name, peer, service };
}

/** The library beside what it does by default on Deno. */
const elsewhere = (service: string): Contender[] => [
  who(OVER_NODE, "parleyNode", service),
  who(ON_NODE, "parleyOnNode", service),
  who(ON_BUN, "parleyOnBun", service),
];

/** One service in all runtimes. */
const everywhere = (service: string): Contender[] => [
  who(BY_HAND, "deno", service),
  who("Deno, node:net", "denoNet", service),
  who(NODE, "node", service),
  who("Bun", "bun", service),
  who(GO, "go", service),
  who("Rust, Tokio", "tokio", service),
  who(C, "c", service),
];

const echo = (connections: number, depth: number, size: number): Load => ({
  mode: "talk",
  service: "echo",
  connections,
  depth,
  size,
});

const PARLEY_ECHO = [
  who(BORROWED, "parley", "echo-borrowed"),
  who(BYTES, "parley", "echo"),
  who("Parley, text", "parley", "echo-text"),
  ...elsewhere("echo-borrowed"),
];

/** The work of the cases that compare an echo of 64 B, 64 connections, 1 in flight. */
const ECHO = {
  ...PER_MESSAGE,
  work: { kind: "load", load: echo(64, 1, 64) },
} as const satisfies Partial<Case>;

const ECHO_64_1: Case = {
  name: "echo-64b-1",
  title: "Echo of 64 B, 64 connections, 1 in flight",
  ...ECHO,
  reference: BY_HAND,
  contenders: [
    ...PARLEY_ECHO,
    ...everywhere("echo"),
    who("Deno, web streams", "deno", "echo-streams"),
    who("Node, pipe", "node", "echo-pipe"),
    who("Go, io.Copy", "go", "echo-copy"),
    who("Python, asyncio streams", "asyncio", "echo-streams"),
    who("Python, asyncio protocol", "asyncio", "echo"),
    who("Python, uvloop protocol", "uvloop", "echo"),
    who("Python, threads", "threads", "echo"),
  ],
  goals: [
    { contender: BORROWED, figure: "cost", against: BY_HAND, atMost: 1.05 },
    { contender: BORROWED, figure: "cost", against: NODE, atMost: 1 },
    { contender: BYTES, figure: "cost", against: BY_HAND, atMost: 1.1 },
    { contender: OVER_NODE, figure: "cost", against: BY_HAND, atMost: 1 },
    { contender: OVER_NODE, figure: "cost", against: "Bun", atMost: 1.2 },
    { contender: ON_NODE, figure: "cost", against: NODE, atMost: 1.05 },
    { contender: ON_BUN, figure: "cost", against: "Bun", atMost: 1.3 },
  ],
};

/** The harness gives a server one core, so this is what threads cost, and not what they gain. */
const ECHO_WORKERS: Case = {
  name: "echo-64b-workers",
  title: "Echo of 64 B, 64 connections, 1 in flight, in one thread and in two",
  ...ECHO,
  reference: OVER_NODE,
  contenders: [
    who(OVER_NODE, "parleyNode", "echo-borrowed"),
    who(TWO_WORKERS, "parleyWorkers", "echo-borrowed"),
  ],
  goals: [{ contender: TWO_WORKERS, figure: "cost", against: OVER_NODE, atMost: 1.05 }],
};

/** What metrics cost. Prometheus usually scrapes every 15 s or less often. */
const ECHO_METRICS: Case = {
  name: "echo-64b-metrics",
  title: "Echo of 64 B, 64 connections, 1 in flight, without and with metrics",
  ...ECHO,
  reference: BORROWED,
  contenders: [
    who(BORROWED, "parley", "echo-borrowed"),
    who(SCRAPED, "parleyScraped", "echo-borrowed"),
  ],
  goals: [{ contender: SCRAPED, figure: "cost", against: BORROWED, atMost: 1.01 }],
};

/** The same in processes whose heap is that of an application, see `servers/_ballast.ts`. */
const ECHO_BALLAST: Case = {
  name: "echo-64b-1-heap",
  title: "Echo of 64 B, 64 connections, 1 in flight, with 8 MiB of live objects",
  ...ECHO,
  reference: BY_HAND,
  contenders: [
    who(BORROWED, "parleyBallast", "echo-borrowed"),
    who(BYTES, "parleyBallast", "echo"),
    who("Parley, text", "parleyBallast", "echo-text"),
    who(BY_HAND, "denoBallast", "echo"),
  ],
  goals: [
    { contender: BORROWED, figure: "cost", against: BY_HAND, atMost: 1.05 },
    { contender: BYTES, figure: "cost", against: BY_HAND, atMost: 1.1 },
  ],
};

/** All cores for each server. The load is on the same ones, so that each server gets what it leaves. */
const ECHO_CORES: Case = {
  name: "echo-64b-cores",
  title: "Echo of 64 B, 64 connections, 1 in flight, on all cores, together with the load",
  ...ECHO,
  hasAllCores: true,
  reference: GO,
  contenders: [
    who(ALL_CORES, "parleyAllCores", "echo-borrowed"),
    who("Parley, node transport", "parleyNode", "echo-borrowed"),
    who(CLUSTER, "nodeCluster", "echo"),
    who(GO, "go", "echo"),
  ],
  goals: [
    { contender: ALL_CORES, figure: "rate", against: CLUSTER, atLeast: 1 },
    { contender: ALL_CORES, figure: "rate", against: GO, atLeast: 0.9 },
  ],
};

const ECHO_64_16: Case = {
  name: "echo-64b-16",
  title: "Echo of 64 B, 64 connections, 16 in flight",
  ...PER_MESSAGE,
  work: { kind: "load", load: echo(64, 16, 64) },
  reference: BY_HAND,
  contenders: [
    ...PARLEY_ECHO,
    ...everywhere("echo"),
    who("Python, uvloop protocol", "uvloop", "echo"),
  ],
};

const ECHO_64K: Case = {
  name: "echo-64k",
  title: "Echo of 64 KiB, 16 connections, 1 in flight",
  ...PER_MESSAGE,
  work: { kind: "load", load: echo(16, 1, 64 * 1024) },
  reference: BY_HAND,
  contenders: [
    who(BORROWED, "parley", "echo-borrowed"),
    who(BYTES, "parley", "echo"),
    ...elsewhere("echo-borrowed"),
    ...everywhere("echo"),
    who("Deno.listen by hand, new buffers", "deno", "echo-new"),
    who("Node, pipe", "node", "echo-pipe"),
    who("Go, io.Copy", "go", "echo-copy"),
  ],
  goals: [
    { contender: BORROWED, figure: "cost", against: C, atMost: 1.1 },
    { contender: BYTES, figure: "cost", against: C, atMost: 1.25 },
    { contender: BORROWED, figure: "rate", against: NODE, atLeast: 1.5 },
    { contender: BYTES, figure: "rate", against: NODE, atLeast: 1.5 },
    { contender: OVER_NODE, figure: "cost", against: C, atMost: 1.1 },
  ],
};

const LINES_GOALS: readonly Goal[] = [
  { contender: LINES, figure: "cost", against: GO, atMost: 1.1 },
  { contender: LINES, figure: "cost", against: READLINE, atMost: 1 / 7 },
];

const LINES_ELSEWHERE_GOALS: readonly Goal[] = [
  { contender: OVER_NODE, figure: "cost", against: GO, atMost: 1.3 },
  { contender: ON_NODE, figure: "cost", against: NODE, atMost: 1.05 },
  { contender: ON_NODE, figure: "cost", against: READLINE, atMost: 1 / 7 },
];

/** Short lines and a constant answer, so that mostly reading and sending are measured. */
const PINGS: Case = {
  name: "pings-16",
  title: "Short lines that are answered, by redis-benchmark, 50 connections, 16 in flight",
  ...PER_MESSAGE,
  work: { kind: "redis", load: { test: "ping_inline", depth: 16 } },
  reference: GO,
  contenders: [
    who(LINES, "parley", "pings"),
    who(BY_HAND, "deno", "pings"),
    who(GO, "go", "pings"),
    who(READLINE, "node", "pings-readline"),
  ],
  goals: LINES_GOALS,
};

/** Lines that are decoded and encoded again. */
const lines = (depth: number): Case => ({
  name: `lines-${depth}`,
  title: `Lines of 32 B that are sent back, 64 connections, ${depth} in flight`,
  ...PER_MESSAGE,
  work: {
    kind: "load",
    load: { mode: "talk", service: "lines", connections: 64, depth, size: 32 },
  },
  reference: BY_HAND,
  contenders: [
    who(LINES, "parley", "lines"),
    ...elsewhere("lines"),
    ...everywhere("lines"),
    who(READLINE, "node", "lines-readline"),
    who("Python, asyncio streams", "asyncio", "lines-streams"),
    who("Python, uvloop protocol", "uvloop", "lines"),
    who("Python, threads", "threads", "lines"),
  ],
  ...(depth === 16 && { goals: [...LINES_GOALS, ...LINES_ELSEWHERE_GOALS] }),
});

/** The same from the first message on, while code is still interpreted: the cost after a restart. */
function cold(plan: Case): Case {
  return {
    ...plan,
    name: `${plan.name}-cold`,
    title: `${plan.title}, in the first 1.2 s of a server`,
    pace: { warmup: 0, duration: 1200 },
    goals: [],
  };
}

const FRAMES: Case = {
  name: "frames-16",
  title: "Frames of 64 B with their length in front, 64 connections, 16 in flight",
  ...PER_MESSAGE,
  work: {
    kind: "load",
    load: { mode: "talk", service: "frames", connections: 64, depth: 16, size: 64 },
  },
  reference: BY_HAND,
  contenders: [
    who("Parley, frames", "parley", "frames"),
    ...everywhere("frames"),
    who("Deno.listen by hand, for await", "deno", "frames-each"),
    who("Python, uvloop streams", "uvloop", "frames"),
  ],
  goals: [{ contender: "Parley, frames", figure: "cost", against: GO, atMost: 1.15 }],
};

const GREETERS = [
  who("Parley", "parley", "greeting"),
  ...elsewhere("greeting"),
  ...everywhere("greeting"),
  who("Python, asyncio streams", "asyncio", "greeting"),
  who("Python, uvloop streams", "uvloop", "greeting"),
  who("Python, threads", "threads", "greeting"),
];

const GREETING: Case = {
  name: "greeting",
  title: "The greeting service, 64 connections, 1 name in flight",
  ...PER_MESSAGE,
  work: {
    kind: "load",
    load: { mode: "talk", service: "greeting", connections: 64, depth: 1, size: 8 },
  },
  reference: BY_HAND,
  contenders: GREETERS,
  goals: [{ contender: "Parley", figure: "cost", against: BY_HAND, atMost: 1.15 }],
};

const CONNECT_AND_LEAVE: Case = {
  name: "connect-and-leave",
  title: "Connect, be greeted once, leave; 32 at a time",
  cost: ["CPU per connection", "µs"],
  counted: "connections",
  work: { kind: "load", load: { mode: "connect", service: "greeting", connections: 32, size: 8 } },
  reference: BY_HAND,
  contenders: GREETERS,
  goals: [
    { contender: "Parley", figure: "cost", against: NODE, atMost: 1.1 },
    { contender: OVER_NODE, figure: "cost", against: BY_HAND, atMost: 1 },
  ],
};

const IDLE: Case = {
  name: "idle",
  title: "8,000 idle sessions",
  cost: ["memory per session", "KiB"],
  counted: "",
  work: { kind: "idle", sessions: 8000 },
  reference: SMALL_BY_HAND,
  contenders: [
    who("Parley", "parley", "echo"),
    ...elsewhere("echo"),
    ...everywhere("echo"),
    who(SMALL_BY_HAND, "deno", "echo-1k"),
    who("Python, asyncio streams", "asyncio", "echo-streams"),
  ],
  goals: [
    { contender: "Parley", figure: "cost", atMost: 10 },
    { contender: OVER_NODE, figure: "cost", atMost: 5 },
  ],
};

const IDLE_METRICS: Case = {
  ...IDLE,
  name: "idle-metrics",
  title: "8,000 idle sessions, without and with metrics",
  reference: "Parley",
  contenders: [who("Parley", "parley", "echo"), who(SCRAPED, "parleyScraped", "echo")],
  goals: [{ contender: SCRAPED, figure: "cost", against: "Parley", atMost: 1.02 }],
};

const GROWTH: Case = {
  name: "growth",
  title: "Growth of CPU per message, 10,000 active connections against 64",
  cost: ["growth", "×"],
  counted: "messages",
  work: { kind: "growth", load: echo(10_000, 1, 64), from: 64 },
  reference: SMALL_BY_HAND,
  contenders: [
    who(BORROWED, "parley", "echo-borrowed"),
    who(BYTES, "parley", "echo"),
    ...elsewhere("echo-borrowed"),
    ...everywhere("echo"),
    who(SMALL_BY_HAND, "deno", "echo-1k"),
  ],
  goals: [
    { contender: BYTES, figure: "cost", against: SMALL_BY_HAND, atMost: 1.1 },
    { contender: OVER_NODE, figure: "cost", against: NODE, atMost: 1.25 },
  ],
};

const BROADCAST: Case = {
  name: "broadcast",
  title: "Broadcast of 100 B to 1,000 sessions",
  cost: ["CPU per delivery", "µs"],
  counted: "deliveries",
  work: {
    kind: "load",
    load: { mode: "publish", service: "broadcast", connections: 1000, size: 100 },
  },
  reference: BY_HAND,
  contenders: [
    who("Parley", "parley", "broadcast"),
    ...elsewhere("broadcast"),
    ...everywhere("broadcast"),
    who("Python, uvloop streams", "uvloop", "broadcast"),
  ],
  goals: [
    { contender: "Parley", figure: "cost", against: NODE, atMost: 1 },
    { contender: OVER_NODE, figure: "cost", against: NODE, atMost: 1 },
  ],
};

const WITH_TLS = {
  reference: "Deno.listenTls by hand",
  contenders: [
    who("Parley", "parley", "echo"),
    ...elsewhere("echo"),
    who("Deno.listenTls by hand", "deno", "echo"),
    who("Deno, node:tls", "denoNet", "echo"),
    who("Node, tls", "node", "echo"),
    who("Bun", "bun", "echo"),
    who("Go, crypto/tls", "go", "echo"),
    who("Python, asyncio protocol", "asyncio", "echo"),
  ],
};

const TLS_ECHO: Case = {
  name: "tls-echo",
  title: "TLS echo of 64 B, 64 connections, 1 in flight",
  ...PER_MESSAGE,
  work: { kind: "load", load: { ...echo(64, 1, 64), tls: true } },
  ...WITH_TLS,
  goals: [
    { contender: "Parley", figure: "cost", against: "Node, tls", atMost: 1.35 },
    { contender: OVER_NODE, figure: "cost", against: "Node, tls", atMost: 1.1 },
  ],
};

const TLS_HANDSHAKES: Case = {
  name: "tls-handshakes",
  title: "TLS handshake, one echo of 64 B, leave; 32 at a time",
  cost: ["CPU per handshake", "µs"],
  counted: "handshakes",
  work: { kind: "load", load: { ...echo(32, 1, 64), mode: "connect", tls: true } },
  ...WITH_TLS,
};

const redis = (test: "get" | "set", depth: number): Case => ({
  name: `redis-${test}-${depth}`,
  title: `Redis ${test.toUpperCase()}, 50 connections, ${depth} in flight`,
  cost: ["CPU per request", "µs"],
  counted: "requests",
  work: { kind: "redis", load: { test, depth } },
  reference: "redis-server",
  contenders: [who("redis-server", "redisServer"), who("examples/redis", "redisExample")],
});

/** From one client to others, which have subscribed. The publisher waits until all have got what it has sent. */
const mqtt = (receivers: number, depth: number): Case => ({
  name: `mqtt-${receivers}`,
  title: `MQTT, 100 B from one to ${
    receivers === 1 ? "one" : receivers
  }, QoS 0, ${depth} in flight`,
  cost: ["CPU per delivery", "µs"],
  counted: "deliveries",
  work: {
    kind: "load",
    load: { mode: "publish", service: "mqtt", connections: 1 + receivers, depth, size: 100 },
  },
  reference: "mosquitto",
  contenders: [
    who("mosquitto", "mosquitto"),
    who("aedes, Node", "aedes"),
    who(MQTT_EXAMPLE, "mqttExample"),
  ],
  goals: [{ contender: MQTT_EXAMPLE, figure: "rate", against: "mosquitto", atLeast: 1 }],
});

/** All cases, in the order in which they run. */
export const CASES: readonly Case[] = [
  ECHO_64_1,
  cold(ECHO_64_1),
  ECHO_BALLAST,
  ECHO_WORKERS,
  ECHO_CORES,
  ECHO_METRICS,
  ECHO_64_16,
  ECHO_64K,
  PINGS,
  lines(1),
  lines(16),
  cold(lines(16)),
  lines(64),
  FRAMES,
  GREETING,
  CONNECT_AND_LEAVE,
  IDLE,
  IDLE_METRICS,
  GROWTH,
  BROADCAST,
  TLS_ECHO,
  TLS_HANDSHAKES,
  redis("set", 1),
  redis("set", 16),
  redis("get", 1),
  redis("get", 16),
  mqtt(1, 256),
  mqtt(100, 16),
];
