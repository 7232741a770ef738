/**
 * Errors of the system, by the classes that the runtime has for them, so that `instanceof` works whichever transport
 * throws.
 */

import { getSystemErrorName } from "node:util";
import { type SystemErrorClass, systemErrors as errors } from "./system_error_classes.ts";

/** The classes by the codes of POSIX. What has none here is a plain `Error` with its `code`. */
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

/** Whatever was closed is asked for something. */
export function closedError(what: string): Error {
  return new errors.BadResource(`the ${what} is closed`);
}

/** What waited when it was closed. */
export function interruptedError(what: string): Error {
  return new errors.Interrupted(`the ${what} was closed`);
}

/** Two wait for what one may wait for. */
export function busyError(what: string): Error {
  return new errors.Busy(`${what} waits already`);
}

/** What codes mean whose class does not say it. */
const MEANINGS = new Map([
  ["EMFILE", "Too many open files"],
  ["ENFILE", "Too many open files in system"],
]);

/** An error with the class and the `code` of what the system has said, such as `ECONNRESET`. */
export function systemError(code: string, message: string, options?: ErrorOptions): Error {
  const meaning = MEANINGS.get(code);
  const text = meaning === undefined ? code : `${meaning}, ${code}`;
  const error = new (CLASSES.get(code) ?? Error)(`${message} (${text})`, options);
  return Object.assign(error, { code });
}

/** The same for a status as handles give it: the negative number of the error. */
export function statusError(status: number, message: string): Error {
  return systemError(codeOf(status), message);
}

/** The code of a status, such as `EMFILE`. */
export function codeOf(status: number): string {
  return getSystemErrorName(status) ?? `errno ${status}`;
}

/** An error of `node:net`, which has a code and no class of its own, as one that has both. */
export function classified(error: unknown, message: string): unknown {
  const { code } = error as { code?: unknown };
  if (typeof code !== "string" || !CLASSES.has(code)) return error;
  return error instanceof CLASSES.get(code)! ? error : systemError(code, message, { cause: error });
}
