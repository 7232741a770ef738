/** What applications call groups, keys and people. */

import { shown } from "../_internal/checks.ts";
import type { HubSettings, JoinOptions, Person } from "./options.ts";

type Limits = Pick<HubSettings, "maxNameLength" | "maxInfoLength">;

/** Throws if a name is no text, or empty or too long. */
export function checkName(what: string, name: string, { maxNameLength }: Limits): void {
  if (typeof name !== "string") throw new TypeError(`${what} must be a string, got ${shown(name)}`);
  if (name.length === 0 || name.length > maxNameLength) {
    throw new RangeError(
      `${what} must have 1 to maxNameLength (${maxNameLength}) characters, got ${name.length}`,
    );
  }
  if (!name.isWellFormed()) throw new TypeError(`${what} must not contain half a surrogate pair`);
}

/** The person that joins; `undefined` if it does not say who it is. */
export function personOf({ id, info }: JoinOptions, limits: Limits): Person | undefined {
  if (id === undefined) {
    if (info !== undefined) throw new TypeError("info needs an id");
    return;
  }
  checkName("id", id, limits);
  if (info === undefined) return { id };
  const text = JSON.stringify(info);
  if (text === undefined) throw new TypeError(`info must be a value of JSON, got ${shown(info)}`);
  const { maxInfoLength } = limits;
  if (text.length > maxInfoLength) {
    throw new RangeError(
      `info must have at most maxInfoLength (${maxInfoLength}) characters as JSON, got ${text.length}`,
    );
  }
  return { id, info: JSON.parse(text) };
}
