// Connections of `node:net`, with the handles below its streams and without.

import type { Connection, Listener } from "../transport/connection.ts";
import { dialNode, type DialOptions } from "../transport/node/dial.ts";
import { runtime } from "../transport/node/handles.ts";
import { listenNode } from "../transport/node/listen.ts";
import type { ListenTarget } from "../transport/node/listen_target.ts";
import type { Way } from "./_default_transport.ts";
import { canNet } from "./_permissions.ts";
import { overNet } from "./_serving.ts";

/** Both of them. */
export const WAYS: readonly Way[] = ["handle", "public"];

const never = new AbortController().signal;

const own = runtime.handles();
/** How many connections are made without handles now. */
let without = 0;

/** Runs something in one of the two ways, and fails if this runtime has only one. */
export async function by<Result>(way: Way, run: () => Result | Promise<Result>): Promise<Result> {
  if (own === undefined) throw new Error("this version of the runtime has no such handles");
  if (way === "handle") return await run();
  without++;
  runtime.handles = () => undefined;
  try {
    return await run();
  } finally {
    if (--without === 0) runtime.handles = () => own;
  }
}

/** Registers a test in each of the two ways. */
export function testWays(name: string, run: (way: Way) => Promise<void>): void {
  for (const way of WAYS) {
    Deno.test(`${name} (${way})`, { ...overNet, ignore: !canNet }, () => by(way, () => run(way)));
  }
}

/** Listens on TCP, on a free port. */
export async function listenNodeTcp(): Promise<Listener> {
  const listener = listenNode({ host: "127.0.0.1", port: 0, backlog: 16, noDelay: true });
  await listener.ready;
  return listener;
}

/** The two ends of a connection, the first of them accepted. */
export async function nodePair(
  target: Partial<ListenTarget> = {},
): Promise<[Connection, Connection]> {
  const where = target.path === undefined ? { host: "127.0.0.1", port: 0 } : {};
  const listener = listenNode({ ...where, backlog: 16, noDelay: true, ...target });
  try {
    await listener.ready;
    const [near, far] = await Promise.all([listener.accept(), dial(placeOf(listener.addr))]);
    return [near, far];
  } finally {
    listener.close();
  }
}

/** Dials without a time limit. */
export function dial(options: Partial<DialOptions>): Promise<Connection> {
  return dialNode({ noDelay: true, ...options }, never);
}

/** The same from an address of this machine. */
export function dialNodeFrom(
  localAddress: string,
  options: Partial<DialOptions>,
): Promise<Connection> {
  return dial({ ...options, localAddress });
}

/** The address to dial for a listening address. */
export function placeOf(addr: Connection["remoteAddr"]): Partial<DialOptions> {
  if (addr.transport === "unix") return { path: addr.path };
  const { hostname, port } = addr as Deno.NetAddr;
  return { hostname, port };
}
