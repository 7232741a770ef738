/** Which runtime this is, for code that only one of them can run. */

/** Whether this is Deno. */
export const isDeno: boolean = "Deno" in globalThis;

/** Whether this is Bun. */
export const isBun: boolean = "Bun" in globalThis;

/** The runtime and its version, such as `Node.js/24`. */
export function runtimeName(): string {
  return globalThis.navigator?.userAgent ?? "this runtime";
}

/** Whether this is Deno of a version, such as `2.9.5`, or a later one. */
export function isDenoFrom(version: string): boolean {
  if (!isDeno) return false;
  const wanted = version.split(".").map(Number);
  const own = Deno.version.deno.split(".").map((part) => parseInt(part));
  const at = wanted.findIndex((number, at) => number !== own[at]);
  return at < 0 || own[at]! > wanted[at]!;
}
