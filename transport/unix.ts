import { lazy } from "./lazy.ts";
import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Stats } from "node:fs";
import process from "node:process";
import { shown } from "../_internal/checks.ts";
import { unlessAborted } from "../_internal/time_limit.ts";
import type { StartedListener } from "./node/listen_target.ts";
import { type Connection, formatAddress, type Listener, type UnixAddr } from "./connection.ts";
import { fileAt, isSame, nameBeside, putBack, takeAside, withMode } from "./unix_file.ts";

/** The maximum length of a path in bytes: the system also needs room for a NUL. */
const MAX_PATH = /^(darwin|freebsd|netbsd)$/.test(process.platform) ? 103 : 107;
/** How long to wait before a full backlog is tried again, in milliseconds. It doubles. */
const MIN_RETRY = 1;
const MAX_RETRY = 100;
/** How long a server may take to listen after it has bound a path, in milliseconds. Usually it takes microseconds. */
const START_TIME = 20;

/** The options of Unix sockets, and those of TCP that exclude them. */
interface UnixOptions {
  path?: string;
  mode?: number;
  hostname?: string;
  port?: number;
  listener?: Listener;
}

/** An implementation of Unix sockets. */
export interface UnixSockets {
  /** Listens. Errors are thrown, or reject `ready`. */
  listen(path: string): StartedListener;
  /** Dials. */
  dial(path: string, signal: AbortSignal): Promise<Connection>;
}

/** Unix sockets with the public API of Deno. */
export const DENO_SOCKETS: UnixSockets = {
  listen: (path) => Deno.listen({ transport: "unix", path }),
  async dial(path, signal): Promise<Connection> {
    const dialled = Deno.connect({ transport: "unix", path });
    try {
      return await unlessAborted(dialled, signal);
    } catch (error) {
      // Deno takes no signal for a Unix socket, so a late connection is closed here.
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
 * Dials a Unix socket. If the backlog is full, the system refuses at once, so this tries again until there is room, as TCP
 * does by itself.
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
    const waited = lazy.timersPromises.setTimeout(delay, undefined, { signal });
    await waited.catch(() => {}); // it rejects with another reason
    signal.throwIfAborted();
  }
}

/**
 * Listens on a Unix socket. It leaves no file behind, and never removes a file that is not its own.
 *
 * The file of a killed server is recognized by a refused connect. That takes a turn of the event loop, for which `ready` is
 * there. All other errors are thrown at once, if the sockets do so.
 */
export class UnixListener implements Listener {
  readonly addr: UnixAddr;
  /** Resolves once it listens, if it cannot listen at once because there is a file. */
  readonly ready: Promise<void> | undefined;
  readonly #mode: number | undefined;
  readonly #sockets: UnixSockets;
  #listener: StartedListener | undefined;
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

  acceptWaiting(): Connection[] {
    return this.#listener?.acceptWaiting?.() ?? [];
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

  /** Listens. Returns a promise if that takes a turn. */
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

  /** Listens again if only the file of a killed server is in the way. Otherwise, it throws at once. */
  #clear(error: unknown): Promise<void> {
    if (!(error instanceof systemErrors.AddrInUse)) throw this.#explained(error);
    if (isAbstract(this.addr.path)) throw this.#inUse("a server listens there", error);
    return this.#replace(this.#socketThere(error), error);
  }

  /** The socket that is in the way, if it is still there. No other kind of file is ever replaced. */
  #socketThere(cause: unknown): Stats | undefined {
    const file = fileAt(this.addr.path);
    if (file === undefined || file.isSocket()) return file;
    throw this.#inUse("there is a file that is not a socket", cause);
  }

  async #replace(found: Stats | undefined, cause: unknown): Promise<void> {
    const { path } = this.addr;
    let problem = await problemAt(path, this.#sockets);
    if (problem === undefined) {
      await lazy.timersPromises.setTimeout(START_TIME); // a server that has bound but does not listen yet refuses, too
      problem = await problemAt(path, this.#sockets);
    }
    if (problem !== undefined) throw this.#inUse(problem, cause);
    if (this.#isClosed) throw new systemErrors.BadResource("the listener is closed");
    await this.#takeOver(found);
  }

  /** Another server may do the same now, so nothing here waits between checking the file and listening. */
  async #takeOver(found: Stats | undefined): Promise<void> {
    const { path } = this.addr;
    const aside = takeAside(path, found);
    try {
      await this.#listen();
    } catch (error) {
      if (!(error instanceof systemErrors.AddrInUse)) throw error;
      throw this.#inUse("another server was faster", error);
    } finally {
      // Not earlier: the new file must not get the inode number of the old one, by which others recognize the old file.
      if (aside !== undefined) lazy.fs.unlinkSync(aside);
    }
  }

  /** Deno removes any file at the path. If it belongs to another server by now, a second name keeps it. */
  #setAside(): void {
    const { path } = this.addr;
    const aside = nameBeside(path);
    try {
      if (isAbstract(path) || isSame(fileAt(path), this.#file)) return;
      lazy.fs.linkSync(path, aside);
      this.#aside = aside;
    } catch { /* there is no file, or it cannot be kept */ }
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

/** Why a path cannot be replaced; `undefined` if no server listens there. */
async function problemAt(path: string, sockets: UnixSockets): Promise<string | undefined> {
  try {
    (await sockets.dial(path, new AbortController().signal)).close();
    return "a server listens there";
  } catch (error) {
    const { ConnectionRefused, NotCapable, NotFound, WouldBlock } = systemErrors;
    if (error instanceof NotCapable) throw error;
    if (error instanceof ConnectionRefused || error instanceof NotFound) return;
    if (error instanceof WouldBlock) return "a server listens there, and its backlog is full";
    return `cannot find out whether a server listens there (${(error as Error).message})`;
  }
}

/** Whether a path is a name in Linux's abstract namespace, which has no file. */
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
  if (isAbstract(path)) throw new TypeError("mode is for a file, but an abstract name has none");
}
