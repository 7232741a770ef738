import { shown } from "../_internal/checks.ts";

const MAX_LENGTH = 100;

/** Throws unless `name` can be the name of a server, of clients or of spans. */
export function checkName(name: unknown): void {
  if (typeof name !== "string") throw new TypeError(`name must be a string, got ${shown(name)}`);
  if (name.length >= 1 && name.length <= MAX_LENGTH) return;
  throw new RangeError(`name must have 1 to ${MAX_LENGTH} characters, got ${name.length}`);
}
