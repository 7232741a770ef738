/** The command line of the server. */

import type { ListenFdOptions, ServeOptions } from "../../mod.ts";
import { durationOption, listOption, modeOption, sizeOption, transportOption } from "../options.ts";
import { type Arguments, choiceOption, integerOption, UsageError } from "../program.ts";
import { type ServiceName, SERVICES } from "./services.ts";

/** The options that take a value. */
export const OPTIONS: readonly string[] = [
  ...["service", "delay", "workers", "nats"],
  ...["hostname", "port", "unix", "mode", "socket", "transport"],
  ...["tls-cert", "tls-key", "tls-mode"],
  ...["allow", "deny", "trusted", "max-sessions", "max-sessions-per-address", "ipv6-prefix"],
  ...["max-buffer-memory", "session-rate", "read-rate", "write-rate"],
  ...["idle-timeout", "read-idle-timeout", "drain-delay", "shutdown-timeout"],
  ...["log-level", "log-format", "capture", "admin", "admin-token"],
];

/** The options without a value. */
export const FLAGS: readonly string[] = ["proxy-protocol", "systemd", "admin-control", "udp"];

/** Whether clients must begin with TLS. */
export type TlsMode = "required" | "detect";

/** The files of a certificate and its key. */
export interface CertificateFiles {
  cert: string;
  key: string;
}

/** Where to listen: at an address, or on the socket of systemd, which may have a name. */
export type Place =
  | { hostname: string; port: number }
  | { path: string; mode?: number }
  | { systemd: ListenFdOptions };

/** What to serve, where and to whom. */
export interface Plan {
  service: ServiceName;
  delay: number;
  place: Place;
  certificate: CertificateFiles | undefined;
  tlsMode: TlsMode;
  limits: ServeOptions;
  /** How many threads serve; `undefined` for this one alone. */
  workers: number | "auto" | undefined;
  /** The URL of the NATS server that connects the chats of several processes. */
  nats: string | undefined;
  /** The file that sessions are captured into. */
  capture: string | undefined;
  admin: AdminPlan | undefined;
}

/** Where operators may ask, and whether they may change something. */
export interface AdminPlan {
  place: Exclude<Place, { systemd: unknown }>;
  control: boolean;
  /** The file with the token. */
  token: string | undefined;
}

/** Reads the options except those of the log. Throws a `UsageError`. */
export function readPlan(args: Arguments): Plan {
  const service = choiceOption(args, "service", SERVICES, "greeting");
  const delay = integerOption(args, "delay", [0, 2 ** 31 - 1], 0);
  if (service !== "greeting" && args.options["delay"] !== undefined) {
    throw new UsageError(`--delay is for --service greeting, got --service ${service}`);
  }
  return {
    service,
    delay,
    place: placeOf(args),
    certificate: certificateOf(args),
    tlsMode: tlsModeOf(args, service),
    limits: { ...limitsOf(args), ...proxyOf(args) },
    workers: workersOf(args),
    nats: natsOf(args, service),
    capture: args.options.capture,
    admin: adminOf(args),
  };
}

function adminOf({ options, flags }: Arguments): AdminPlan | undefined {
  const { admin, "admin-token": token } = options;
  const control = flags.has("admin-control");
  if (admin === undefined) {
    if (token !== undefined) throw new UsageError("--admin-token is of no use without --admin");
    if (control) throw new UsageError("--admin-control is of no use without --admin");
    return;
  }
  const place = adminPlaceOf(admin);
  if (token !== undefined && !control) {
    throw new UsageError("--admin-token is of no use without --admin-control");
  }
  if (control && token === undefined && !("path" in place)) {
    throw new UsageError("--admin-control needs --admin-token, or a Unix socket as --admin");
  }
  return { place, control, token };
}

