import { checkBoolean, checkInteger, shown } from "../_internal/checks.ts";
import { parseIp } from "../_internal/ip.ts";
import { elsewhere, type Known, within } from "../_internal/options.ts";
import { decodeUtf8 } from "../_internal/utf8.ts";
import { MalformedFrameError, ProxyHeaderError } from "../errors.ts";
import type { Address } from "../_internal/address.ts";

/** What a PROXY protocol header said: who is behind the proxy. */
export interface ProxyHeader {
  /** The version of the protocol that it came in. */
  version: 1 | 2;
  /** `LOCAL` if the proxy speaks for itself, for example to check the server's health. */
  command: "PROXY" | "LOCAL";
  /**
   * Who has connected to the proxy; not there for `LOCAL` and where the proxy does not know (`UNKNOWN`). Its transport
   * is `udp` or `unixpacket` for a client that talks to the proxy in datagrams, as QUIC does.
   */
  source?: Deno.NetAddr | Deno.UnixAddr;
  /** Where the proxy was reached; there whenever `source` is. */
  destination?: Deno.NetAddr | Deno.UnixAddr;
  /** What version 2 said that has no field here, in its order (type-length-value, PROXY protocol §2.2). */
  tlvs: ProxyTlv[];
  /** The application protocol that was agreed on with the client (`PP2_TYPE_ALPN`). */
  alpn?: Uint8Array;
  /** The host name that the client asked for (`PP2_TYPE_AUTHORITY`), mostly by SNI: at most 255 bytes of UTF-8. */
  authority?: string;
  /** The proxy's name of the connection (`PP2_TYPE_UNIQUE_ID`): at most 128 bytes. */
  uniqueId?: Uint8Array;
  /** The name of the network namespace (`PP2_TYPE_NETNS`), in ASCII. */
  netns?: string;
  /** What the proxy knows of the client's TLS (`PP2_TYPE_SSL`). */
  tls?: ProxyTls;
}

/** One further field of a PROXY header. */
export interface ProxyTlv {
  /** Its type: 0 to 255. */
  type: number;
  /** Its value, uninterpreted. */
  value: Uint8Array;
}

/** What a proxy knows of its client's TLS (PROXY protocol §2.2.6). What is text is ASCII, but for the common name. */
export interface ProxyTls {
  /** Whether the client has connected over TLS. */
  secure: boolean;
  /** Whether it has shown a certificate on this connection. */
  certificateOnConnection: boolean;
  /** Whether it has shown one in this TLS session. */
  certificateInSession: boolean;
  /** Whether it has shown a certificate, here or in this TLS session, that the proxy has found valid. */
  verified: boolean;
  /** The version, such as `TLSv1.3`. */
  version?: string;
  /** The common name of the client's certificate. */
  commonName?: string;
  /** The cipher. */
  cipher?: string;
  /** The signature algorithm of the proxy's certificate. */
  signatureAlgorithm?: string;
  /** The key algorithm of the proxy's certificate. */
  keyAlgorithm?: string;
  /** The group of the key exchange, such as `X25519`. */
  group?: string;
  /** The scheme of the proxy's signature in the handshake, such as `rsa_pss_rsae_sha256`. */
  signatureScheme?: string;
  /** The client's certificate, in DER. */
  certificate?: Uint8Array;
}

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

const PROXY_TLS: Known<ProxyTls> = {
  secure: checkBoolean,
  certificateOnConnection: checkBoolean,
  certificateInSession: checkBoolean,
  verified: checkBoolean,
  version: elsewhere,
  commonName: elsewhere,
  cipher: elsewhere,
  signatureAlgorithm: elsewhere,
  keyAlgorithm: elsewhere,
  group: elsewhere,
  signatureScheme: elsewhere,
  certificate: elsewhere,
};

export const PROXY_HEADER_INIT: Known<ProxyHeaderInit> = {
  version: elsewhere,
  command: elsewhere,
  source: elsewhere,
  destination: elsewhere,
  tlvs: elsewhere,
  alpn: elsewhere,
  authority: elsewhere,
  uniqueId: elsewhere,
  netns: elsewhere,
  tls: within(PROXY_TLS),
  crc32c: checkBoolean,
};

/** Address families, by their numbers in version 2: 2 is IPv6. */
export const INET = 1;
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
