import { systemErrors } from "../_internal/system_error_classes.ts";
import { linkSync, type Stats, unlinkSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { shown } from "../_internal/checks.ts";
import { unlessAborted } from "../_internal/time_limit.ts";
import { type Connection, formatAddress, type Listener, type UnixAddr } from "./connection.ts";
import { fileAt, isSame, nameBeside, putBack, takeAside, withMode } from "./unix_file.ts";

/** The most bytes of a path that the system has room for, with a NUL after it. */
const MAX_PATH = /^(darwin|freebsd|netbsd)$/.test(process.platform) ? 103 : 107;
/** A full backlog is tried again after these many milliseconds, doubling. */
const MIN_RETRY = 1;
const MAX_RETRY = 100;
/** A server that has bound a path listens within so many milliseconds, mostly within a thousandth of one. */
const START_TIME = 20;

/** What `serve()` and `connect()` may be given together with TCP's options, but not at once. */
interface UnixOptions {
  path?: string;
  mode?: number;
  hostname?: string;
  port?: number;
  listener?: Listener;
}

/** How Unix sockets are had. */
export interface UnixSockets {
  /** Listens. What is wrong is thrown, or rejects what it is to be waited for. */
  listen(path: string): Listener & { readonly ready?: Promise<void> | undefined };
  /** Dials. */
  dial(path: string, signal: AbortSignal): Promise<Connection>;
}

/** Unix sockets by what is public API of Deno. */
export const DENO_SOCKETS: UnixSockets = {
  listen: (path) => Deno.listen({ transport: "unix", path }),
  async dial(path, signal): Promise<Connection> {
    const dialled = Deno.connect({ transport: "unix", path });
    try {
      return await unlessAborted(dialled, signal);
    } catch (error) {
      // Deno takes no signal for a Unix socket: what it brings later, nobody wants.
      dialled.then((connection) => connection.close(), () => {});
      throw error;
    }
  },
};

/** Checks the options of a Unix socket, and returns its path if there is one. */
export function unixPath(options: UnixOptions): string | undefined {
  const { path, mode } = options;
  if (path === undefined) {
    if (mode !== undefined) throw new TypeError("mode is for a Unix socket, and needs a path");
    return;
  }
  for (const name of ["hostname", "port", "listener"] as const) {
    if (options[name] !== undefined) {
      throw new TypeError(`path and ${name} exclude each other: one socket has one address`);
    }
  }
  checkPath(path);
  if (mode !== undefined) checkMode(mode, path);
  return path;
}

/**
 * Dials a Unix socket. Where its backlog is full, the system refuses at once, so this tries again until there is
 * room, as TCP does by itself.
 */
export async function dialUnix(
  path: string,
  signal: AbortSignal,
  sockets: UnixSockets = DENO_SOCKETS,
): Promise<Connection> {
  for (let delay = MIN_RETRY;; delay = Math.min(MAX_RETRY, 2 * delay)) {
    try {
      return await sockets.dial(path, signal);
    } catch (error) {
      if (!(error instanceof systemErrors.WouldBlock)) throw error;
    }
    await setTimeout(delay, undefined, { signal }).catch(() => {}); // with a reason of its own
    signal.throwIfAborted();
  }
}

/**
 * Listens on a Unix socket, and leaves no file behind nor takes one away that is not its own.
 *
 * A file that a killed server has left behind is known by a connect that is refused, which takes a turn of the event
 * loop: `ready` tells of it. All else is thrown at once, where the sockets do so.
 */
export class UnixListener implements Listener {
  readonly addr: UnixAddr;
  /** Resolves once it listens, where it cannot do so at once because there is a file. */
  readonly ready: Promise<void> | undefined;
  readonly #mode: number | undefined;
  readonly #sockets: UnixSockets;
  #listener: Listener | undefined;
  #file: Stats | undefined;
  #aside: string | undefined;
  #isAccepting = false;
  #isClosed = false;
  #isReferenced = true;

  constructor(path: string, mode: number | undefined, sockets: UnixSockets = DENO_SOCKETS) {
    this.addr = { transport: "unix", path };
    this.#mode = mode;
    this.#sockets = sockets;
    try {
      this.ready = this.#listen()?.catch((error) => this.#clear(error));
    } catch (error) {
      this.ready = this.#clear(error);
    }
  }

  async accept(): Promise<Connection> {
    this.#isAccepting = true;
    try {
      return await this.#listener!.accept();
    } finally {
      this.#isAccepting = false;
      if (this.#isClosed) this.#putBack();
    }
  }

  close(): void {
    if (this.#isClosed) throw new systemErrors.BadResource("the listener is closed");
    this.#isClosed = true;
    if (this.#listener === undefined) return;
    this.#setAside();
    this.#listener.close();
    // A waiting accept holds the socket, and so its file, until it has been rejected.
    if (!this.#isAccepting) this.#putBack();
  }

  ref(): void {
    this.#isReferenced = true;
    this.#listener?.ref?.();
  }

  unref(): void {
    this.#isReferenced = false;
    this.#listener?.unref?.();
  }

  /** Listens; returns a promise where that takes a turn. */
  #listen(): Promise<void> | undefined {
    const { path } = this.addr;
    const listener = withMode(this.#mode, () => this.#sockets.listen(path));
    if (listener.ready !== undefined) return listener.ready.then(() => this.#own(listener));
    this.#own(listener);
  }

  #own(listener: Listener): void {
    const { path } = this.addr;
    try {
      if (this.#isClosed) throw new systemErrors.BadResource("the listener is closed");
      if (!isAbstract(path)) this.#file = fileAt(path);
    } catch (error) {
      listener.close();
      throw error;
    }
    if (!this.#isReferenced) listener.unref?.();
    this.#listener = listener;
  }

  /** Listens after all, if only what a killed server has left is in the way. Else throws at once. */
  #clear(error: unknown): Promise<void> {
    if (!(error instanceof systemErrors.AddrInUse)) throw this.#explained(error);
    if (isAbstract(this.addr.path)) throw this.#inUse("a server listens there", error);
    return this.#replace(this.#socketThere(error), error);
  }

  /** The socket that is in the way, if it has not gone meanwhile. Nothing else is ever replaced. */
  #socketThere(cause: unknown): Stats | undefined {
    const file = fileAt(this.addr.path);
    if (file === undefined || file.isSocket()) return file;
    throw this.#inUse("what is there is no socket, and is left alone", cause);
  }

  async #replace(found: Stats | undefined, cause: unknown): Promise<void> {
    const { path } = this.addr;
    let problem = await whoIsThere(path, this.#sockets);
    if (problem === undefined) {
      await setTimeout(START_TIME); // a server that has bound and does not listen yet refuses too
      problem = await whoIsThere(path, this.#sockets);
    }
    if (problem !== undefined) throw this.#inUse(problem, cause);
    if (this.#isClosed) throw new systemErrors.BadResource("the listener is closed");
    await this.#takeOver(found);
  }

  /** Another server may want the same now: so nothing here waits, from this look on until it listens. */
  async #takeOver(found: Stats | undefined): Promise<void> {
    const { path } = this.addr;
    const aside = takeAside(path, found);
    try {
      await this.#listen();
    } catch (error) {
      if (!(error instanceof systemErrors.AddrInUse)) throw error;
      throw this.#inUse("another server was faster", error);
    } finally {
      // Not before: a new file must not have the number of the old one, by which others know that.
      if (aside !== undefined) unlinkSync(aside);
    }
  }

  /** Deno removes whatever is at the path. Where that is somebody else's by now, a second name keeps it. */
  #setAside(): void {
    const { path } = this.addr;
    const aside = nameBeside(path);
    try {
      if (isAbstract(path) || isSame(fileAt(path), this.#file)) return;
      linkSync(path, aside);
      this.#aside = aside;
    } catch { /* there is nothing, or it may not be kept: there is no other way */ }
  }

  #putBack(): void {
    if (this.#aside !== undefined) putBack(this.#aside, this.addr.path);
    this.#aside = undefined;
  }

  #inUse(problem: string, cause: unknown): Error {
    return new systemErrors.AddrInUse(this.#sentence(problem), { cause });
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof systemErrors.NotFound)) return error;
    return new systemErrors.NotFound(this.#sentence("its directory does not exist"), {
      cause: error,
    });
  }

  #sentence(problem: string): string {
    return `cannot listen on ${formatAddress(this.addr)}: ${problem}`;
  }
}

/** What keeps a path from being listened on, or `undefined` if nobody does. */
async function whoIsThere(path: string, sockets: UnixSockets): Promise<string | undefined> {
  try {
    (await sockets.dial(path, new AbortController().signal)).close();
    return "a server listens there";
  } catch (error) {
    const { ConnectionRefused, NotCapable, NotFound, WouldBlock } = systemErrors;
    if (error instanceof NotCapable) throw error;
    if (error instanceof ConnectionRefused || error instanceof NotFound) return;
    if (error instanceof WouldBlock) return "a server listens there, and its backlog is full";
    return `whether a server listens there cannot be told (${(error as Error).message})`;
  }
}

/** A name in Linux's abstract namespace, which has no file. */
function isAbstract(path: string): boolean {
  return path.startsWith("\0");
}

function checkPath(path: unknown): void {
  if (typeof path !== "string") throw new TypeError(`path must be a string, got ${shown(path)}`);
  const name = isAbstract(path) ? path.slice(1) : path;
  const length = new TextEncoder().encode(name).length;
  if (name === "" || name.includes("\0")) {
    throw new TypeError(
      `path must be that of a file, or a NUL and a name (Linux), got ${JSON.stringify(path)}`,
    );
  }
  if (length > MAX_PATH) {
    throw new RangeError(
      `path must be at most ${MAX_PATH} bytes, got ${length}: ${JSON.stringify(path)}`,
    );
  }
}

function checkMode(mode: unknown, path: string): void {
  if (typeof mode !== "number") throw new TypeError(`mode must be a number, got ${shown(mode)}`);
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    throw new RangeError(`mode must be from 0o000 to 0o777, got 0o${mode.toString(8)}`);
  }
  if (isAbstract(path)) throw new TypeError("mode is for a file, which an abstract name has not");
}
