// TLS over any connection, for the tests of TLS and those that run over every transport.

import type { Connection, InputBorrower, ProxyHeader } from "../transport/connection.ts";
import { memoryPair } from "../transport/memory.ts";
import { dialTls } from "../transport/tls/client.ts";
import type { TlsClientOptions, TlsServerOptions } from "../transport/tls/options.ts";
import { TlsAcceptor } from "../transport/tls/server.ts";
import { cannotTls, type Certificates, makeCertificates } from "./_certificates.ts";
import { ConnectionOver } from "./_serving.ts";

/** The certificates of this test file. */
export const certificates: Certificates = await makeCertificates();

/** The options of tests that need TLS and nothing else. */
export const overTls: { ignore: boolean; timeout: number } = { ignore: cannotTls, timeout: 60_000 };

/** A limit for a test that hangs, in milliseconds. */
export const HANDSHAKE_TIMEOUT = 20_000;

const never = new AbortController().signal;

/** The default options of a server in these tests. */
export function serverOptions(options: Partial<TlsServerOptions> = {}): TlsServerOptions {
  const { cert, key } = certificates.server;
  return { cert, key, ...options };
}

/** The same for a client. */
export function clientOptions(options: TlsClientOptions = {}): TlsClientOptions {
  return { serverName: "localhost", ca: certificates.ca.cert, ...options };
}

/** Begins a handshake over the two ends of a connection. The first is the server's. */
export function beginHandshake(
  [near, far]: readonly [Connection, Connection],
  server: TlsServerOptions | TlsAcceptor = serverOptions(),
  client: TlsClientOptions = clientOptions(),
): { server: Promise<Connection>; client: Promise<Connection> } {
  const acceptor = server instanceof TlsAcceptor ? server : new TlsAcceptor(server);
  return {
    server: acceptor.accept(near, HANDSHAKE_TIMEOUT),
    client: dialTls(far, client, never),
  };
}

/** The results of the two sides of a handshake. */
export interface HandshakeResults {
  server: PromiseSettledResult<Connection>;
  client: PromiseSettledResult<Connection>;
}

/** Completes a handshake. */
export async function handshake(
  ...args: Parameters<typeof beginHandshake>
): Promise<HandshakeResults> {
  const both = beginHandshake(...args);
  const [server, client] = await Promise.allSettled([both.server, both.client]);
  return { server, client };
}

/** Puts TLS over both ends of a connection. The first is the server's. */
export async function tlsOver(
  pair: readonly [Connection, Connection],
  server?: TlsServerOptions | TlsAcceptor,
  client?: TlsClientOptions,
): Promise<[Connection, Connection]> {
  const results = await handshake(pair, server, client);
  return [connectionOf(results.server), connectionOf(results.client)];
}

/** TLS over a connection in memory. */
export function tlsPair(
  server?: TlsServerOptions | TlsAcceptor,
  client?: TlsClientOptions,
): Promise<[Connection, Connection]> {
  return tlsOver(memoryPair(), server, client);
}

/** The connection of one side. Throws the error if that side failed. */
export function connectionOf(side: PromiseSettledResult<Connection>): Connection {
  if (side.status === "rejected") throw side.reason;
  return side.value;
}

/** The error of one side. Closes the connection if there was none. */
export function failureOf(side: PromiseSettledResult<Connection>): unknown {
  if (side.status === "rejected") return side.reason;
  side.value.close();
  throw new Error("there is TLS, where none should be");
}

/** A raw connection that records what the TLS layer does with it, and can hold its writes back. */
export class Watched extends ConnectionOver {
  readonly events: string[] = [];
  bytesRead = 0;
  heldUp: Promise<void> | undefined;
  noDelay: boolean | undefined;
  readonly proxy?: ProxyHeader;

  override async read(buffer: Uint8Array): Promise<number | null> {
    const count = await super.read(buffer);
    this.bytesRead += count ?? 0;
    return count;
  }

  override async write(data: Uint8Array): Promise<number> {
    this.events.push(`write ${data.length}`);
    await this.heldUp;
    return await super.write(data);
  }

  override closeWrite(): Promise<void> {
    this.events.push("closeWrite");
    return super.closeWrite();
  }

  override close(): void {
    this.events.push("close");
    super.close();
  }

  override setNoDelay(noDelay?: boolean): void {
    this.noDelay = noDelay;
  }
}

/** A raw connection that lends its input, out of one buffer that each of its reads overwrites. */
export class Lending extends ConnectionOver {
  readonly #room = new Uint8Array(64 * 1024);

  readLent(size: number, borrower: InputBorrower): void {
    this.read(this.#room.subarray(0, size)).then(
      (count) =>
        count === null ? borrower.onEnd() : borrower.onInput(this.#room.subarray(0, count)),
      (error) => borrower.onEnd(error),
    );
  }
}

/** TLS over a connection in memory, with the server's raw connection watched. */
export async function watchedPair(
  capacity: number = 2 ** 20,
): Promise<{ raw: Watched; server: Connection; client: Connection; farRaw: Connection }> {
  const [near, farRaw] = memoryPair({ capacity });
  const raw = new Watched(near);
  const [server, client] = await tlsOver([raw, farRaw]);
  raw.events.length = 0;
  return { raw, server, client, farRaw };
}

/** Closes connections at once. */
export function closeBoth(...connections: Connection[]): void {
  for (const connection of connections) connection.close();
}
