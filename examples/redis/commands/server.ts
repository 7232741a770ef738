import type { Instance } from "../client.ts";
import { RespError, RespVerbatim } from "@parley/tcp/codecs";
import { VERSION } from "./connection.ts";
import { matches } from "./keys.ts";
import { type CommandTable, subcommand } from "./command.ts";

/** The settings that clients query. They cannot be changed. */
const SETTINGS: Readonly<Record<string, string>> = {
  appendonly: "no",
  databases: "16",
  maxmemory: "0",
  save: "",
  timeout: "0",
};

export const SERVER: CommandTable = {
  config: {
    arity: -2,
    run: subcommand("config", {
      get: {
        arity: -3,
        run: ([, , ...patterns]) => {
          const found = new Map<string, string>();
          for (const pattern of patterns) {
            const isGlob = /[*?[]/.test(pattern);
            for (const [name, value] of Object.entries(SETTINGS)) {
              // The reply has the name as the client wrote it.
              if (matches(name, pattern.toLowerCase())) found.set(isGlob ? name : pattern, value);
            }
          }
          return found;
        },
      },
      set: {
        arity: -4,
        run: ([, , name]) =>
          new RespError(
            Object.hasOwn(SETTINGS, name.toLowerCase())
              ? `ERR CONFIG SET failed (possibly related to argument '${name}') - can't set immutable config`
              : `ERR Unknown option or number of arguments for CONFIG SET - '${name}'`,
          ),
      },
    }),
  },
  info: {
    arity: -1,
    run: ([, ...wanted], { instance }) => {
      const names = wanted.map((name) => name.toLowerCase());
      const isWanted = (name: string): boolean =>
        names.length === 0 || ["default", "all", "everything", name].some((n) => names.includes(n));
      const sections = Object.entries(information(instance))
        .filter(([name]) => isWanted(name.toLowerCase()))
        .map(([name, fields]) =>
          [`# ${name}`, ...Object.entries(fields).map(([field, value]) => `${field}:${value}`), ""]
            .join("\r\n")
        );
      return new RespVerbatim(sections.join("\r\n"));
    },
  },
};

type Section = Readonly<Record<string, string | number>>;

function information(instance: Instance): Record<string, Section> {
  const { startedAt, clients, databases, channels } = instance;
  return {
    Server: {
      redis_version: VERSION,
      redis_mode: "standalone",
      process_id: Deno.pid,
      uptime_in_seconds: Math.floor((Date.now() - startedAt) / 1000),
    },
    Clients: { connected_clients: clients.size },
    Memory: { used_memory: Deno.memoryUsage().heapUsed },
    Persistence: { loading: 0 },
    Stats: { pubsub_channels: channels.size },
    Replication: { role: "master", connected_slaves: 0 },
    Keyspace: Object.fromEntries(
      databases.map(({ size }, index) => [`db${index}`, `keys=${size}`] as const)
        .filter((_, index) => databases[index]!.size > 0),
    ),
  };
}
