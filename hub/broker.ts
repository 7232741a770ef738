/** What the buses over brokers have in common. */

import { shown } from "../_internal/checks.ts";

/** How many bytes may be on their way to a broker that has not confirmed them. */
export const MAX_UNCONFIRMED: number = 1024 * 1024;

const PREFIX = /^[\w-]+(\.[\w-]+)*$/;
const MAX_PREFIX = 128;

/** Checks what subjects or channels begin with. */
export function checkPrefix(name: string, prefix: unknown): void {
  if (typeof prefix !== "string") {
    throw new TypeError(`${name} must be a string, got ${shown(prefix)}`);
  }
  if (PREFIX.test(prefix) && prefix.length <= MAX_PREFIX) return;
  throw new RangeError(
    `${name} must be 1 to ${MAX_PREFIX} letters, digits, "_", "-" and single dots between them, got ` +
      JSON.stringify(prefix.slice(0, MAX_PREFIX)),
  );
}
