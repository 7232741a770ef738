/** Blocks of pcapng files (draft-ietf-opsawg-pcapng), in little-endian order. No I/O. */

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** Packets begin with an IPv4 or IPv6 header (LINKTYPE_RAW). */
const LINKTYPE_RAW = 101;

const OPT_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
const ISB_IFRECV = 4;
const ISB_IFDROP = 5;

/** Type and both lengths of a block. */
const FRAME = 12;
/** What comes before the data of a packet: interface, time, and both lengths. */
const PACKET_HEADER = 20;
/** The longest comment, in bytes: a peer can choose a part of it, such as a server name. */
const MAX_COMMENT = 1024;

const encoder = new TextEncoder();

/** An option of a block: its code and value. */
type Option = readonly [code: number, value: Uint8Array];

/** The beginning of a file: a section and its only interface. */
export function fileHeader(application: string, comment: string): Uint8Array {
  const section = block(SECTION_HEADER, 16, [
    text(OPT_COMMENT, comment),
    text(SHB_USERAPPL, application),
  ]);
  const about = viewOf(section);
  about.setUint32(8, BYTE_ORDER_MAGIC, true);
  about.setUint16(12, 1, true); // version 1.0
  about.setBigInt64(16, -1n, true); // the section's length is not known
  const network = block(INTERFACE_DESCRIPTION, 8, [[IF_TSRESOL, Uint8Array.of(6)]]); // 10^-6 s
  viewOf(network).setUint16(8, LINKTYPE_RAW, true);
  const header = new Uint8Array(section.length + network.length);
  header.set(section);
  header.set(network, section.length);
  return header;
}

/** A packet to write. */
export interface Packet {
  /** When, in microseconds since 1970. */
  time: number;
  isInbound: boolean;
  /** What comes before the payload, such as the headers of IP and TCP. */
  headers: Uint8Array;
  payload: Uint8Array;
  comment?: string | undefined;
}

/** The block of a packet, which has copies of the bytes. */
export function packetBlock({ time, isInbound, headers, payload, comment }: Packet): Uint8Array {
  const length = headers.length + payload.length;
  const options: Option[] = [[EPB_FLAGS, Uint8Array.of(isInbound ? 1 : 2, 0, 0, 0)]];
  if (comment !== undefined) options.push(text(OPT_COMMENT, comment));
  const bytes = block(ENHANCED_PACKET, PACKET_HEADER + padded(length), options);
  const view = viewOf(bytes);
  setTime(view, 12, time);
  view.setUint32(20, length, true);
  view.setUint32(24, length, true);
  bytes.set(headers, 28);
  bytes.set(payload, 28 + headers.length);
  return bytes;
}

/** The block that says how many packets there were, and how many of them are missing. */
export function statisticsBlock(time: number, received: number, dropped: number): Uint8Array {
  const bytes = block(INTERFACE_STATISTICS, 12, [
    [ISB_IFRECV, uint64(received)],
    [ISB_IFDROP, uint64(dropped)],
  ]);
  setTime(viewOf(bytes), 12, time);
  return bytes;
}

/** A block with room for `length` bytes from 8 on, and its options. */
function block(type: number, length: number, options: readonly Option[]): Uint8Array {
  let size = FRAME + length + 4; // the end of the options
  for (const [, value] of options) size += 4 + padded(value.length);
  const bytes = new Uint8Array(size);
  const view = viewOf(bytes);
  view.setUint32(0, type, true);
  view.setUint32(4, size, true);
  let at = 8 + length;
  for (const [code, value] of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  view.setUint32(size - 4, size, true);
  return bytes;
}

function text(code: number, value: string): Option {
  const bytes = new Uint8Array(MAX_COMMENT);
  return [code, bytes.subarray(0, encoder.encodeInto(value, bytes).written)];
}

function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** Times have their upper half first, whatever the order of bytes is. */
function setTime(view: DataView, at: number, time: number): void {
  view.setUint32(at, Math.floor(time / 2 ** 32), true);
  view.setUint32(at + 4, time % 2 ** 32, true);
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
