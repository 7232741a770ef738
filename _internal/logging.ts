/** The interface of loggers. */

import { checkMethods } from "./checks.ts";

/** The data of a log message, as plain values. A thrown value is a text; an error is an object of its parts as texts. */
export type LogFields = Record<string, unknown>;

/** The methods that a logger must have. `console`, LogTape loggers and `@std/log` loggers have them. */
export interface Logger {
  /**
   * Logs details for debugging.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  debug(message: string, fields: LogFields): void;
  /**
   * Logs a normal event.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  info(message: string, fields: LogFields): void;
  /**
   * Logs a problem that may need attention.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  warn(message: string, fields: LogFields): void;
  /**
   * Logs an error.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  error(message: string, fields: LogFields): void;
}

/** Replaces placeholders that a logger would fill in: braces of LogTape, `%s` and the like of `console`. */
export function withoutPlaceholders(text: string): string {
  return text.replaceAll("{", "(").replaceAll("}", ")").replace(/%(?=[%a-z])/gi, "% ");
}

/** A logger without one of the methods would lose messages. */
export function checkLogger(name: string, value: unknown): void {
  checkMethods(name, value, ["debug", "info", "warn", "error"]);
}
