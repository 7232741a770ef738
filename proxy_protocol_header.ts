import { checkInteger, shown } from "./_internal/checks.ts";
import { parseIp } from "./_internal/ip.ts";
import { decodeUtf8 } from "./_internal/utf8.ts";
import { MalformedFrameError, ProxyHeaderError } from "./errors.ts";
import type { Address, ProxyHeader, ProxyTls, ProxyTlv } from "./transport/connection.ts";

/** A PROXY header that has come whole. */
export interface DecodedProxyHeader {
  /** What it says. None of it shares memory with the input. */
  header: ProxyHeader;
  /** How many bytes it took; what follows them is the client's own. */
  length: number;
}

/** What `encodeProxyHeader()` is given. A {@linkcode ProxyHeader} that was decoded will do. */
export interface ProxyHeaderInit {
  /** The version of the protocol: 1 is a line of text, 2 is binary. */
  version: 1 | 2;
  /**
   * `LOCAL` for a connection of the proxy's own, which nothing else goes with; version 1 calls that `UNKNOWN`.
   *
   * @default {"PROXY" where there are addresses, else "LOCAL"}
   */
  command?: "PROXY" | "LOCAL";
  /**
   * Who has connected to the proxy; it goes together with `destination`. A host name must be an IP address, whose zone
   * (`%eth0`) is left out. A transport that the version cannot tell (in-memory, vsock; in version 1 all but TCP) makes
   * both addresses unknown.
   */
  source?: Address;
  /** Where the proxy was reached. Where one of the two is IPv4 and the other IPv6, both are told as IPv6. */
  destination?: Address;
  /** Further fields of types that have no name here, in this order. */
  tlvs?: readonly ProxyTlv[];
  /** The application protocol that was agreed on with the client. */
  alpn?: Uint8Array;
  /** The host name that the client asked for: at most 255 bytes of UTF-8. */
  authority?: string;
  /** The proxy's name of the connection: at most 128 bytes. */
  uniqueId?: Uint8Array;
  /** The name of the network namespace, in ASCII. */
  netns?: string;
  /** What the proxy knows of the client's TLS. */
  tls?: ProxyTls;
  /**
   * Whether a checksum is added (version 2 alone).
   *
   * @default {false}
   */
  crc32c?: boolean;
}

/** An address family, by its number in version 2. */
export const INET = 1;
export const INET6 = 2;
export const UNIX = 3;

/** How many bytes an address has, by its family. */
export const ADDRESS_SIZES: readonly number[] = [0, 4, 16, 108];

/** The ends of the proxied connection, as they are written. */
export interface Ends {
  readonly family: number;
  readonly isDatagram: boolean;
  readonly source: End;
  readonly destination: End;
}

interface End {
  readonly address: Uint8Array;
  /** 0 for a Unix socket, which has none. */
  readonly port: number;
}

const encoder = new TextEncoder();

/** The path of a Unix socket out of its bytes. */
export function decodePath(bytes: Uint8Array, at: number): string {
  const block = bytes.subarray(at, at + ADDRESS_SIZES[UNIX]!);
  const nul = block.indexOf(0);
  // The name of an abstract socket begins with a NUL, and NULs fill up what it leaves (unix(7)).
  const length = nul === 0 ? block.findLastIndex((byte) => byte !== 0) + 1 : nul;
  return decodeText(bytes, at, at + (length === -1 ? block.length : length), "a path");
}

export function decodeText(bytes: Uint8Array, start: number, end: number, name: string): string {
  try {
    return decodeUtf8(bytes, start, end, true);
  } catch (cause) {
    const offset = cause instanceof MalformedFrameError ? cause.offset : 0;
    throw new ProxyHeaderError(`${name} must be UTF-8`, start + offset, { cause });
  }
}

/** The ends as they are written, or `undefined` where there are none that the protocol can tell. */
export function toEnds({ source, destination }: ProxyHeaderInit): Ends | undefined {
  if (source === undefined && destination === undefined) return;
  if (source === undefined || destination === undefined) {
    const missing = source === undefined ? "source" : "destination";
    throw new TypeError(`source and destination go together, got no ${missing}`);
  }
  const { transport } = source;
  if (transport !== destination.transport) {
    const got = `${transport} and ${destination.transport}`;
    throw new TypeError(`source and destination must have the same transport, got ${got}`);
  }
  if (transport === "memory" || transport === "vsock") return;
  const ends = [toEnd("source", source), toEnd("destination", destination)] as const;
  const size = Math.max(ends[0].address.length, ends[1].address.length);
  return {
    family: ADDRESS_SIZES.indexOf(size),
    isDatagram: transport === "udp" || transport === "unixpacket",
    source: widen(ends[0], size),
    destination: widen(ends[1], size),
  };
}

function toEnd(name: string, address: Address): End {
  switch (address.transport) {
    case "tcp":
    case "udp":
      return {
        address: toIp(`${name}.hostname`, address.hostname),
        port: checkInteger(`${name}.port`, address.port, 0, 65535),
      };
    case "unix":
    case "unixpacket":
      return { address: toBlock(`${name}.path`, address.path), port: 0 };
    default:
      throw new TypeError(
        `${name}.transport must be that of a known address, got ${
          JSON.stringify(address.transport)
        }`,
      );
  }
}

function toIp(name: string, hostname: string): Uint8Array {
  const bytes = typeof hostname === "string" ? parseIp(hostname, { dropZone: true }) : undefined;
  if (bytes !== undefined) return bytes;
  const got = typeof hostname === "string" ? JSON.stringify(hostname) : shown(hostname);
  throw new TypeError(`${name} must be an IP address, got ${got}`);
}

/** The runtime gives no path for a socket without a name. */
function toBlock(name: string, path: string | null | undefined): Uint8Array {
  const text = path ?? "";
  if (typeof text !== "string") throw new TypeError(`${name} must be a string, got ${shown(text)}`);
  const block = new Uint8Array(ADDRESS_SIZES[UNIX]!);
  const size = encoder.encode(text).length;
  if (size > block.length) {
    throw new RangeError(`${name} must have at most ${block.length} bytes, got ${size}`);
  }
  encoder.encodeInto(text, block);
  if (decodePath(block, 0) === text) return block;
  throw new TypeError(`${name} cannot be told, for a NUL or half a character in it`);
}

/** IPv4 as IPv6 (RFC 4291 §2.5.5.2), where the other end needs as much. */
function widen(end: End, size: number): End {
  if (end.address.length === size) return end;
  return { ...end, address: Uint8Array.of(...new Array(10).fill(0), 0xff, 0xff, ...end.address) };
}
