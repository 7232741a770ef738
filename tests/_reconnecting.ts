// What the tests of reconnecting clients share.

import { assertEquals } from "@std/assert";
import net from "node:net";
import { once } from "node:events";
import type { ReconnectingClient, ReconnectObserver } from "../connect/reconnect.ts";
import { type Handler, serve, type Server } from "../serve/serve.ts";
import type { Session } from "../session.ts";
import type { Connection } from "../transport/connection.ts";
import { AcceptQueue } from "../_internal/accept_queue.ts";
import { memoryPair } from "../transport/memory.ts";
import { dialing } from "./_dialing.ts";
import { bounded, ConnectionOver } from "./_serving.ts";
import { TRANSPORTS } from "./_transports.ts";

/** Delays that are over at once, or nearly. */
export const SOON: { minDelay: number; maxDelay: number } = { minDelay: 1, maxDelay: 2 };

/** An observer that records a short line for each event, without the delays. */
export interface Diary extends Required<ReconnectObserver> {
  readonly events: string[];
  readonly waits: number[];
}

export function diary(): Diary {
  const events: string[] = [];
  const waits: number[] = [];
  return {
    events,
    waits,
    onDial: (address, attempt) => void events.push(`dial ${attempt} ${address}`),
    onDialError(error, attempt, retryIn): void {
      waits.push(retryIn);
      events.push(`failed ${attempt} ${(error as Error).name}`);
    },
    onSessionStart: ({ id }) => void events.push(`start ${id}`),
    onSessionEnd({ id }, { reason }, retryIn): void {
      waits.push(retryIn);
      events.push(`end ${id} ${reason}`);
    },
  };
}

/** Serves on a port that another server has just used. The system may still hold it for a moment. */
export async function serveAgain(port: number, handler: Handler): Promise<Server> {
  for (;;) {
    try {
      return serve({ port }, handler);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** A port that treats each connection in its own way; the last way applies to all that follow. */
export async function fates(
  ...each: ((socket: net.Socket) => unknown)[]
): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.once("end", () => socket.end());
    (each.length > 1 ? each.shift() : each[0])!(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as net.AddressInfo).port,
    async [Symbol.asyncDispose](): Promise<void> {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The connections that were dialled over the replaced network. */
export interface Dialled extends AsyncDisposable {
  /** Dials so far. */
  dials: number;
  /** Connections that are open, at the client's end. */
  open: number;
  readonly server: Server;
}

/** Replaces the network by a server in memory. `before` is called for each dial and may make it fail. */
export function inMemory(
  handler: Handler,
  before: (dial: number) => unknown = () => {},
): Dialled {
  return overPairs(() => Promise.resolve(memoryPair()), handler, before);
}

/** Registers a test over each transport. A dial to port 9 reaches a handler, as with `inMemory()`. */
export function testEachDialled(
  name: string,
  run: (dialled: typeof inMemory) => Promise<void>,
): void {
  for (const { name: transport, ignore, pair } of TRANSPORTS) {
    Deno.test({
      name: `${name} (${transport})`,
      ...bounded,
      ignore,
      fn: () => run((handler, before) => overPairs(pair, handler, before)),
    });
  }
}

function overPairs(
  pair: () => Promise<[Connection, Connection]>,
  handler: Handler,
  before: (dial: number) => unknown = () => {},
): Dialled {
  const accepted = new AcceptQueue<Connection>();
  const listener = {
    addr: { transport: "memory", name: "pairs" } as const,
    accept: () => accepted.accept(),
    close: () => accepted.close(),
  };
  const server = serve({ listener }, handler);
  class Counted extends ConnectionOver {
    override close(): void {
      dialled.open--;
      super.close();
    }
  }
  const real = Deno.connect;
  const stub = dialing(async (options): Promise<Connection> => {
    if (options.port !== 9) return await real(options); // of a pair
    await before(++dialled.dials);
    if (accepted.isClosed) throw new Deno.errors.ConnectionRefused("the listener is closed");
    const [near, far] = await pair();
    accepted.push(far);
    const connection = new Counted(near);
    dialled.open++;
    return connection;
  });
  const dialled: Dialled = {
    dials: 0,
    open: 0,
    server,
    async [Symbol.asyncDispose](): Promise<void> {
      stub[Symbol.dispose]();
      server.abort();
      await server.finished;
      assertEquals(dialled.open, 0, "connections are left open");
    },
  };
  return dialled;
}

/** The next session of a client, which must have one. */
export async function sessionOf(client: ReconnectingClient): Promise<Session> {
  const { value } = await client.next();
  if (value === undefined) throw new Error("the client is done");
  return value;
}

/** Asserts that the client has no more sessions. */
export async function assertDone(client: ReconnectingClient): Promise<void> {
  for (const step of [client.next(), client.return(), client.next()]) {
    assertEquals(await step, { done: true, value: undefined });
  }
  assertEquals(client.session, undefined);
}
