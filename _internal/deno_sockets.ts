/** Which versions of Deno support which sockets. */

import { isDeno, isDenoFrom, runtimeName } from "./runtime.ts";

/** The first version whose `node:net` and `node:tls` have everything that is used here. */
const OLDEST = "2.8.3";
/** The first version in which `Deno.Conn.close()` ends a waiting write. In 2.8.3 it does not even end a waiting read. */
const CLOSING = "2.9.5";

/** The first version in which `node:net` does not remove a file to which it could not bind. */
const UNIX = "2.9.2";

const isTooOld = isDeno && !isDenoFrom(OLDEST);
const removesFiles = isDeno && !isDenoFrom(UNIX);

/** Whether the sockets of `Deno.listen()` and `Deno.connect()` can be used. */
export const hasDenoSockets: boolean = isDenoFrom(CLOSING);

/** Throws if this version of Deno is too old for sockets and TLS. */
export function checkVersion(): void {
  if (!isTooOld) return;
  throw new TypeError(`sockets and TLS need Deno ${OLDEST}, but this is ${runtimeName()}`);
}

/** Throws if listening by `node:net` could remove a file. */
export function checkUnixListening(): void {
  if (!removesFiles) return;
  const lack = "where it could remove another server's file";
  throw new TypeError(
    `listening on path or fd needs Deno ${UNIX}, but this is ${runtimeName()}, ${lack}`,
  );
}

/** Throws if `value` is a connection or a listener of Deno which this version cannot close. */
export function checkDenoSocket(value: object, what: string, instead: string): void {
  if (!hasDenoSockets && isDeno && isOfDeno(value)) throw needsDenoSockets(what, instead);
}

/** The error for something that needs the sockets of Deno. */
export function needsDenoSockets(what: string, instead: string): TypeError {
  const runtime = isDeno
    ? `${runtimeName()}, where closing a connection does not end a waiting write`
    : runtimeName();
  return new TypeError(`${what} needs Deno ${CLOSING}, but this is ${runtime}: use ${instead}`);
}

function isOfDeno(value: object): boolean {
  const symbols = Object.getOwnPropertySymbols(value);
  return symbols.some(({ description }) => description === "Deno.internal.rid");
}
