/** Commands and their arguments. */

import type { Client } from "../client.ts";
import { RespError, type RespValue } from "@parley/tcp/codecs";

/** The words of a command. Their type assumes that there are enough: the arity is checked first. */
export type Arguments = readonly [
  name: string,
  first: string,
  second: string,
  third: string,
  ...rest: string[],
];

export interface CommandSpec {
  /** How many words it has, including its name. If negative, it is a minimum. */
  readonly arity: number;
  /** Which words are keys: the first, the last (negative from the end), and the step. */
  readonly keys?: readonly [first: number, last: number, step: number];
  /** Whether a subscriber may use it in RESP2. */
  readonly whileSubscribed?: boolean;
  /** Runs the command. `undefined` if it has replied by itself. */
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

/** A number of 64 bits in its plain form: no plus sign, no leading zeros. */
export function parseInteger(text: string, otherwise: RespError = NOT_AN_INTEGER): bigint {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(text)) throw otherwise;
  const value = BigInt(text);
  if (!fits(value)) throw otherwise;
  return value;
}

export function fits(value: bigint): boolean {
  return value === BigInt.asIntN(64, value);
}

/** The time of expiry for a duration, in milliseconds since 1970. */
export function deadlineIn(milliseconds: bigint, command: string): number {
  const deadline = milliseconds + BigInt(Date.now());
  if (fits(milliseconds) && fits(deadline)) return Number(deadline);
  throw new RespError(`ERR invalid expire time in '${command}' command`);
}
