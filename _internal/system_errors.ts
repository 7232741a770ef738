/**
 * Errors of the system, by the classes that the runtime has for them, so that `instanceof` works whichever transport
 * throws.
 */

import { getSystemErrorName } from "node:util";
import { type SystemErrorClass, systemErrors as errors } from "./system_error_classes.ts";

/** The classes by POSIX code. Other errors are plain `Error`s with a `code`. */
const CLASSES = new Map<string, SystemErrorClass>([
  ["EACCES", errors.PermissionDenied],
  ["EADDRINUSE", errors.AddrInUse],
  ["EADDRNOTAVAIL", errors.AddrNotAvailable],
  ["EAGAIN", errors.WouldBlock],
  ["ECONNABORTED", errors.ConnectionAborted],
  ["ECONNREFUSED", errors.ConnectionRefused],
  ["ECONNRESET", errors.ConnectionReset],
  ["EINTR", errors.Interrupted],
  ["ENOENT", errors.NotFound],
  ["ENOTCONN", errors.NotConnected],
  ["EPERM", errors.PermissionDenied],
  ["EPIPE", errors.BrokenPipe],
  ["ETIMEDOUT", errors.TimedOut],
]);

/** The error for a use of something that is closed. */
export function closedError(what: string): Error {
  return new errors.BadResource(`the ${what} is closed`);
}

/** The error for an operation that waits while something is closed. */
export function interruptedError(what: string): Error {
  return new errors.Interrupted(`the ${what} was closed`);
}

/** The error for a second operation where only one may wait. */
export function busyError(what: string): Error {
  return new errors.Busy(`${what} waits already`);
}

/** The meaning of codes without a class. */
const MEANINGS = new Map([
  ["EMFILE", "Too many open files"],
  ["ENFILE", "Too many open files in system"],
]);

/** An error with a `code` of the system, such as `ECONNRESET`, and its class. */
export function systemError(code: string, message: string, options?: ErrorOptions): Error {
  const meaning = MEANINGS.get(code);
  const text = meaning === undefined ? code : `${meaning}, ${code}`;
  const error = new (CLASSES.get(code) ?? Error)(`${message} (${text})`, options);
  return Object.assign(error, { code });
}

/** The same for the status of a handle: the negative number of the error. */
export function statusError(status: number, message: string): Error {
  return systemError(codeOf(status), message);
}

/** The code of a status, such as `EMFILE`. */
export function codeOf(status: number): string {
  return getSystemErrorName(status) ?? `errno ${status}`;
}

/** Turns an error of `node:net`, which has only a code, into one that has the class, too. */
export function classified(error: unknown, message: string): unknown {
  const { code } = error as { code?: unknown };
  if (typeof code !== "string" || !CLASSES.has(code)) return error;
  return error instanceof CLASSES.get(code)! ? error : systemError(code, message, { cause: error });
}
