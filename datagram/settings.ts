/** What servers and clients have in common: checks of options, and opening a socket. */

import type { Address, NetAddr } from "../_internal/address.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkMethods,
  checkObject,
  checkOneOf,
  checkSignal,
  shown,
} from "../_internal/checks.ts";
import { checkLogger } from "../_internal/logging.ts";
import { elsewhere, type Known, optionalMethods, within } from "../_internal/options.ts";
import type { DatagramObserver } from "./observer.ts";
import type {
  CommonDatagramOptions,
  MessageRate,
  MulticastGroup,
  MulticastOptions,
  ServeDatagramsOptions,
  SocketOptions,
} from "./options.ts";

const MULTICAST_GROUP: Known<MulticastGroup> = {
  address: checkText,
  interface: checkText,
  source: checkText,
};
const checkGroup = within(MULTICAST_GROUP);

export const MULTICAST: Known<MulticastOptions> = {
  groups: checkGroups,
  interface: checkText,
  ttl: checkTtl,
  loopback: checkBoolean,
};

/** The checks of {@linkcode SocketOptions}. */
const SOCKET_OPTIONS: Known<SocketOptions> = {
  ipv6Only: checkBoolean,
  reuseAddress: checkBoolean,
  ttl: checkTtl,
  broadcast: checkBoolean,
  multicast: within(MULTICAST),
  recvBufferSize: checkBufferSize,
  sendBufferSize: checkBufferSize,
};

export const MESSAGE_RATE: Known<MessageRate> = { perSecond: elsewhere, burst: elsewhere };

/** The checks of {@linkcode CommonDatagramOptions}. */
export const COMMON_OPTIONS: Known<CommonDatagramOptions<unknown, unknown>> = {
  kind: checkKind,
  codec: checkCodec,
  maxMessageSize: elsewhere,
  maxQueuedBytes: elsewhere,
  overflow: elsewhere,
  maxBufferedOutput: elsewhere,
};

/** The checks of the options of `serveDatagrams()`. */
export const SERVE_OPTIONS: Known<ServeDatagramsOptions<unknown, unknown>> = {
  ...COMMON_OPTIONS,
  ...SOCKET_OPTIONS,
  hostname: checkText,
  port: elsewhere,
  path: checkText,
  socket: checkSocket,
  allow: elsewhere,
  deny: elsewhere,
  messageRate: within(MESSAGE_RATE),
  ipv6PrefixLength: elsewhere,
  maxAmplification: elsewhere,
  provenFor: elsewhere,
  maxHandlers: elsewhere,
  shutdownTimeout: elsewhere,
  signal: checkSignal,
  observer: optionalMethods<DatagramObserver>([
    "onStateChange",
    "onDrop",
    "onHandlerError",
    "onSendError",
    "onReceiveError",
  ]),
  logger: checkLogger,
  onError: checkFunction,
};

/** The sizes and the policy of a socket's queues. */
export interface QueueSettings {
  readonly maxMessageSize: number;
  readonly maxQueuedBytes: number;
  readonly overflow: "drop-newest" | "drop-oldest";
  readonly maxBufferedOutput: number;
}

/** Checks them, and fills in the defaults. */
export function queueSettings(options: CommonDatagramOptions<unknown, unknown>): QueueSettings {
  const { maxMessageSize = 65_535, maxQueuedBytes = 4 * 2 ** 20, overflow = "drop-newest" } =
    options;
  const { maxBufferedOutput = 2 ** 20 } = options;
  checkOneOf("overflow", overflow, ["drop-newest", "drop-oldest"]);
  return {
    maxMessageSize: checkInteger("maxMessageSize", maxMessageSize, 1, 65_535),
    maxQueuedBytes: checkInteger("maxQueuedBytes", maxQueuedBytes, 1024, 2 ** 40),
    overflow,
    maxBufferedOutput: checkInteger("maxBufferedOutput", maxBufferedOutput, 1024, 2 ** 40),
  };
}

/** `maxAmplification`, checked. */
export function checkAmplification(value: unknown): number {
  return value === Infinity ? value : checkInteger("maxAmplification", value, 1, 1000);
}

/** Checks that a value is a socket. */
export function checkSocket(name: string, value: unknown): void {
  checkMethods(name, value, ["start", "send", "close"]);
  checkObject(`addr of ${name}`, (value as { addr?: unknown }).addr);
}

/** Checks that a value is a text. */
export function checkText(name: string, value: unknown): void {
  if (typeof value === "string" && value !== "") return;
  throw new TypeError(
    `${name} must be a text that is not empty, got ${value === "" ? '""' : shown(value)}`,
  );
}

/** Throws unless a socket can send to an address. */
export function checkReceiver(to: Address, { transport }: Address): void {
  checkObject("to", to);
  const given: unknown = to.transport;
  if (given !== transport) {
    const got = typeof given === "string" ? given : shown(given);
    throw new TypeError(`to must be an address of the transport ${transport}, got ${got}`);
  }
  if (transport !== "udp") return; // the socket checks it
  const { hostname, port } = to as NetAddr;
  checkText("hostname of to", hostname);
  checkInteger("port of to", port, 1, 65535);
}

/** What to use instead of the kinds of sockets that no runtime has. */
const INSTEAD: Readonly<Record<string, string>> = {
  seqpacket:
    "no runtime (Deno, Node.js, Bun) has sequenced packet sockets: use serve() with a path and the codec lengthPrefixed(), which keeps messages apart as well",
  raw:
    "no runtime (Deno, Node.js, Bun) has raw sockets: use UDP, or a program with CAP_NET_RAW, such as socat, behind a Unix socket",
};

function checkKind(name: string, value: unknown): void {
  const instead = typeof value === "string" ? INSTEAD[value] : undefined;
  if (instead !== undefined) throw new TypeError(`${name} ${JSON.stringify(value)}: ${instead}`);
  checkOneOf(name, value, ["datagram", ...Object.keys(INSTEAD)]);
}

function checkCodec(name: string, value: unknown): void {
  checkMethods(name, value, ["decoder", "encode"]);
}

function checkTtl(name: string, value: unknown): void {
  checkInteger(name, value, 1, 255);
}

function checkBufferSize(name: string, value: unknown): void {
  checkInteger(name, value, 1024, 2 ** 30);
}

function checkGroups(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, got ${shown(value)}`);
  for (const [at, group] of value.entries()) {
    if (typeof group === "string") checkText(`${name}[${at}]`, group);
    else {
      checkGroup(`${name}[${at}]`, group);
      checkText(`${name}[${at}].address`, group.address);
    }
  }
}
