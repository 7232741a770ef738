/** The sockets of Bun, as far as they are used here: `Bun.listen`, which is public API. */

import { lazy } from "../lazy.ts";
import type { ListenTarget } from "./listen_target.ts";

/** A socket. Calls after it was closed have no effect. */
export interface BunSocket<Data> {
  data: Data;
  /** Missing if it is a Unix socket, or was reset already. */
  readonly remoteAddress?: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Writes what the system takes at once. Returns the number of bytes, or -1 if the connection is lost. */
  write(bytes: Uint8Array): number;
  /** Pushes no more input, not even what the system has. */
  pause(): void;
  resume(): void;
  /** Half-closes. */
  shutdown(): void;
  /** Closes at once, and frees the descriptor. */
  close(): void;
  /** Closes with a reset. */
  terminate(): void;
  setNoDelay(noDelay: boolean): boolean;
  /** The delay is in milliseconds; 0 is the default of the system. */
  setKeepAlive(keepAlive: boolean, delay: number): boolean;
}

/** What the sockets of a listener call. */
export interface BunHandlers<Data> {
  binaryType: "uint8array";
  open(socket: BunSocket<Data>): void;
  /** @param bytes A copy, which belongs to the callee. */
  data(socket: BunSocket<Data>, bytes: Uint8Array): void;
  /** The system takes bytes again, after it has not taken all. */
  drain(socket: BunSocket<Data>): void;
  end(socket: BunSocket<Data>): void;
  /** The socket has closed: because of the error, or because both sides have half-closed. */
  close(socket: BunSocket<Data>, error?: Error): void;
  /** One of these functions has thrown. */
  error(socket: BunSocket<Data>, error: Error): void;
}

/** Where and how to listen. */
export interface BunTarget<Data> {
  hostname?: string;
  port?: number;
  unix?: string;
  reusePort?: boolean;
  allowHalfOpen: true;
  socket: BunHandlers<Data>;
}

/** A listener. */
export interface BunServer {
  readonly port: number;
  /** Stops listening. Open connections stay. */
  stop(): void;
  ref(): void;
  unref(): void;
}

/** Listens, or throws. */
type BunListen = <Data>(target: BunTarget<Data>) => BunServer;

const bun = (globalThis as { Bun?: { listen?: BunListen } }).Bun;

/** `Bun.listen`, if this is Bun. */
export const bunListen: BunListen | undefined = typeof bun?.listen === "function"
  ? (target) => bun.listen!(target)
  : undefined;

/**
 * Whether `Bun.listen` can do it. It looks host names up in its own way and cannot use a descriptor, so `node:net` is used
 * for these.
 */
export function canListen({ host, path, fd }: ListenTarget): boolean {
  if (fd !== undefined) return false;
  return path !== undefined || host !== undefined && lazy.net.isIP(host) !== 0;
}
