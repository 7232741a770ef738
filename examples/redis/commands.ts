/** Finds commands by name, and runs them. */

import type { Client } from "./client.ts";
import { type RespCommand, RespError, type RespValue } from "@parley/tcp/codecs";
import { HASHES, LISTS, SETS } from "./commands/collections.ts";
import {
  type Arguments,
  type CommandSpec,
  type CommandTable,
  hasArity,
  subcommand,
  wrongArity,
} from "./commands/command.ts";
import { CONNECTION } from "./commands/connection.ts";
import { KEYS } from "./commands/keys.ts";
import { PUBSUB } from "./commands/pubsub.ts";
import { SERVER } from "./commands/server.ts";
import { STRINGS } from "./commands/strings.ts";

const TABLE: CommandTable = {
  ...CONNECTION,
  ...SERVER,
  ...STRINGS,
  ...KEYS,
  ...LISTS,
  ...HASHES,
  ...SETS,
  ...PUBSUB,
  command: {
    arity: -1,
    run: (args, client) => args.length === 1 ? describeAll() : aboutCommands(args, client),
  },
};

/** By name in upper and in lower case, so that the usual names need no conversion. */
const COMMANDS: ReadonlyMap<string, CommandSpec> = new Map(
  Object.entries(TABLE).flatMap(([name, spec]) => [[name, spec], [name.toUpperCase(), spec]]),
);

/** Runs a command. `undefined` if there is no reply. */
export function execute(command: RespCommand, client: Client): RespValue | undefined {
  const name = command[0];
  if (name === undefined) return undefined;
  const spec = COMMANDS.get(name) ?? COMMANDS.get(name.toLowerCase());
  if (spec === undefined) return isHttp(name) ? hangUp(client) : unknown(command);
  if (!hasArity(command, spec)) return wrongArity(name.toLowerCase());
  if (client.isRestricted && !spec.whileSubscribed) return notWhileSubscribed(name);
  try {
    return spec.run(command as Arguments, client);
  } catch (error) {
    if (error instanceof RespError) return error;
    throw error;
  }
}

/** A web page can make a browser post commands to a server that only this machine can reach. */
function isHttp(name: string): boolean {
  return /^(post|host:)$/i.test(name);
}

function hangUp(client: Client): undefined {
  client.isLeaving = true;
}

function unknown([name, ...args]: RespCommand): RespError {
  let shown = "";
  for (const arg of args) {
    if (shown.length >= 128) break;
    shown += `'${arg.slice(0, 128 - shown.length)}' `;
  }
  return new RespError(
    `ERR unknown command '${name!.slice(0, 128)}', with args beginning with: ${shown}`,
  );
}

function notWhileSubscribed(name: string): RespError {
  return new RespError(
    `ERR Can't execute '${name.toLowerCase()}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / ` +
      "QUIT / RESET are allowed in this context",
  );
}

const aboutCommands = subcommand("command", {
  count: { arity: 2, run: () => Object.keys(TABLE).length },
  // redis-cli has documentation of its own.
  docs: { arity: -2, run: () => new Map() },
  info: {
    arity: -2,
    run: ([, , ...names]) =>
      names.length === 0 ? describeAll() : names.map((name) => {
        const spec = COMMANDS.get(name.toLowerCase());
        return spec === undefined ? null : describe(name.toLowerCase(), spec);
      }),
  },
});

function describeAll(): RespValue {
  return Object.entries(TABLE).map(([name, spec]) => describe(name, spec));
}

/** Information for clients that route commands: the arity, and which arguments are keys. */
function describe(name: string, { arity, keys = [0, 0, 0] }: CommandSpec): RespValue {
  const nothing: RespValue[] = [];
  return [name, arity, new Set<string>(), ...keys, new Set<string>(), nothing, nothing, nothing];
}
