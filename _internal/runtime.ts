/** Which runtime this is, for code that only one of them can run. */

import process from "node:process";

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
  return isDeno && isFrom(Deno.version.deno, version);
}

/** The same for Bun. */
export function isBunFrom(version: string): boolean {
  return isBun && isFrom(process.versions.bun!, version);
}

function isFrom(version: string, wantedVersion: string): boolean {
  const wanted = wantedVersion.split(".").map(Number);
  const own = version.split(".").map((part) => parseInt(part));
  const at = wanted.findIndex((number, at) => number !== own[at]);
  return at < 0 || own[at]! > wanted[at]!;
}
