/** Which runtime this is, for code that only one of them can run. */

/** Whether this is Deno. */
export const isDeno: boolean = "Deno" in globalThis;

/** Whether this is Bun. */
export const isBun: boolean = "Bun" in globalThis;

/** The runtime and its version, such as `Node.js/24`. */
export function runtimeName(): string {
  return globalThis.navigator?.userAgent ?? "this runtime";
}
