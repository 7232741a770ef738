// One table for the tests that hold over every transport.

import net from "node:net";
import { hasDenoSockets } from "../_internal/deno_sockets.ts";
import { Session, type SessionOptions } from "../session.ts";
import type { Connection } from "../transport/connection.ts";
import { memoryPair } from "../transport/memory.ts";
import type { Way } from "./_default_transport.ts";
import { by, listenNodeTcp, nodePair, WAYS } from "./_node.ts";
import { canNet, canUnix } from "./_permissions.ts";
import { makeTempDir } from "./_temp_dir.ts";
import { overTls, tlsOver } from "./_tls.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A session, and the raw other end of its connection. */
export interface Opened extends AsyncDisposable {
  session: Session;
  peer: Peer;
  /** How often the session called `write()` on its connection. */
  writes(): number;
  /** Whether the transport can let the peer see that it was cut off. */
  cuts: boolean;
}

export interface Transport {
  name: string;
  ignore: boolean;
  /** Whether what waits to be written is lost once the peer has half-closed. */
  isLossy?: boolean;
  /** Whether what has come and is not read is lost once a write has failed. */
  isDeaf?: boolean;
  pair(): Promise<[Connection, Connection]>;
}

export const TRANSPORTS: readonly Transport[] = [
  { name: "memory", ignore: false, pair: () => Promise.resolve(memoryPair()) },
  { name: "TCP", ignore: !canNet || !hasDenoSockets, pair: tcpPair },
  { name: "Unix", ignore: !canUnix || !hasDenoSockets, pair: unixPair },
  {
    name: "TLS",
    ignore: overTls.ignore || !hasDenoSockets,
    pair: async () => tlsOver(await tcpPair()),
  },
  ...WAYS.flatMap((way) => [
    {
      name: `node TCP, ${way}`,
      ignore: !canNet,
      isLossy: way === "public", // by Deno 2.9.6
      isDeaf: way === "public", // a net.Socket destroys itself
      pair: () => by(way, nodePair),
    },
    {
      name: `node Unix, ${way}`,
      ignore: !canUnix,
      isDeaf: way === "public",
      pair: () => by(way, nodeUnixPair),
    },
    {
      name: `TLS over node TCP, ${way}`,
      ignore: overTls.ignore,
      isDeaf: way === "public",
      pair: async () => tlsOver(await by(way, nodePair)),
    },
  ]),
];

/** Registers a test over each transport that can do what it needs. */
export function testEach(
  name: string,
  run: (open: (options?: SessionOptions) => Promise<Opened>) => Promise<void>,
  { toHalfClosed = false, hearsOut = false }: { toHalfClosed?: boolean; hearsOut?: boolean } = {},
): void {
  for (const transport of TRANSPORTS) {
    const { isLossy = false, isDeaf = false } = transport;
    Deno.test({
      name: `${name} (${transport.name})`,
      ignore: transport.ignore || (toHalfClosed && isLossy) || (hearsOut && isDeaf),
      fn: () => run((options) => open(transport, options)),
    });
  }
}

/** Registers a test over the two ends of each transport that has no TLS. */
export function testEachPair(
  name: string,
  run: (pair: () => Promise<[Connection, Connection]>) => Promise<void>,
): void {
  for (const { name: transport, ignore, pair } of TRANSPORTS) {
    if (transport.startsWith("TLS")) continue;
    Deno.test({ name: `${name} (${transport})`, ignore, timeout: 60_000, fn: () => run(pair) });
  }
}

async function open(transport: Transport, options?: SessionOptions): Promise<Opened> {
  const [near, far] = await transport.pair();
  let writes = 0;
  const session = new Session({
    remoteAddr: near.remoteAddr,
    localAddr: near.localAddr,
    read: (buffer) => near.read(buffer),
    write: (data) => {
      writes++;
      return near.write(data);
    },
    closeWrite: () => near.closeWrite(),
    close: () => near.close(),
    ...(near.readLent !== undefined && {
      readLent: (size, borrower) => near.readLent!(size, borrower),
    }),
    ...(near.writeNow !== undefined && {
      writeNow: (data) => {
        writes++;
        return near.writeNow!(data);
      },
    }),
    ...(near.reset !== undefined && { reset: () => near.reset!() }),
  }, options);
  const peer = new Peer(far);
  return {
    session,
    peer,
    writes: () => writes,
    cuts: near.reset !== undefined,
    async [Symbol.asyncDispose](): Promise<void> {
      session.abort();
      peer.close();
      await session.closed;
    },
  };
}

/** The two ends of a TCP connection, by Deno itself if this version can close it. */
export async function tcpPair(): Promise<[Connection, Connection]> {
  if (!hasDenoSockets) return await nodePair();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = { hostname: "127.0.0.1", port: listener.addr.port };
  const [near, far] = await Promise.all([listener.accept(), Deno.connect(address)]);
  near.setNoDelay(true);
  far.setNoDelay(true);
  return [near, far];
}

async function unixPair(): Promise<[Connection, Connection]> {
  await using dir = await makeTempDir();
  const address = { transport: "unix", path: `${dir.path}/test.sock` } as const;
  using listener = Deno.listen(address);
  return await Promise.all([listener.accept(), Deno.connect(address)]);
}

async function nodeUnixPair(): Promise<[Connection, Connection]> {
  await using dir = await makeTempDir();
  return await nodePair({ path: `${dir.path}/test.sock` });
}

