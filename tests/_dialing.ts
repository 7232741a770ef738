// Addresses that cannot be dialled, and replacements of dials whose result a test cannot cause in the system.

import { hasDenoSockets } from "../_internal/deno_sockets.ts";
import type { Connection } from "../transport/connection.ts";
import { defaults } from "../transport/socket_options.ts";
import { dial } from "./_node.ts";
import { portOf } from "./_serving.ts";

/** A port that refuses connections. An outgoing connection uses it, so no other process can listen there meanwhile. */
export async function refusingPort(): Promise<AsyncDisposable & { port: number }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [out, back] = await Promise.all([
    Deno.connect({ port: portOf(listener) }),
    listener.accept(),
  ]);
  listener.close();
  return {
    port: (out.localAddr as Deno.NetAddr).port,
    [Symbol.asyncDispose](): Promise<void> {
      out.close();
      back.close();
      return Promise.resolve();
    },
  };
}

/** A bare connection, by Deno itself if this version can close it. */
export function dialPlain(port: number): Promise<Connection> {
  const address = { hostname: "127.0.0.1", port };
  return hasDenoSockets ? Deno.connect(address) : dial(address);
}

/** A port that does not answer: Linux drops connections when the backlog is full. It holds one more than was asked for. */
export async function silentPort(): Promise<Disposable & { port: number }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const port = portOf(listener);
  const waiting = [await Deno.connect({ port }), await Deno.connect({ port })];
  return {
    port,
    [Symbol.dispose](): void {
      for (const connection of waiting) connection.close();
      listener.close();
    },
  };
}

/** Replaces `Deno.connect` by `dial`, for results that a test cannot cause in the system. */
export function dialing(dial: (options: Deno.ConnectOptions) => Promise<Connection>): Disposable {
  const real = Deno.connect;
  const { transport } = defaults;
  Deno.connect = dial as typeof Deno.connect;
  defaults.transport = "deno";
  return {
    [Symbol.dispose](): void {
      Deno.connect = real;
      defaults.transport = transport;
    },
  };
}
