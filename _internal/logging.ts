/** What the library's own observers log to. */

import { checkMethods } from "./checks.ts";

/** Facts that go with a log message: plain values. What was thrown is a text or, of an error, its parts as texts. */
export type LogFields = Record<string, unknown>;

/** What a logger must have: `console`, a LogTape logger and a `@std/log` logger do as they are. */
export interface Logger {
  /**
   * Logs what helps to find a fault.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  debug(message: string, fields: LogFields): void;
  /**
   * Logs what happens as it should.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  info(message: string, fields: LogFields): void;
  /**
   * Logs what somebody should look at.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  warn(message: string, fields: LogFields): void;
  /**
   * Logs what has gone wrong.
   *
   * @param message A message for people.
   * @param fields The same facts for machines.
   */
  error(message: string, fields: LogFields): void;
}

/** Foreign text without what a logger would fill in: braces for LogTape, `%s` and the like for `console`. */
export function plain(text: string): string {
  return text.replaceAll("{", "(").replaceAll("}", ")").replace(/%(?=[%a-z])/gi, "% ");
}

/** One that lacks a method would swallow what it is to log. */
export function checkLogger(name: string, value: unknown): void {
  checkMethods(name, value, ["debug", "info", "warn", "error"]);
}