/** A session, and a peer that can do nothing but send and reset. */
export interface Resettable extends AsyncDisposable {
  session: Session;
  send(text: string): Promise<void>;
  reset(): Promise<void>;
}

/** Registers a test over each transport, with a peer that resets. */
export function testEachReset(
  name: string,
  run: (open: (options?: SessionOptions) => Promise<Resettable>) => Promise<void>,
): void {
  Deno.test(`${name} (memory)`, () => run((options) => openUnreadReset(memoryPair(), options)));
  Deno.test({
    name: `${name} (Unix)`,
    ignore: !canUnix || !hasDenoSockets,
    fn: () => run(async (options) => openUnreadReset(await unixPair(), options)),
  });
  Deno.test({
    name: `${name} (TCP)`,
    ignore: !canNet || !hasDenoSockets,
    fn: () => run(openTcpReset),
  });
  for (const way of WAYS) {
    Deno.test({
      name: `${name} (node Unix, ${way})`,
      ignore: !canUnix,
      fn: () => run(async (options) => openUnreadReset(await by(way, nodeUnixPair), options)),
    });
    Deno.test({
      name: `${name} (node TCP, ${way})`,
      ignore: !canNet,
      fn: () => run((options) => openTcpReset(options, way)),
    });
  }
}

/** For transports where a peer that closes with unread input resets, and sends no FIN before. */
function openUnreadReset(
  [near, far]: [Connection, Connection],
  options?: SessionOptions,
): Promise<Resettable> {
  const session = new Session(near, options);
  const peer = new Peer(far);
  return Promise.resolve({
    session,
    send: (text) => peer.send(text),
    reset: async () => {
      await session.send("never read");
      await session.flush();
      peer.close();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      session.abort();
      await session.closed;
    },
  });
}

/** A `Deno.Conn` sends its FIN before it resets, so this peer is a socket of `node:net`. */
async function openTcpReset(options?: SessionOptions, way?: Way): Promise<Resettable> {
  const listener = way === undefined
    ? Deno.listen({ hostname: "127.0.0.1", port: 0 })
    : await by(way, listenNodeTcp);
  const accepted = listener.accept();
  const socket = net.connect((listener.addr as Deno.NetAddr).port, "127.0.0.1");
  const session = new Session(await accepted, options);
  listener.close();
  await new Promise<void>((resolve) => {
    if (socket.connecting) socket.once("connect", () => resolve());
    else resolve();
  });
  return {
    session,
    send: (text) => new Promise((resolve) => socket.write(text, () => resolve())),
    reset: () => {
      socket.resetAndDestroy();
      return Promise.resolve();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      session.abort();
      await session.closed;
      socket.destroy();
      if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    },
  };
}

/** Bytes that show where one is missing or comes twice. */
export function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from(
    { length },
    (_, i) => (i * 31 + (i >> 8) * 7 + (i >> 16) + seed) & 0xff,
  );
}

/** The other end, as plain as a socket. */
export class Peer {
  readonly connection: Connection;
  #isClosed = false;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  async send(data: string | Uint8Array): Promise<void> {
    let rest = typeof data === "string" ? encoder.encode(data) : data;
    while (rest.length > 0) rest = rest.subarray(await this.connection.write(rest));
  }

  /** Sends pieces so that each is read by itself: the next goes out once the session has got the last. */
  async sendApart(session: Session, pieces: readonly (string | Uint8Array)[]): Promise<void> {
    for (const piece of pieces) {
      const before = session.bytesRead;
      await this.send(piece);
      await until(() => session.bytesRead > before);
    }
  }

  /** Reads so many bytes, as text. */
  async text(count: number): Promise<string> {
    return decoder.decode(await this.bytes(count));
  }

  async bytes(count: number): Promise<Uint8Array> {
    const all = new Uint8Array(count);
    let have = 0;
    while (have < count) {
      const got = await this.connection.read(all.subarray(have));
      if (got === null) throw new Error(`the input ended after ${have} of ${count} bytes`);
      have += got;
    }
    return all;
  }

  /** How many bytes come until the end of input. */
  async countToEnd(): Promise<number> {
    const buffer = new Uint8Array(64 * 1024);
    let all = 0;
    for (;;) {
      const got = await this.connection.read(buffer);
      if (got === null) return all;
      all += got;
    }
  }

  /** The same for a session that was ended at once, which shows where the transport can tell. */
  countToClose(): Promise<number> {
    const { UnexpectedEof, ConnectionReset } = Deno.errors;
    return this.countToEnd().catch((error) => {
      if (error instanceof UnexpectedEof || error instanceof ConnectionReset) return 0;
      throw error;
    });
  }

  async textToEnd(): Promise<string> {
    const parts: string[] = [];
    const stream = new TextDecoder();
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const got = await this.connection.read(buffer);
      if (got === null) return parts.join("") + stream.decode();
      parts.push(stream.decode(buffer.subarray(0, got), { stream: true }));
    }
  }

  closeWrite(): Promise<void> {
    return this.connection.closeWrite();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.connection.close();
  }
}

/** Resolves once a condition holds; the test's own time limit ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** All that a loop yields. */
export async function collect<T>(loop: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of loop) all.push(item);
  return all;
}

/** Resolves to whether a promise is still pending after a turn or two of the event loop. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  const later = new Promise((resolve) => setTimeout(resolve, 5, pending));
  return await Promise.race([promise.catch(() => {}), later]) === pending;
}
