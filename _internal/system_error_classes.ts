/** The classes of errors of the system: those of Deno, or the same ones on other runtimes. */

/** The class of one kind of error. */
export type SystemErrorClass = new (message?: string, options?: ErrorOptions) => Error;

/** The classes of the errors of the system, as `Deno.errors` has them. */
export interface SystemErrors {
  /** Another socket has the address (EADDRINUSE). */
  readonly AddrInUse: SystemErrorClass;
  /** The address does not belong to this machine (EADDRNOTAVAIL). */
  readonly AddrNotAvailable: SystemErrorClass;
  /** The file exists (EEXIST). */
  readonly AlreadyExists: SystemErrorClass;
  /** The connection or listener is closed. */
  readonly BadResource: SystemErrorClass;
  /** The peer does not read any more (EPIPE). */
  readonly BrokenPipe: SystemErrorClass;
  /** Another operation of the same kind waits already. */
  readonly Busy: SystemErrorClass;
  /** The connection was aborted (ECONNABORTED). */
  readonly ConnectionAborted: SystemErrorClass;
  /** Nothing listens at the address (ECONNREFUSED). */
  readonly ConnectionRefused: SystemErrorClass;
  /** The peer has reset the connection (ECONNRESET). */
  readonly ConnectionReset: SystemErrorClass;
  /** The connection or listener was closed while an operation waited (EINTR). */
  readonly Interrupted: SystemErrorClass;
  /** The data is invalid. */
  readonly InvalidData: SystemErrorClass;
  /** Deno's permission is missing. */
  readonly NotCapable: SystemErrorClass;
  /** The socket is not connected (ENOTCONN). */
  readonly NotConnected: SystemErrorClass;
  /** There is no such file (ENOENT). */
  readonly NotFound: SystemErrorClass;
  /** The system does not permit it (EACCES, EPERM). */
  readonly PermissionDenied: SystemErrorClass;
  /** The system's own timeout is over (ETIMEDOUT). */
  readonly TimedOut: SystemErrorClass;
  /** The input has ended too early. */
  readonly UnexpectedEof: SystemErrorClass;
  /** The operation would have to wait (EAGAIN). */
  readonly WouldBlock: SystemErrorClass;
  /** A write has taken no bytes. */
  readonly WriteZero: SystemErrorClass;
}

/** The default `code` of each class, if POSIX has one. */
const CODES: Readonly<Record<keyof SystemErrors, string | undefined>> = {
  AddrInUse: "EADDRINUSE",
  AddrNotAvailable: "EADDRNOTAVAIL",
  AlreadyExists: "EEXIST",
  BadResource: undefined,
  BrokenPipe: "EPIPE",
  Busy: undefined,
  ConnectionAborted: "ECONNABORTED",
  ConnectionRefused: "ECONNREFUSED",
  ConnectionReset: "ECONNRESET",
  Interrupted: "EINTR",
  InvalidData: undefined,
  NotCapable: undefined,
  NotConnected: "ENOTCONN",
  NotFound: "ENOENT",
  PermissionDenied: "EACCES",
  TimedOut: "ETIMEDOUT",
  UnexpectedEof: undefined,
  WouldBlock: "EAGAIN",
  WriteZero: undefined,
};

/** Makes the classes for a runtime that has none, whose errors have only a `code`. */
export function makeSystemErrors(): SystemErrors {
  const classes = Object.entries(CODES).map(([name, code]) => [name, makeClass(name, code)]);
  return Object.fromEntries(classes);
}

function makeClass(name: string, code: string | undefined): SystemErrorClass {
  class SystemError extends Error {
    constructor(message?: string, options?: ErrorOptions) {
      super(message, options);
      this.name = name;
      if (code !== undefined) Object.assign(this, { code });
    }
  }
  Object.defineProperty(SystemError, "name", { value: name });
  return SystemError;
}

/**
 * The classes of the errors with which connections, listeners and dials reject. On Deno they are those of `Deno.errors`;
 * on Node and Bun they have the same names, and a `code` such as `ECONNRESET`.
 *
 * @example Distinguish a reset from other errors, on any runtime
 * ```ts
 * import { memoryPair, systemErrors } from "@parley/tcp/transport";
 * import { assertRejects } from "@std/assert";
 *
 * const [near, far] = memoryPair();
 * far.reset!();
 * await assertRejects(() => near.read(new Uint8Array(1)), systemErrors.ConnectionReset);
 * ```
 */
export const systemErrors: SystemErrors =
  (globalThis as { Deno?: { errors: SystemErrors } }).Deno?.errors ?? makeSystemErrors();
