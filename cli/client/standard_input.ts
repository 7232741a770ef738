/** Standard input, as both kinds of the client read it. */

import { Session } from "../../mod.ts";
import { ProgramError } from "../program.ts";

/** What an input reads from, such as `Deno.stdin`. */
export interface Source {
  read(buffer: Uint8Array): Promise<number | null>;
}

/** Reads, or throws what cannot be read and why: a directory cannot, nor can a terminal that is gone. */
export async function readFrom(source: Source, buffer: Uint8Array): Promise<number | null> {
  try {
    return await source.read(buffer);
  } catch (error) {
    throw new ProgramError(`cannot read standard input: ${(error as Error).message}`);
  }
}

/** Standard input read as a session, for its lines with a cap. */
export function standardInput(): Session {
  const nowhere = { transport: "memory", name: "standard input" } as const;
  return new Session({
    remoteAddr: nowhere,
    localAddr: nowhere,
    read: (buffer) => readFrom(Deno.stdin, buffer),
    write: () => Promise.reject(new TypeError("standard input cannot be written")),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  }, { idleTimeout: Infinity, frameTimeout: Infinity });
}
