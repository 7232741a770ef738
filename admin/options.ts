/** The options of `serveAdmin()`, which `mod.ts` publishes. */

import {
  checkBoolean,
  checkInteger,
  checkMethods,
  checkObject,
  checkOneOf,
  shown,
} from "../_internal/checks.ts";
import { checkLogger, type Logger } from "../_internal/logging.ts";
import { elsewhere, type Known } from "../_internal/options.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { Address } from "../transport/connection.ts";
import type { TransportName } from "../transport/socket_options.ts";
import type { Access } from "./access.ts";

/** A setting of a logger that can be changed while it runs. */
export interface LogLevelControl {
  /** The possible levels. */
  readonly levels: readonly string[];
  /** The current level. Setting it changes the logger. */
  level: string;
}

/** Options of {@linkcode serveAdmin}. */
export interface AdminOptions {
  /**
   * The address to listen on. Whoever can connect to it can see the addresses of clients.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /** The port to listen on: 0 to 65535, where 0 takes a free one. Needed unless a `path` is given. */
  port?: number;
  /** The Unix socket to listen on, instead of `hostname` and `port`, as for `serve()`. */
  path?: string;
  /** The permissions of the socket's file, as for `serve()`, such as 0o600. */
  mode?: number;
  /** What it listens with, as for `serve()`. */
  transport?: TransportName;
  /**
   * The host names by which browsers may ask for the page, such as `admin.example.org` behind a proxy. IP addresses and
   * `localhost` are always allowed. Any other name may belong to an attacker who lets it lead here (DNS rebinding). Set it
   * for a Unix socket as well if a proxy forwards requests of browsers to it: without it, a Unix socket allows all names.
   *
   * @default {[]}
   */
  hosts?: readonly string[];
  /**
   * Whether servers may be suspended, resumed and drained, sessions ended, and the log level changed. On TCP, it
   * requires a `token`.
   *
   * @default {false}
   */
  control?: boolean;
  /**
   * What must be sent to change anything, as `Authorization: Bearer TOKEN`: 16 to 200 visible ASCII characters. Choose it
   * at random. On a Unix socket, it is needed only if it is given.
   */
  token?: string;
  /**
   * What `/metrics` shows.
   *
   * @default {the metrics of the servers}
   */
  metrics?: Pick<Metrics, "handler">;
  /** Lets the log level be changed. */
  logLevel?: LogLevelControl;
  /** Logs what is changed, and from which address. */
  logger?: Logger;
}

/** The options of `serveAdmin()`. */
export const ADMIN_OPTIONS: Known<AdminOptions> = {
  hostname: elsewhere,
  port: elsewhere,
  path: elsewhere,
  mode: elsewhere,
  transport: elsewhere,
  hosts: checkHosts,
  control: checkBoolean,
  token: checkToken,
  metrics: (name, value) => checkMethods(name, value, ["handler"]),
  logLevel: checkLogLevel,
  logger: checkLogger,
};

/** A running admin server. */
export interface Admin extends AsyncDisposable {
  /** The address that it listens on, with its actual port. */
  readonly addr: Address;
  /** Resolves to the address once it listens, and rejects as `Server.listening` does. */
  readonly listening: Promise<Address>;
  /**
   * Closes the admin server and ends its connections. It closes itself when all servers that it shows are closed.
   *
   * @returns Resolves once it is closed.
   */
  close(): Promise<void>;
}

/** What an admin server lets in. Throws if nobody could change anything, or everybody could. */
export function accessOf({ path, hosts, control = false, token }: AdminOptions): Access {
  const isUnix = path !== undefined;
  if (control && !isUnix && token === undefined) {
    throw new TypeError("control on TCP needs a token: anybody on this machine can connect");
  }
  if (token !== undefined && !control) throw new TypeError("token is of no use without control");
  return { isUnix, hosts: hosts?.map((host) => host.toLowerCase()), control, token };
}

function checkHosts(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, got ${shown(value)}`);
  for (const host of value) {
    if (typeof host === "string" && /^[\w.-]+$/.test(host)) continue;
    const got = typeof host === "string" ? JSON.stringify(host) : shown(host);
    throw new TypeError(`${name} must be host names without a port, got ${got}`);
  }
}

function checkToken(name: string, value: unknown): void {
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, got ${shown(value)}`);
  }
  if (!/^[\x21-\x7e]*$/.test(value)) {
    throw new TypeError(`${name} must be visible ASCII characters`); // which are not repeated here
  }
  checkInteger(`the length of ${name}`, value.length, 16, 200);
}

function checkLogLevel(name: string, value: unknown): void {
  checkObject(name, value);
  const { levels, level } = value as Record<string, unknown>;
  if (!Array.isArray(levels)) {
    throw new TypeError(`levels of ${name} must be an array, got ${shown(levels)}`);
  }
  checkOneOf(`level of ${name}`, level, levels);
}
