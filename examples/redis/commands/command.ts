/** What a command is, and how its arguments are read. */

import type { Client } from "../client.ts";
import { RespError, type RespValue } from "@parley/tcp/codecs";

/** A command's words. They are typed as though there were always enough: the arity is checked before. */
export type Arguments = readonly [
  name: string,
  first: string,
  second: string,
  third: string,
  ...rest: string[],
];

export interface CommandSpec {
  /** How many words it has, its name included; a negative one says how many at least. */
  readonly arity: number;
  /** Which words are keys: the first, the last (negative from the end), and the step. */
  readonly keys?: readonly [first: number, last: number, step: number];
  /** Whether a subscriber may give it in RESP2. */
  readonly whileSubscribed?: boolean;
  /** Does it. `undefined` is for what has told the client by itself. */
  readonly run: (args: Arguments, client: Client) => RespValue | undefined;
}

export type CommandTable = Readonly<Record<string, CommandSpec>>;

export const SYNTAX_ERROR: RespError = new RespError("ERR syntax error");
const NOT_AN_INTEGER = new RespError("ERR value is not an integer or out of range");

/** Runs the command that the second word names. */
export function subcommand(name: string, table: CommandTable): CommandSpec["run"] {
  const specs = new Map(Object.entries(table));
  return (args, client) => {
    const spec = specs.get(args[1].toLowerCase());
    if (spec === undefined) {
      return new RespError(
        `ERR unknown subcommand '${args[1].slice(0, 128)}'. Try ${name.toUpperCase()} HELP.`,
      );
    }
    if (!hasArity(args, spec)) return wrongArity(`${name}|${args[1].toLowerCase()}`);
    return spec.run(args, client);
  };
}

export function hasArity({ length }: readonly string[], { arity }: CommandSpec): boolean {
  return arity < 0 ? length >= -arity : length === arity;
}

export function wrongArity(name: string): RespError {
  return new RespError(`ERR wrong number of arguments for '${name}' command`);
}

/** A number of 64 bits, written without ornament. */
export function parseInteger(text: string, otherwise: RespError = NOT_AN_INTEGER): bigint {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(text)) throw otherwise;
  const value = BigInt(text);
  if (!fits(value)) throw otherwise;
  return value;
}

export function fits(value: bigint): boolean {
  return value === BigInt.asIntN(64, value);
}

/** When something expires that is to last so long: in milliseconds since 1970. */
export function deadlineIn(milliseconds: bigint, command: string): number {
  const deadline = milliseconds + BigInt(Date.now());
  if (fits(milliseconds) && fits(deadline)) return Number(deadline);
  throw new RespError(`ERR invalid expire time in '${command}' command`);
}
