/** The messages by which hubs tell each other who is in a group. */

import { shown } from "../_internal/checks.ts";
import { MalformedFrameError } from "../errors.ts";
import type { Person } from "./options.ts";

/**
 * A message about the people of one hub in a group. `version` is that of all its people in the group, which changes with
 * them, and `count` is how many there are.
 */
export type PresenceMessage =
  /** Some have joined or left since the version `from`. */
  | {
    readonly kind: "change";
    readonly version: number;
    readonly from: number;
    readonly count: number;
    readonly joined: readonly Person[];
    readonly left: readonly string[];
  }
  /** All people, in one or several messages. */
  | {
    readonly kind: "all";
    readonly version: number;
    readonly count: number;
    readonly isFirst: boolean;
    readonly joined: readonly Person[];
  }
  /** Nothing has changed. */
  | { readonly kind: "beat"; readonly version: number; readonly count: number }
  /** Asks the hub `of`, or each hub, for `all`. */
  | { readonly kind: "ask"; readonly of?: number };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodePresence(message: PresenceMessage): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** @throws {MalformedFrameError} If the bytes are no such message. */
export function decodePresence(bytes: Uint8Array): PresenceMessage {
  let message;
  try {
    message = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new MalformedFrameError("a message about presence is no JSON", 0, { cause });
  }
  const problem = problemOf(message);
  if (problem === undefined) return message;
  throw new MalformedFrameError(`a message about presence ${problem}`, 0);
}

function problemOf(message: Record<string, unknown>): string | undefined {
  if (typeof message !== "object" || message === null) return `is ${shown(message)}`;
  const { kind, version, count, from, joined, left, of } = message;
  const isNumber = (value: unknown): boolean => Number.isSafeInteger(value);
  if (kind === "ask") return of === undefined || isNumber(of) ? undefined : "asks no hub";
  if (kind !== "change" && kind !== "all" && kind !== "beat") return "is of no known kind";
  if (!isNumber(version) || !isNumber(count)) return "has no version or count";
  if (kind === "beat") return;
  const isPerson = (value: unknown): boolean =>
    typeof value === "object" && value !== null && typeof (value as Person).id === "string";
  if (!Array.isArray(joined) || !joined.every(isPerson)) return "has no people";
  if (kind === "all") return;
  const isId = (value: unknown): boolean => typeof value === "string";
  if (!isNumber(from) || !Array.isArray(left) || !left.every(isId)) return "has no ids or version";
}