/** `127.0.0.1:9090`, `[::1]:9090`, or a path with a slash. Only the owner may use a Unix socket. */
function adminPlaceOf(text: string): AdminPlan["place"] {
  if (text.includes("/")) return { path: text, mode: 0o600 };
  const [, hostname, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (hostname !== undefined && Number(port) <= 65535) {
    return { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
  }
  throw new UsageError(
    `--admin must be an address such as 127.0.0.1:9090, or the path of a Unix socket, got ${
      JSON.stringify(text)
    }`,
  );
}

function natsOf({ options: { nats } }: Arguments, service: ServiceName): string | undefined {
  if (nats === undefined) return;
  if (service !== "chat") {
    throw new UsageError(`--nats is for --service chat, got --service ${service}`);
  }
  if (/^(nats|tls):\/\/[^\s/?#@]+$/.test(nats)) return nats;
  throw new UsageError(
    `--nats must be a URL such as nats://127.0.0.1:4222, got ${JSON.stringify(nats)}`,
  );
}

function workersOf(args: Arguments): Plan["workers"] {
  const { workers, transport, capture } = args.options;
  if (workers === undefined) return;
  for (const option of ["unix", "systemd"]) {
    if (args.options[option] === undefined && !args.flags.has(option)) continue;
    throw new UsageError(`--workers and --${option} exclude each other: workers share a TCP port`);
  }
  if (capture !== undefined) {
    throw new UsageError("--workers and --capture exclude each other: one thread writes the file");
  }
  if (transport === "deno") {
    throw new UsageError("--workers needs --transport node, which is its default");
  }
  return workers === "auto" ? workers : integerOption(args, "workers", [1, 256], undefined);
}

function placeOf(args: Arguments): Place {
  const { hostname = "127.0.0.1", unix: path, socket: name } = args.options;
  if (args.flags.has("systemd")) {
    for (const option of ["hostname", "port", "unix", "mode"]) {
      if (args.options[option] === undefined) continue;
      throw new UsageError(
        `--systemd and --${option} exclude each other: systemd opens the socket`,
      );
    }
    if (args.options["transport"] === "deno") {
      throw new UsageError("--systemd needs --transport node, which is its default");
    }
    return { systemd: name === undefined ? {} : { name } };
  }
  if (name !== undefined) throw new UsageError("--socket is of no use without --systemd");
  const port = integerOption(args, "port", [0, 65535], 1234);
  const mode = modeOption(args, "mode");
  if (path === undefined) {
    if (mode !== undefined) throw new UsageError("--mode is for a Unix socket, and needs --unix");
    return { hostname, port };
  }
  for (const name of ["hostname", "port"]) {
    if (args.options[name] === undefined) continue;
    throw new UsageError(`--unix and --${name} exclude each other: one socket has one address`);
  }
  return { path, ...(mode !== undefined && { mode }) };
}

/** A service that speaks first does so only once its client has, if that is to be looked at. */
function tlsModeOf(args: Arguments, service: ServiceName): TlsMode {
  const { "tls-mode": given, "tls-cert": cert } = args.options;
  const mode = choiceOption<TlsMode>(args, "tls-mode", ["required", "detect"], "required");
  if (given !== undefined && cert === undefined) {
    throw new UsageError("--tls-mode is of no use without --tls-cert");
  }
  if (mode === "detect" && (service === "greeting" || service === "chat")) {
    throw new UsageError(
      `--tls-mode detect is for services whose clients speak first (echo, discard), got --service ${service}`,
    );
  }
  return mode;
}

function certificateOf({ options }: Arguments): CertificateFiles | undefined {
  const { "tls-cert": cert, "tls-key": key } = options;
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert !== undefined) throw new UsageError("--tls-cert needs --tls-key, its private key");
  if (key !== undefined) throw new UsageError("--tls-key needs --tls-cert, its certificate");
}

/** Of bytes a second. */
const RATES = ["1", "1024G"] as const;

/** The transport, access lists, limits and deadlines. */
function limitsOf(args: Arguments): ServeOptions {
  const isGiven = (name: string): boolean => args.options[name] !== undefined;
  if (isGiven("ipv6-prefix") && !isGiven("max-sessions-per-address") && !isGiven("session-rate")) {
    throw new UsageError(
      "--ipv6-prefix is of no use without --max-sessions-per-address or --session-rate",
    );
  }
  return given({
    transport: transportOption(args),
    allow: listOption(args, "allow"),
    deny: listOption(args, "deny"),
    maxSessions: integerOption(args, "max-sessions", [1, 2 ** 30], 10_000),
    maxSessionsPerAddress: integerOption(
      args,
      "max-sessions-per-address",
      [1, 2 ** 30],
      undefined,
    ),
    ipv6PrefixLength: integerOption(args, "ipv6-prefix", [1, 128], undefined),
    sessionRate: rateOf(integerOption(args, "session-rate", [1, 2 ** 30], undefined)),
    readRate: rateOf(sizeOption(args, "read-rate", RATES)),
    writeRate: rateOf(sizeOption(args, "write-rate", RATES)),
    maxBufferMemory: sizeOption(args, "max-buffer-memory", ["8M", "1048576G"]),
    idleTimeout: durationOption(args, "idle-timeout", undefined),
    readIdleTimeout: durationOption(args, "read-idle-timeout", undefined),
    drainDelay: drainDelayOf(args),
    shutdownTimeout: durationOption(args, "shutdown-timeout", undefined),
  });
}

/** `none` is no delay, and not one without end. */
function drainDelayOf(args: Arguments): number | undefined {
  const delay = durationOption(args, "drain-delay", undefined);
  return delay === Infinity ? 0 : delay;
}

/** The options of PROXY headers. */
function proxyOf(args: Arguments): ServeOptions {
  const isBehindProxy = args.flags.has("proxy-protocol");
  const isUnix = args.options["unix"] !== undefined;
  const trusted = listOption(args, "trusted");
  if (trusted !== undefined && (!isBehindProxy || isUnix)) {
    throw new UsageError(
      isUnix
        ? "--trusted is of no use with --unix: every peer that may connect is trusted"
        : "--trusted is of no use without --proxy-protocol",
    );
  }
  if (isBehindProxy && !isUnix && trusted === undefined) {
    throw new UsageError(
      "--proxy-protocol needs --trusted, the addresses of the proxies, or 0.0.0.0/0,::/0 for everybody",
    );
  }
  for (const name of ["allow", "deny", "max-sessions-per-address", "session-rate"]) {
    if (!isUnix || isBehindProxy || args.options[name] === undefined) continue;
    throw new UsageError(
      `--${name} is of no use with --unix: clients have an address there only by --proxy-protocol`,
    );
  }
  return isBehindProxy ? given({ proxyProtocol: "required", trusted }) : {};
}

/** A rate whose burst is that of one second. */
function rateOf(perSecond: number | undefined): { perSecond: number } | undefined {
  return perSecond === undefined || perSecond === Infinity ? undefined : { perSecond };
}

/** Removes options that are `undefined`, so that the library's defaults apply. */
function given(
  options: { [Name in keyof ServeOptions]: ServeOptions[Name] | undefined },
): ServeOptions {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as ServeOptions;
}
