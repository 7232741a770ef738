import type { Client } from "../client.ts";
import { RespError, respStatus, type RespValue, RespVerbatim } from "@parley/tcp/codecs";
import { OK } from "../replies.ts";
import {
  type Arguments,
  type CommandTable,
  parseInteger,
  subcommand,
  SYNTAX_ERROR,
  wrongArity,
} from "./command.ts";

/** The version of Redis that this imitates. */
export const VERSION = "7.0.15";

const PONG = respStatus("PONG");
const BAD_NAME = new RespError(
  "ERR Client names cannot contain spaces, newlines or special characters.",
);
const BAD_ID = new RespError("ERR Invalid client ID");

export const CONNECTION: CommandTable = {
  ping: {
    arity: -1,
    whileSubscribed: true,
    run: (args, client) => {
      if (args.length > 2) return wrongArity("ping");
      if (client.isRestricted) return ["pong", args[1] ?? ""];
      return args[1] ?? PONG;
    },
  },
  echo: { arity: 2, run: ([, message]) => message },
  quit: {
    arity: -1,
    whileSubscribed: true,
    run: (_, client) => {
      client.isLeaving = true;
      return OK;
    },
  },
  select: {
    arity: 2,
    run: ([, index], client) => {
      const db = client.instance.databases[Number(parseInteger(index))];
      if (db === undefined) return new RespError("ERR DB index is out of range");
      client.db = db;
      client.databaseIndex = Number(index);
      return OK;
    },
  },
  hello: { arity: -1, run: hello },
  client: {
    arity: -2,
    run: subcommand("client", {
      id: { arity: 2, run: (_, { session }) => session.id },
      getname: { arity: 2, run: (_, { name }) => name || null },
      setname: {
        arity: 3,
        run: ([, , name], client) => {
          if (!isName(name)) return BAD_NAME;
          client.name = name;
          return OK;
        },
      },
      // Clients send the name of their library, which is ignored.
      setinfo: { arity: 4, run: () => OK },
      info: { arity: 2, run: (_, client) => new RespVerbatim(describe(client)) },
      list: { arity: -2, run: list },
    }),
  },
};

function isName(text: string): boolean {
  return /^[!-~]*$/.test(text);
}

function describe({ session, name, databaseIndex, channels, codec }: Client): string {
  const { hostname, port } = session.remoteAddr as Deno.NetAddr;
  const age = Math.floor((Date.now() - session.startedAt.getTime()) / 1000);
  return `id=${session.id} addr=${hostname}:${port} name=${name} age=${age} ` +
    `db=${databaseIndex} sub=${channels.size} resp=${codec.version}\n`;
}

/** Lists all clients, those of a type, or some by their ids. */
function list([, , by, ...values]: Arguments, { instance }: Client): RespValue {
  const clients = [...instance.clients];
  const lines = (some: Client[]) => new RespVerbatim(some.map(describe).join(""));
  if (by === undefined) return lines(clients);
  if (/^type$/i.test(by) && values.length === 1) {
    const type = values[0]!;
    if (!/^(normal|pubsub|master|slave|replica)$/i.test(type)) {
      return new RespError(`ERR Unknown client type '${type}'`);
    }
    return lines(
      clients.filter(({ channels }) =>
        type.toLowerCase() === (channels.size > 0 ? "pubsub" : "normal")
      ),
    );
  }
  if (!/^id$/i.test(by) || values.length === 0) return SYNTAX_ERROR;
  const ids = values.map((value) => Number(parseInteger(value, BAD_ID)));
  const byId = new Map(clients.map((client) => [client.session.id, client]));
  return lines(ids.flatMap((id) => byId.get(id) ?? []));
}

function hello(args: Arguments, client: Client): RespValue {
  const [, version, ...options] = args as readonly string[];
  let name: string | undefined;
  if (version !== undefined && !/^[23]$/.test(version)) {
    if (/^-?\d+$/.test(version)) return new RespError("NOPROTO unsupported protocol version");
    return new RespError("ERR Protocol version is not an integer or out of range");
  }
  for (let i = 0; i < options.length;) {
    const [word, first, second] = options.slice(i) as [string, string?, string?];
    if (/^auth$/i.test(word) && second !== undefined) {
      // The only user needs no password.
      if (first !== "default") {
        return new RespError("WRONGPASS invalid username-password pair or user is disabled.");
      }
      i += 3;
    } else if (/^setname$/i.test(word) && first !== undefined) {
      if (!isName(first)) return BAD_NAME;
      name = first;
      i += 2;
    } else return new RespError(`ERR Syntax error in HELLO option '${word}'`);
  }
  if (version !== undefined) client.codec.version = version === "3" ? 3 : 2;
  client.name = name ?? client.name;
  return new Map<string, RespValue>([
    ["server", "redis"],
    ["version", VERSION],
    ["proto", client.codec.version],
    ["id", client.session.id],
    ["mode", "standalone"],
    ["role", "master"],
    ["modules", []],
  ]);
}
