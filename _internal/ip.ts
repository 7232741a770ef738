/** IP addresses as text and as bytes in network order: 4 for IPv4, 16 for IPv6. */

/** The longest text of an address: six groups of IPv6, twelve digits of IPv4, and their separators. */
const MAX_TEXT = 45;
// Some programs read a number with a leading zero as octal (RFC 6943 §3.1.1).
const OCTET = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4 = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);
const GROUP = /^[\da-f]{1,4}$/i;

export interface ParseIpOptions {
  /** Whether the zone of an IPv6 address (`fe80::1%eth0`, RFC 4007 §11) is dropped. Otherwise, it is an error. */
  dropZone?: boolean;
}

/** The bytes of an address: IPv6 in any form of RFC 4291 §2.2, or four decimal numbers. `undefined` for other text. */
export function parseIp(text: string, options: ParseIpOptions = {}): Uint8Array | undefined {
  const address = options.dropZone ? withoutZone(text) : text;
  if (address.length > MAX_TEXT) return;
  const bytes = address.includes(":") ? parseIpv6(address) : parseIpv4(address);
  return bytes && new Uint8Array(bytes);
}

/** A host without the brackets that an IPv6 address has in URLs (RFC 3986 §3.2.2). */
export function withoutBrackets(host: string): string {
  return /^\[[^\]]*:[^\]]*\]$/.test(host) ? host.slice(1, -1) : host;
}

function withoutZone(text: string): string {
  const address = text.split("%", 1)[0]!;
  return address.includes(":") && text.length > address.length + 1 ? address : text;
}

function parseIpv4(text: string): number[] | undefined {
  return IPV4.exec(text)?.slice(1).map(Number);
}

function parseIpv6(text: string): number[] | undefined {
  const [before, after, ...more] = text.split("::");
  if (more.length > 0) return;
  const head = parseGroups(before!, after === undefined);
  const tail = parseGroups(after ?? "", true);
  if (head === undefined || tail === undefined) return;
  const missing = 16 - head.length - tail.length;
  // A `::` stands for at least one group.
  if (after === undefined ? missing !== 0 : missing < 2) return;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** Parses groups of IPv6. The last part of an address may end in an IPv4 address. */
function parseGroups(text: string, areLast: boolean): number[] | undefined {
  const groups = text === "" ? [] : text.split(":");
  const ipv4 = areLast && groups.at(-1)?.includes(".") ? parseIpv4(groups.pop()!) : [];
  if (ipv4 === undefined) return;
  const bytes: number[] = [];
  for (const group of groups) {
    if (!GROUP.test(group)) return;
    const value = parseInt(group, 16);
    bytes.push(value >> 8, value & 0xff);
  }
  bytes.push(...ipv4);
  return bytes;
}

export interface FormatIpOptions {
  /** Whether the IPv4 part of `::ffff:0:0/96` is written in decimal (RFC 5952 §5). Default: `true`. */
  mixed?: boolean;
}

/** The canonical text of an address (RFC 5952). */
export function formatIp(bytes: Uint8Array, options: FormatIpOptions = {}): string {
  const { mixed = true } = options;
  if (bytes.length === 4) return bytes.join(".");
  if (mixed && isMapped(bytes)) return `::ffff:${bytes.subarray(12).join(".")}`;
  const groups: number[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(bytes[at]! << 8 | bytes[at + 1]!);
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  const [start, end] = longestZeros(groups);
  // A single group of zeros is not shortened (§4.2.2).
  if (end - start < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(end))}`;
}

/** Whether 16 bytes are an IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2). */
export function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff &&
    bytes[11] === 0xff;
}

/** The first of the longest runs of zeros (§4.2.3). */
function longestZeros(groups: number[]): [start: number, end: number] {
  let longest: [number, number] = [0, 0];
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === 0) end++;
    if (end - start > longest[1] - longest[0]) longest = [start, end];
    start = end;
  }
  return longest;
}
