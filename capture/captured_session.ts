import type { SessionEnd } from "../errors.ts";
import { printable } from "../_internal/printable.ts";
import { endRecord } from "../session/end_record.ts";
import type { Session } from "../session.ts";
import { formatAddress } from "../transport/connection.ts";
import type { Tap } from "../transport/tapped.ts";
import type { Packet } from "./pcapng.ts";
import { type Endpoints, endpointsOf, FLAGS, headersOf, MAX_SEGMENT } from "./tcp_headers.ts";

const NOTHING: Uint8Array = new Uint8Array(0);
/** Sessions between the same ports begin far apart, or Wireshark would take them for one. */
const SEQUENCE_STEP = 0x9e37_79b1;

/** What a captured session needs of its capture. */
export interface SessionCapture {
  /** Which session of the capture it is, from 0. */
  n: number;
  /** Whether the peer has connected to this side. */
  isServer: boolean;
  /** The most payload that is written, in bytes. */
  maxBytes: number;
  /** Writes a packet. Returns whether there is room for it. */
  write(packet: Omit<Packet, "time">): boolean;
}

/** One direction of a stream. */
interface Direction {
  readonly isInbound: boolean;
  /** The sequence number of the next byte. */
  seq: number;
  isEnded: boolean;
}

/** Turns what a session reads and writes into packets of TCP. */
export class CapturedSession implements Tap {
  readonly #session: Session;
  readonly #capture: SessionCapture;
  readonly #ends: Endpoints;
  readonly #inbound: Direction;
  readonly #outbound: Direction;
  /** What the next packet says. */
  #remarks: string[];
  /** How much payload may still be written. */
  #left: number;
  /** Bytes that were not written since the last packet. */
  #missing = 0;
  #isLastInbound = false;
  #hasTls: boolean;
  /** Who has cut the connection off. */
  #cutBy: Direction | undefined;
  #isClosed = false;

  constructor(session: Session, capture: SessionCapture) {
    this.#session = session;
    this.#capture = capture;
    this.#left = capture.maxBytes;
    this.#ends = endpointsOf(session.remoteAddr, session.localAddr, capture);
    const first = Math.imul(capture.n + 1, SEQUENCE_STEP) >>> 0;
    this.#inbound = { isInbound: true, seq: first, isEnded: false };
    this.#outbound = { isInbound: false, seq: ~first >>> 0, isEnded: false };
    this.#hasTls = session.tls !== undefined;
    this.#remarks = introduction(session, this.#ends.areMadeUp);
    this.#shakeHands();
  }

  onInput(bytes: Uint8Array): void {
    this.#carry(this.#inbound, bytes);
  }

  onInputEnd(error?: unknown): void {
    if (this.#isClosed) return; // the error is that of a read that this side has interrupted
    if (error !== undefined) this.#cutBy ??= this.#inbound;
    else this.#finish(this.#inbound);
  }

  onOutput(bytes: Uint8Array): void {
    this.#carry(this.#outbound, bytes);
  }

  onOutputEnd(): void {
    this.#finish(this.#outbound);
  }

  onClose(isReset: boolean): void {
    this.#isClosed = true;
    if (isReset) this.#cutBy ??= this.#outbound;
  }

  /** Writes why the session has ended, with its last packet. */
  onGone(end: SessionEnd): void {
    this.#remarks.push(`ended: ${endRecord(this.#session, end).text}`);
    if (this.#cutBy !== undefined) this.#write(this.#cutBy, FLAGS.rst | FLAGS.ack);
    else if (!this.#outbound.isEnded) this.#finish(this.#outbound);
    else this.#write(this.#isLastInbound ? this.#outbound : this.#inbound, FLAGS.ack);
  }

  #shakeHands(): void {
    const [client, server] = this.#capture.isServer
      ? [this.#inbound, this.#outbound]
      : [this.#outbound, this.#inbound];
    this.#write(client, FLAGS.syn);
    client.seq = next(client.seq, 1);
    this.#write(server, FLAGS.syn | FLAGS.ack);
    server.seq = next(server.seq, 1);
    this.#write(client, FLAGS.ack);
  }

  #finish(direction: Direction): void {
    if (direction.isEnded) return;
    direction.isEnded = true;
    this.#write(direction, FLAGS.fin | FLAGS.ack);
    direction.seq = next(direction.seq, 1);
  }

  #carry(direction: Direction, bytes: Uint8Array): void {
    const { tls } = this.#session;
    if (tls !== undefined && !this.#hasTls) {
      this.#hasTls = true;
      this.#remarks.push(`TLS begins: ${describe(tls)}`);
    }
    const whole = bytes.subarray(0, this.#left);
    for (let at = 0; at < whole.length; at += MAX_SEGMENT) {
      const payload = whole.subarray(at, at + MAX_SEGMENT);
      this.#write(direction, FLAGS.psh | FLAGS.ack, payload);
      direction.seq = next(direction.seq, payload.length);
    }
    this.#left -= whole.length;
    const rest = bytes.length - whole.length;
    direction.seq = next(direction.seq, rest);
    this.#missing += rest;
  }

  #write(direction: Direction, flags: number, payload: Uint8Array = NOTHING): void {
    const { isInbound } = direction;
    const { remote, local } = this.#ends;
    const [from, to] = isInbound ? [remote, local] : [local, remote];
    const ack = (isInbound ? this.#outbound : this.#inbound).seq;
    const remarks = [...this.#remarks];
    if (this.#missing > 0) remarks.unshift(`${this.#missing} bytes are missing here`);
    const isWritten = this.#capture.write({
      isInbound,
      headers: headersOf({ from, to, flags, seq: direction.seq, ack, payload }),
      payload,
      comment: remarks.length > 0 ? remarks.join("; ") : undefined,
    });
    if (isWritten) {
      this.#isLastInbound = isInbound;
      this.#missing = 0;
      this.#remarks = [];
    } else this.#missing += payload.length;
  }
}

function next(seq: number, count: number): number {
  return (seq + count) % 2 ** 32;
}

/** What the first packet says. */
function introduction(session: Session, areMadeUp: boolean): string[] {
  const { id, remoteAddr, localAddr, tls, proxy, bytesRead, bytesWritten } = session;
  const addresses = `${formatAddress(remoteAddr)} and ${formatAddress(localAddr)}`;
  const remarks = [`session ${id}`];
  if (areMadeUp) remarks.push(`made-up addresses stand for ${addresses}`);
  if (proxy !== undefined) remarks.push("the addresses are those of its PROXY header");
  if (tls !== undefined) remarks.push(`shown without its TLS: ${describe(tls)}`);
  if (bytesRead + bytesWritten > 0) {
    remarks.push(
      `not captured from its beginning: ${bytesRead} bytes in and ${bytesWritten} bytes out came before`,
    );
  }
  return remarks;
}

function describe({ protocol, cipher, alpn, serverName }: NonNullable<Session["tls"]>): string {
  return [protocol, cipher, alpn, serverName]
    .filter((part) => part !== undefined)
    .map(printable)
    .join(", ");
}
