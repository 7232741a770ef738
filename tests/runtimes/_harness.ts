// What the scenarios share. They use only the package and node:*, so they run on each runtime.

import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { connect, type ConnectOptions, type Handler, type NetAddr, serve } from "@parley/tcp";
import type { ServeOptions, Server, Session } from "@parley/tcp";

/** Scenarios by name. Each resolves, or rejects with what is wrong. */
export type Scenarios = Record<string, () => Promise<void>>;

/** A certificate and its key, in PEM. */
export interface Pem {
  cert: string;
  key: string;
}

/** A certificate that must not be accepted, and what is wrong with it. */
export interface BadPem extends Pem {
  name: string;
  problem: string;
}

/** The certificates for all scenarios. */
export interface Pems {
  ca: string;
  server: Pem;
  other: Pem;
  client: Pem;
  /** An intermediate authority, and a certificate with it for both roles. */
  intermediate: string;
  chained: Pem;
  badServers: BadPem[];
  badClients: BadPem[];
}

/** Reads the certificates, from the directory of the scenarios. */
export function readPems(): Pems {
  return JSON.parse(readFileSync(new URL("./certificates.json", import.meta.url), "utf8"));
}

export const isBun: boolean = "Bun" in globalThis;

/** Answers each line with `re:` and the line. */
export async function answer(session: Session): Promise<void> {
  for await (const line of session.lines()) await session.send(`re:${line}\n`);
}

/** Runs a function with a server, which is aborted afterwards. */
export async function withServer<Result>(
  options: ServeOptions,
  handler: Handler,
  run: (server: Server) => Promise<Result>,
): Promise<Result> {
  const isElsewhere = options.path !== undefined || options.listener !== undefined;
  const server = serve(
    { ...(!isElsewhere && { port: 0 }), onError: () => {}, ...options },
    handler,
  );
  try {
    await server.listening;
    return await run(server);
  } finally {
    server.abort();
    await server.finished;
  }
}

/** Connects to a server. */
export function dial(server: Server, options: ConnectOptions = {}): Promise<Session> {
  return connect({ port: portOf(server), connectTimeout: 5_000, ...options });
}

export function portOf(server: Server): number {
  return (server.addr as NetAddr).port;
}

/** Runs a function with a session, which is aborted afterwards. */
export async function withSession<Result>(
  session: Promise<Session>,
  run: (session: Session) => Promise<Result>,
): Promise<Result> {
  const open = await session;
  try {
    return await run(open);
  } finally {
    open.abort();
  }
}

/** Asserts what the next line is. */
export async function expectLine(session: Session, line: string | undefined): Promise<void> {
  assert.equal(await session.readLine(), line);
}

/** A client without the library. */
export async function rawClient(server: Server): Promise<net.Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net.connect({ port: portOf(server), host: "127.0.0.1" }, resolve);
  socket.on("error", reject);
  await promise;
  socket.on("error", () => {});
  return socket;
}

/** Resolves to everything that a socket receives, at the end of input. */
export async function readAll(socket: net.Socket): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  socket.on("close", () => resolve());
  await promise;
  return concat(chunks);
}

export function concat(chunks: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Waits until a condition holds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Runs a function with a new directory. */
export async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/parley-`);
  try {
    await run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Bytes whose period is no power of two. */
export function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => at % 251);
}
