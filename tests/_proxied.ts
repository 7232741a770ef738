// Servers on loopback behind proxies.

import { assertEquals } from "@std/assert";
import { connect, type ConnectOptions } from "../connect/connect.ts";
import type { Refusal } from "../serve/observer.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../serve/serve.ts";
import type { Session } from "../session.ts";
import { formatAddress } from "../transport/mod.ts";
import { echo, portOf, readAll, until } from "./_serving.ts";

/** A server behind proxies. */
export interface ProxyServer extends AsyncDisposable {
  server: Server;
  port: number;
  refusals: Refusal[];
  /** Comes by a proxy. */
  dial(hostname: string, options?: ConnectOptions): Promise<Session>;
}

/** Serves behind proxies at 127.0.0.1. */
export function serveProxied(options: ServeOptions = {}, handler: Handler = echo): ProxyServer {
  const refusals: Refusal[] = [];
  const server = serve({
    port: 0,
    proxyProtocol: "required",
    trusted: ["127.0.0.1"],
    observer: { onRefusal: (refusal) => void refusals.push(refusal) },
    ...options,
  }, handler);
  const port = portOf(server);
  return {
    server,
    port,
    refusals,
    dial: (hostname, options) => {
      const source: Deno.NetAddr = { transport: "tcp", hostname, port: 5 };
      return connect({ port, proxyHeader: { version: 2, source }, ...options });
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Sees a client refused, and returns what is told of it. */
export async function seeRefused(
  { refusals }: ProxyServer,
  dialling: Promise<Session>,
): Promise<string> {
  const before = refusals.length;
  const client = await dialling.catch(() => undefined); // it may be closed before its header is sent
  await until(() => refusals.length > before);
  if (client !== undefined) {
    assertEquals(await readAll(client).catch(() => ""), ""); // a header that nobody reads makes it a reset
    await client.close();
  }
  return told(refusals);
}

/** What is told of the last refusal. */
export function told(refusals: Refusal[]): string {
  const { remoteAddr, reason, cause } = refusals.at(-1)!;
  const [hostname] = formatAddress(remoteAddr).split(":");
  return `${hostname} ${reason}${cause === undefined ? "" : ` ${(cause as Error).message}`}`;
}
