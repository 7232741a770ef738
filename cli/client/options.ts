/** The command line of the client. */

import type { Session, TransportName } from "../../mod.ts";
import { durationOption, listOption, transportOption } from "../options.ts";
import { type Arguments, choiceOption, integerOption, UsageError } from "../program.ts";

/** The options that take a value. */
export const OPTIONS: readonly string[] = [
  ...["hostname", "port", "unix", "transport", "timeout", "idle", "read-idle"],
  ...["ca", "cert", "key", "servername", "alpn"],
  ...["proxy-header", "output", "capture"],
];

/** The options without a value. */
export const FLAGS: readonly string[] = [
  ...["udp", "tls", "insecure", "reconnect", "verbose"],
  ...["raw", "crlf", "send-only", "recv-only", "no-shutdown", "hex"],
];

/** Options that have no effect without another one. */
const NEEDS: Readonly<Record<string, string>> = {
  ca: "tls",
  cert: "tls",
  key: "tls",
  servername: "tls",
  alpn: "tls",
  insecure: "tls",
  crlf: "raw",
  "send-only": "raw",
  "recv-only": "raw",
  "no-shutdown": "raw",
  hex: "raw",
  output: "raw",
};

/** Options that contradict each other, and why. */
const CONTRADICTIONS: readonly (readonly [one: string, other: string, why: string])[] = [
  ["unix", "hostname", "one socket has one address"],
  ["unix", "port", "one socket has one address"],
  ["insecure", "ca", "either the certificate is checked or it is not"],
  ["send-only", "recv-only", "nothing would be left to do"],
  ["send-only", "no-shutdown", "it leaves at the end of input"],
  ["send-only", "output", "what comes is dropped"],
  ["recv-only", "no-shutdown", "it reads no input that could end"],
  ["recv-only", "crlf", "it sends nothing"],
];

/** Where to dial. */
export type Place = { hostname: string; port: number } | { path: string };

/** The TLS options of the command line. Files are not read yet. */
export interface TlsPlan {
  ca?: string;
  cert?: string;
  key?: string;
  serverName?: string;
  alpn?: string[];
  isInsecure: boolean;
}

/** How the relay of `--raw` behaves. */
export interface RawPlan {
  /** Whether LF is sent as CRLF. */
  crlf: boolean;
  /** Whether standard input is read and sent. */
  sends: boolean;
  /** Whether received bytes are written. */
  receives: boolean;
  /** Whether the connection is half-closed at the end of input. */
  shutsDown: boolean;
  hex: boolean;
  /** The file to write to, instead of standard output. */
  output?: string;
}

/** What the program does, and where. All durations are in milliseconds. */
export interface Plan {
  place: Place;
  transport?: TransportName;
  tls?: TlsPlan;
  proxyHeader?: 1 | 2;
  timeout: number;
  idle: number;
  readIdle: number;
  reconnect: boolean;
  verbose: boolean;
  /** The file that sessions are captured into. */
  capture?: string;
  /** Called with each session that begins. */
  onSession?(session: Session): void;
  /** Without it, the program talks to the greeting service. */
  raw?: RawPlan;
}

/** Reads the options. Throws a `UsageError`. */
export function readPlan(args: Arguments): Plan {
  const { flags } = args;
  const place = placeOf(args);
  const timeout = durationOption(args, "timeout", 10_000);
  const idle = durationOption(args, "idle", Infinity);
  const readIdle = durationOption(args, "read-idle", Infinity);
  const isProxied = args.options["proxy-header"] !== undefined;
  const header = choiceOption(args, "proxy-header", ["v1", "v2"], "v1");
  checkTogether(args);
  const tls = flags.has("tls") ? tlsOf(args) : undefined;
  const raw = flags.has("raw") ? rawOf(args) : undefined;
  const transport = transportOption(args);
  return {
    place,
    ...(transport && { transport }),
    ...(tls && { tls }),
    ...(isProxied && { proxyHeader: header === "v1" ? 1 : 2 }),
    timeout,
    idle,
    readIdle,
    reconnect: flags.has("reconnect"),
    verbose: flags.has("verbose"),
    ...(args.options.capture !== undefined && { capture: args.options.capture }),
    ...(raw && { raw }),
  };
}

function placeOf(args: Arguments): Place {
  const { hostname = "127.0.0.1", unix: path } = args.options;
  const port = integerOption(args, "port", [1, 65535], 1234);
  return path === undefined ? { hostname, port } : { path };
}

function tlsOf(args: Arguments): TlsPlan {
  const { options, flags } = args;
  const { ca, cert, key, servername: serverName, unix } = options;
  if (cert !== undefined && key === undefined) {
    throw new UsageError("--cert needs --key, its private key");
  }
  if (key !== undefined && cert === undefined) {
    throw new UsageError("--key needs --cert, its certificate");
  }
  if (unix !== undefined && serverName === undefined) {
    throw new UsageError("--tls with --unix needs --servername, the host of the certificate");
  }
  const alpn = listOption(args, "alpn");
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && key !== undefined && { cert, key }),
    ...(serverName !== undefined && { serverName }),
    ...(alpn !== undefined && { alpn }),
    isInsecure: flags.has("insecure"),
  };
}

function rawOf({ options, flags, names }: Arguments): RawPlan {
  if (names.length > 0) {
    throw new UsageError(
      `unexpected argument ${JSON.stringify(names[0])}: --raw sends standard input`,
    );
  }
  const { output } = options;
  return {
    crlf: flags.has("crlf"),
    sends: !flags.has("recv-only"),
    receives: !flags.has("send-only"),
    shutsDown: !flags.has("no-shutdown"),
    hex: flags.has("hex"),
    ...(output !== undefined && { output }),
  };
}

/** Throws if options contradict each other, or have no effect. */
function checkTogether({ options, flags }: Arguments): void {
  const isGiven = (name: string) => flags.has(name) || options[name] !== undefined;
  for (const [name, needed] of Object.entries(NEEDS)) {
    if (isGiven(name) && !isGiven(needed)) throw new UsageError(`--${name} needs --${needed}`);
  }
  for (const [one, other, why] of CONTRADICTIONS) {
    if (!isGiven(one) || !isGiven(other)) continue;
    throw new UsageError(`--${one} and --${other} exclude each other: ${why}`);
  }
}
