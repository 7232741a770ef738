/** Sends errors between threads. A clone loses its class, unless JavaScript defines the class. */

import { systemErrors } from "../_internal/system_error_classes.ts";
import { textOf } from "../_internal/thrown.ts";

/** How many nested causes are sent. */
const MAX_DEPTH = 3;

/** An error as plain values. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | number | undefined;
  readonly cause: SentError | undefined;
}

const CLASSES = new Map<string, new (message?: string, options?: ErrorOptions) => Error>([
  ...Object.entries(systemErrors),
  ...Object.entries({ RangeError, SyntaxError, TypeError, ReferenceError }),
]);

/** Turns a thrown value into plain values. */
export function sentError(thrown: unknown, depth = 0): SentError {
  if (!(thrown instanceof Error)) {
    return {
      name: "Error",
      message: textOf(thrown),
      stack: undefined,
      code: undefined,
      cause: undefined,
    };
  }
  const { code } = thrown as { code?: unknown };
  return {
    name: String(thrown.name),
    message: String(thrown.message),
    stack: typeof thrown.stack === "string" ? thrown.stack : undefined,
    code: typeof code === "string" || typeof code === "number" ? code : undefined,
    cause: thrown.cause === undefined || depth >= MAX_DEPTH
      ? undefined
      : sentError(thrown.cause, depth + 1),
  };
}

/** Turns plain values into an error, of the same class if that is known. */
export function receivedError({ name, message, stack, code, cause }: SentError): Error {
  const options = cause === undefined ? undefined : { cause: receivedError(cause) };
  const error = new (CLASSES.get(name) ?? Error)(message, options);
  if (error.name !== name) error.name = name;
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}
