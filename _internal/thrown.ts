/** Describes thrown values for people and for logs. A thrown value may be anything: none of these functions throws. */

import { inspect } from "node:util";
import { printable } from "./printable.ts";

/** How many characters of a text, and how many frames of a stack, are shown. */
const MAX_TEXT = 8192;
const MAX_FRAMES = 50;
/** How many nested causes, and how many errors of an `AggregateError`, are shown. */
const MAX_DEPTH = 3;
const MAX_ERRORS = 3;
const INSPECTION = { depth: 1, maxArrayLength: 10, maxStringLength: MAX_TEXT };

/** An error as plain values, which every logger can write. */
export interface ErrorFacts {
  name: string;
  message: string;
  code?: string | number;
  /** Its cause, or the first few errors of an `AggregateError`. */
  causes?: (ErrorFacts | string)[];
}

/** A text in one line, shortened. */
export function brief(text: string): string {
  const rest = text.length - MAX_TEXT;
  return printable(rest > 0 ? `${text.slice(0, MAX_TEXT)}… (${rest} characters more)` : text);
}

/** A thrown value in one line. */
export function textOf(thrown: unknown): string {
  if (isError(thrown)) {
    const name = textIn(thrown, "name") || "Error";
    const message = textIn(thrown, "message");
    return message === "" ? name : `${name}: ${message}`;
  }
  return textOfValue(thrown);
}

/** A thrown value with its stack and its causes, in several lines. */
export function stackOf(thrown: unknown, depth = 0): string {
  const stack = [textOf(thrown), ...framesOf(thrown)].join("\n");
  const causes = causesOf(thrown, depth).map((cause) => stackOf(cause, depth + 1));
  return [stack, ...causes].join("\ncaused by ");
}

/** A thrown value as plain values. */
export function factsOf(thrown: unknown, depth = 0): ErrorFacts | string {
  if (!isError(thrown)) return textOf(thrown);
  const code = valueIn(thrown, "code");
  const causes = causesOf(thrown, depth).map((cause) => factsOf(cause, depth + 1));
  return {
    name: textIn(thrown, "name") || "Error",
    message: textIn(thrown, "message"),
    ...(typeof code === "number" && { code }),
    ...(typeof code === "string" && { code: brief(code) }),
    ...(causes.length > 0 && { causes }),
  };
}

/** The frames of a stack. Lines of the message are none, even if they look like frames. */
function framesOf(thrown: unknown): string[] {
  const stack = isError(thrown) && valueIn(thrown, "stack");
  if (typeof stack !== "string") return [];
  const message = valueIn(thrown, "message");
  const end = typeof message === "string" && stack.includes(message)
    ? stack.indexOf(message) + message.length
    : 0;
  const frames = stack.slice(end).split("\n").filter((line) => /^ +at /.test(line));
  return frames.slice(0, MAX_FRAMES).map(brief);
}

/** The causes of an error, down to a maximum depth. */
function causesOf(thrown: unknown, depth: number): unknown[] {
  if (!isError(thrown) || depth >= MAX_DEPTH) return [];
  const cause = valueIn(thrown, "cause");
  const causes = cause === undefined ? [] : [cause];
  try {
    const errors = valueIn(thrown, "errors");
    if (Array.isArray(errors)) causes.push(...errors.slice(0, MAX_ERRORS));
  } catch { /* it is not an array */ }
  return causes;
}

function isError(thrown: unknown): boolean {
  try {
    return thrown instanceof Error;
  } catch {
    return false;
  }
}

/** A property of an error that should be a text. */
function textIn(error: unknown, key: string): string {
  const value = valueIn(error, key);
  return value === undefined ? "" : textOfValue(value);
}

function textOfValue(value: unknown): string {
  try {
    const isText = typeof value === "string" || typeof value === "symbol";
    return brief(isText ? String(value) : inspect(value, INSPECTION));
  } catch {
    return "an object without a text";
  }
}

function valueIn(error: unknown, key: string): unknown {
  try {
    return (error as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}
