import { checkBoolean, checkInteger, shown } from "../_internal/checks.ts";
import { parseIp } from "../_internal/ip.ts";
import { elsewhere, type Known, within } from "../_internal/options.ts";
import { decodeUtf8 } from "../_internal/utf8.ts";
import { MalformedFrameError, ProxyHeaderError } from "../errors.ts";
import type { Address, NetAddr, UnixAddr } from "../_internal/address.ts";

/** A PROXY protocol header: tells a server the address of the client behind a proxy. */
export interface ProxyHeader {
  /** The version of the protocol. */
  version: 1 | 2;
  /** `LOCAL` for a connection of the proxy itself, for example for a health check. */
  command: "PROXY" | "LOCAL";
  /**
   * The address of the client. Missing for `LOCAL`, and if the proxy does not know it (`UNKNOWN`). The transport is
   * `udp` or `unixpacket` if the client talks to the proxy in datagrams, as with QUIC.
   */
  source?: NetAddr | UnixAddr;
  /** The address at which the client has reached the proxy. Present if `source` is. */
  destination?: NetAddr | UnixAddr;
  /** The fields of version 2 (type-length-value, PROXY protocol §2.2) that have no property here, in their order. */
  tlvs: ProxyTlv[];
  /** The application protocol that was negotiated with the client (`PP2_TYPE_ALPN`). */
  alpn?: Uint8Array;
  /** The host name that the client asked for (`PP2_TYPE_AUTHORITY`), mostly by SNI: at most 255 bytes of UTF-8. */
  authority?: string;
  /** The proxy's id of the connection (`PP2_TYPE_UNIQUE_ID`): at most 128 bytes. */
  uniqueId?: Uint8Array;
  /** The name of the network namespace (`PP2_TYPE_NETNS`), in ASCII. */
  netns?: string;
  /** The client's TLS, as the proxy sees it (`PP2_TYPE_SSL`). */
  tls?: ProxyTls;
}

/** A further field of a PROXY header. */
export interface ProxyTlv {
  /** The type: 0 to 255. */
  type: number;
  /** The uninterpreted value. */
  value: Uint8Array;
}

/** A client's TLS, as the proxy sees it (PROXY protocol §2.2.6). Texts are ASCII, except the common name. */
export interface ProxyTls {
  /** Whether the client has connected over TLS. */
  secure: boolean;
  /** Whether the client has presented a certificate on this connection. */
  certificateOnConnection: boolean;
  /** Whether the client has presented a certificate in this TLS session. */
  certificateInSession: boolean;
  /** Whether the proxy has verified that certificate. */
  verified: boolean;
  /** The version of TLS, such as `TLSv1.3`. */
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

/** A complete PROXY header. */
export interface DecodedProxyHeader {
  /** The header. It shares no memory with the input. */
  header: ProxyHeader;
  /** The length in bytes. What follows comes from the client. */
  length: number;
}

/** The contents of a header for `encodeProxyHeader()`. A decoded {@linkcode ProxyHeader} can be passed as it is. */
export interface ProxyHeaderInit {
  /** The version of the protocol: 1 is a line of text, 2 is binary. */
  version: 1 | 2;
  /**
   * `LOCAL` for a connection of the proxy itself. It has no addresses and no further fields. Version 1 writes it as
   * `UNKNOWN`.
   *
   * @default {"PROXY" if there are addresses, else "LOCAL"}
   */
  command?: "PROXY" | "LOCAL";
  /**
   * The address of the client. Requires `destination`. The host name must be an IP address; its zone (`%eth0`) is left
   * out. If the version cannot express the transport (in-memory and vsock; in version 1, all but TCP), both addresses
   * become unknown.
   */
  source?: Address;
  /**
   * The address at which the client has reached the proxy. Requires `source`. If one of the two is IPv4 and the other
   * IPv6, both are written as IPv6.
   */
  destination?: Address;
  /** Further fields, of types that have no property here, in this order. */
  tlvs?: readonly ProxyTlv[];
  /** The application protocol that was negotiated with the client. */
  alpn?: Uint8Array;
  /** The host name that the client asked for: at most 255 bytes of UTF-8. */
  authority?: string;
  /** The proxy's id of the connection: at most 128 bytes. */
  uniqueId?: Uint8Array;
  /** The name of the network namespace, in ASCII. */
  netns?: string;
  /** The client's TLS, as the proxy sees it. */
  tls?: ProxyTls;
  /**
   * Whether to add a checksum. Version 2 only.
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

/** The size of an address in bytes, by family. */
export const ADDRESS_SIZES: readonly number[] = [0, 4, 16, 108];

/** The encoded ends of the proxied connection. */
export interface Ends {
  readonly family: number;
  readonly isDatagram: boolean;
  readonly source: End;
  readonly destination: End;
}

interface End {
  readonly address: Uint8Array;
  /** 0 for a Unix socket. */
  readonly port: number;
}

const encoder = new TextEncoder();

/** Decodes the path of a Unix socket. */
export function decodePath(bytes: Uint8Array, at: number): string {
  const block = bytes.subarray(at, at + ADDRESS_SIZES[UNIX]!);
  const nul = block.indexOf(0);
  // The name of an abstract socket begins with a NUL, and is padded with NULs (unix(7)).
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

/** Encodes the addresses. Returns `undefined` if there are none, or if the protocol cannot express them. */
export function toEnds({ source, destination }: ProxyHeaderInit): Ends | undefined {
  if (source === undefined && destination === undefined) return;
  if (source === undefined || destination === undefined) {
    const missing = source === undefined ? "source" : "destination";
    throw new TypeError(`source and destination must be given together, got no ${missing}`);
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

/** An unnamed socket has no path in Deno, and an empty one here. */
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
  throw new TypeError(`${name} cannot be encoded: it contains a NUL or a lone surrogate`);
}

/** Maps IPv4 to IPv6 (RFC 4291 §2.5.5.2) if the other end has an IPv6 address. */
function widen(end: End, size: number): End {
  if (end.address.length === size) return end;
  return { ...end, address: Uint8Array.of(...new Array(10).fill(0), 0xff, 0xff, ...end.address) };
}
