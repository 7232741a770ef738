import type { NetAddr, UnixAddr } from "../_internal/address.ts";
import { concat } from "../_internal/concat.ts";
import { formatIp } from "../_internal/ip.ts";
import { ProxyHeaderError } from "../errors.ts";
import {
  ADDRESS_SIZES,
  type DecodedProxyHeader,
  decodePath,
  type Ends,
  type ProxyHeaderInit,
  toEnds,
  UNIX,
} from "./header.ts";
import { areTlvs, CRC_PLACEHOLDER, decodeTlvs, encodeTlvs, seal } from "./tlvs.ts";
import type { ProxyHeader } from "./header.ts";

/** CR LF CR LF NUL CR LF "QUIT" LF (§2.2). */
const SIGNATURE = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10);
/** The size of the fixed part: signature, version and command, family and transport, and the length of the rest. */
const FIXED = 16;

const VERSION = 0x20;
const LOCAL = 0;
const PROXY = 1;
const STREAM = 1;
const DGRAM = 2;

/** The kind of the addresses. */
type Kind = Pick<Ends, "family" | "isDatagram">;

/** Decodes version 2 (§2.2). Returns `undefined` if the header is not complete. */
export function decodeV2(bytes: Uint8Array, maxLength: number): DecodedProxyHeader | undefined {
  const wrong = SIGNATURE.findIndex((byte, at) => at < bytes.length && bytes[at] !== byte);
  if (wrong !== -1) {
    const problem = `the signature of version 2 needs ${hex(SIGNATURE[wrong]!)}`;
    throw new ProxyHeaderError(`${problem} here, got ${hex(bytes[wrong]!)}`, wrong);
  }
  if (bytes.length <= 12) return;
  const command = decodeCommand(bytes[12]!);
  if (bytes.length <= 13) return;
  // The receiver must ignore what follows LOCAL, including the family.
  const kind = command === "LOCAL" ? undefined : decodeKind(bytes[13]!);
  if (bytes.length <= 14) return;
  const length = decodeLength(bytes, kind, maxLength);
  if (bytes.length < length) return;
  const header: ProxyHeader = { version: 2, command, tlvs: [] };
  if (command === "LOCAL") return { header, length };
  const whole = bytes.subarray(0, length);
  if (kind !== undefined) {
    const ends = decodeEnds(whole, kind);
    return { header: { ...header, ...ends, ...decodeTlvs(whole, FIXED + sizeOf(kind)) }, length };
  }
  // With an unspecified family, there may be addresses of an unknown kind, which are skipped, or fields.
  const fields = areTlvs(whole, FIXED) ? decodeTlvs(whole, FIXED) : {};
  return { header: { ...header, ...fields }, length };
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}

function decodeCommand(byte: number): ProxyHeader["command"] {
  if ((byte & 0xf0) !== VERSION) {
    throw new ProxyHeaderError(`the version must be 2, got ${byte >> 4}`, 12);
  }
  const command = byte & 0x0f;
  if (command === LOCAL) return "LOCAL";
  if (command === PROXY) return "PROXY";
  throw new ProxyHeaderError(`the command must be 0 (LOCAL) or 1 (PROXY), got ${command}`, 12);
}

/** The kind of the addresses; `undefined` if family or transport are unspecified: then there are none. */
function decodeKind(byte: number): Kind | undefined {
  const [family, transport] = [byte >> 4, byte & 0x0f];
  if (family > UNIX) {
    throw new ProxyHeaderError(`the address family must be from 0 to 3, got ${family}`, 13);
  }
  if (transport > DGRAM) {
    throw new ProxyHeaderError(`the transport must be 0, 1 or 2, got ${transport}`, 13);
  }
  return family === 0 || transport === 0 ? undefined : { family, isDatagram: transport === DGRAM };
}

/** The length of the header. Its lower byte may not have come yet, and then counts as 0. */
function decodeLength(bytes: Uint8Array, kind: Kind | undefined, maxLength: number): number {
  const length = FIXED + (bytes[14]! << 8 | (bytes[15] ?? 0));
  if (length > maxLength) {
    throw new ProxyHeaderError(`a header of ${length} bytes exceeds the limit of ${maxLength}`, 14);
  }
  const needed = FIXED + (kind === undefined ? 0 : sizeOf(kind));
  if (bytes.length >= FIXED && length < needed) {
    const problem = `a header with such addresses has ${needed} bytes or more, got ${length}`;
    throw new ProxyHeaderError(problem, 14);
  }
  return length;
}

/** The size of both addresses and their ports, if any. */
function sizeOf({ family }: Kind): number {
  return 2 * ADDRESS_SIZES[family]! + (family === UNIX ? 0 : 4);
}

function decodeEnds(
  header: Uint8Array,
  { family, isDatagram }: Kind,
): Pick<ProxyHeader, "source" | "destination"> {
  const size = ADDRESS_SIZES[family]!;
  const [source, destination] = [0, 1].map((index): NetAddr | UnixAddr => {
    const at = FIXED + index * size;
    if (family === UNIX) {
      return { transport: isDatagram ? "unixpacket" : "unix", path: decodePath(header, at) };
    }
    const hostname = formatIp(header.subarray(at, at + size));
    const portAt = FIXED + 2 * size + 2 * index;
    const port = header[portAt]! << 8 | header[portAt + 1]!;
    return { transport: isDatagram ? "udp" : "tcp", hostname, port };
  });
  return { source: source!, destination: destination! };
}

/** Encodes version 2. */
export function encodeV2(init: ProxyHeaderInit): Uint8Array {
  const ends = toEnds(init);
  const tlvs = encodeTlvs(init);
  const command = init.command ?? (init.source === undefined ? "LOCAL" : "PROXY");
  if (command === "LOCAL" && tlvs.length > 0) {
    throw new TypeError("LOCAL, the command without addresses, has no further fields");
  }
  const rest = [...(ends ? encodeEnds(ends) : []), ...tlvs];
  if (init.crc32c) rest.push(CRC_PLACEHOLDER);
  const size = rest.reduce((sum, part) => sum + part.length, 0);
  if (size > 0xffff) {
    throw new RangeError(`a header must have at most ${FIXED + 0xffff} bytes, got ${FIXED + size}`);
  }
  const kind = ends ? ends.family << 4 | (ends.isDatagram ? DGRAM : STREAM) : 0;
  const start = Uint8Array.of(
    VERSION | (command === "LOCAL" ? LOCAL : PROXY),
    kind,
    size >> 8,
    size & 0xff,
  );
  const header = concat([SIGNATURE, start, ...rest]);
  if (init.crc32c) seal(header);
  return header;
}

function encodeEnds({ family, source, destination }: Ends): Uint8Array[] {
  const addresses = [source.address, destination.address];
  if (family === UNIX) return addresses;
  const ports = [source.port, destination.port].flatMap((port) => [port >> 8, port & 0xff]);
  return [...addresses, Uint8Array.from(ports)];
}
