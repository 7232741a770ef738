// Places that cannot be dialled, and dials that no test can make the system do.

import type { Connection } from "../transport/connection.ts";
import { defaults } from "../transport/socket_options.ts";
import { portOf } from "./_serving.ts";

/** A port that refuses: an outgoing connection holds it, so that nobody else can listen there meanwhile. */
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

/** A port that gives no answer: Linux drops who comes when the backlog is full. It keeps one more than it is told. */
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

/** Puts `dial` in the place of `Deno.connect`, for what no test can make the system do. */
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
