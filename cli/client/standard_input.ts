/** Standard input, for both modes of the client. */

import { Session } from "../../mod.ts";
import { stdin } from "../standard_streams.ts";
import { ProgramError } from "../program.ts";

/** The source of an input, such as `Deno.stdin`. */
export interface Source {
  read(buffer: Uint8Array): Promise<number | null>;
}

/** Reads. It may fail, for example for a directory or a closed terminal. */
export async function readFrom(source: Source, buffer: Uint8Array): Promise<number | null> {
  try {
    return await source.read(buffer);
  } catch (error) {
    throw new ProgramError(`cannot read standard input: ${(error as Error).message}`);
  }
}

/** Standard input as a session, whose lines have a maximum length. */
export function standardInput(): Session {
  const nowhere = { transport: "memory", name: "standard input" } as const;
  return new Session({
    remoteAddr: nowhere,
    localAddr: nowhere,
    read: (buffer) => readFrom(stdin, buffer),
    write: () => Promise.reject(new TypeError("standard input cannot be written")),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  }, { idleTimeout: Infinity, frameTimeout: Infinity });
}
