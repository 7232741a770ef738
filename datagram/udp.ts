/** UDP sockets over `node:dgram`. */

import { createSocket, type RemoteInfo, type Socket, type SocketType } from "node:dgram";
import { lookup as resolve } from "node:dns";
import process from "node:process";
import { type Address, formatAddress, type NetAddr } from "../_internal/address.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import { rejectQuietly } from "../_internal/promises.ts";
import { isDeno } from "../_internal/runtime.ts";
import { classified } from "../_internal/system_errors.ts";
import type { SocketOptions } from "./options.ts";
import type { DatagramEvents, DatagramSocket } from "./socket.ts";

/** The size of the buffer in which Deno receives, unless it is told another. */
const DENO_BUFFER = 65_536;

type LookupCallback = (error: Error | null, address: string, family: number) => void;
type Lookup = (hostname: string, options: unknown, callback?: LookupCallback) => void;

/** What a UDP socket is opened with. */
export interface UdpSettings extends SocketOptions {
  hostname: string;
  port: number;
  /** The maximum size of a message in bytes; larger ones are cut, but not to this size or less. */
  maxMessageSize: number;
}

/**
 * Opens a socket. If `hostname` is an IP address, errors are thrown; otherwise, `ready` rejects.
 */
export function openUdp(settings: UdpSettings): UdpSocket {
  const { hostname, ipv6Only, reuseAddress, recvBufferSize, sendBufferSize } = settings;
  const isIpv6 = hostname.includes(":");
  const type: SocketType = isIpv6 ? "udp6" : "udp4";
  const received = receiveBuffer(settings.maxMessageSize, recvBufferSize);
  const socket = createSocket({
    type,
    lookup: lookupFor(isIpv6 ? 6 : 4),
    ...(ipv6Only !== undefined && { ipv6Only }),
    ...(reuseAddress !== undefined && { reuseAddr: reuseAddress }),
    ...(received !== undefined && { recvBufferSize: received }),
    ...(sendBufferSize !== undefined && { sendBufferSize }),
  });
  return new UdpSocket(socket, settings);
}

/**
 * The option for the receive buffer. Deno allocates memory of this size for each datagram, twice that on Linux, where
 * Node sets the buffer of the system.
 */
function receiveBuffer(maxMessageSize: number, asked: number | undefined): number | undefined {
  if (!isDeno) return asked;
  const size = maxMessageSize + 1; // to see that a datagram is too large
  if (size >= DENO_BUFFER) return;
  return process.platform === "linux" ? Math.ceil(size / 2) : size;
}

/** A lookup that returns IP addresses within the call, so that binding and sending are not deferred. */
function lookupFor(family: 4 | 6): Lookup {
  return (hostname, options, callback) => {
    const done = (callback ?? options) as LookupCallback;
    if (isIp(hostname)) done(null, hostname, family);
    else resolve(hostname, { family }, done);
  };
}

const DIGITS = /^[\d.]+$/;

/** Whether a host is an IP address, perhaps with a zone, and not a name. This is asked for each datagram. */
export function isIp(hostname: string): boolean {
  return hostname.includes(":") || DIGITS.test(hostname);
}

function isBound(socket: Socket): boolean {
  try {
    return socket.address().port > 0;
  } catch {
    return false; // not yet
  }
}

/** A send that waits for the one before it. */
interface WaitingSend {
  readonly message: Uint8Array;
  readonly to: Address;
  readonly done: (error?: unknown) => void;
}

/** A UDP socket. */
export class UdpSocket implements DatagramSocket {
  readonly ready: Promise<void> | undefined;
  readonly #socket: Socket;
  readonly #closed = Promise.withResolvers<void>();
  readonly #isIpv6: boolean;
  #addr: NetAddr;
  #isBound = false;
  #events: DatagramEvents | undefined;
  /** The peer of a connected socket. */
  #peer: NetAddr | undefined;
  #isSending = false;
  readonly #waiting: LinkedList<WaitingSend> = new LinkedList();

  constructor(socket: Socket, settings: UdpSettings) {
    const { hostname, port } = settings;
    this.#socket = socket;
    this.#isIpv6 = hostname.includes(":");
    this.#addr = { transport: "udp", hostname, port };
    const bound = Promise.withResolvers<void>();
    let failure: unknown;
    socket.on("close", () => this.#closed.resolve());
    socket.on("message", (message, from) => this.#onMessage(message, from));
    socket.once("listening", () => bound.resolve());
    socket.on("error", (error) => {
      if (this.#isBound) return this.#events?.onError(classified(error, error.message));
      failure = classified(error, `cannot bind ${formatAddress(this.#addr)}: ${error.message}`);
      rejectQuietly(bound, failure);
    });
    try {
      socket.bind(port, hostname);
      if (failure !== undefined) throw failure;
      if (isBound(socket)) {
        this.#setUp(settings);
        return;
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.ready = bound.promise.then(() => this.#setUp(settings)).catch((error) => {
      this.close();
      throw error;
    });
  }

  get addr(): NetAddr {
    return this.#addr;
  }

  start(events: DatagramEvents): void {
    this.#events = events;
  }

  /**
   * Connects to a peer, so that only its datagrams are received and ICMP errors are reported. Deno 2.9 does neither: it
   * only remembers the address.
   */
  async connect(peer: NetAddr): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.connect(peer.port, peer.hostname, (error?: unknown) => {
      if (error) reject(classified(error, (error as Error).message));
      else resolve();
    });
    await promise;
    this.#peer = peer;
  }

  send(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    // Deno 2.9 sends what is sent within one turn in reverse order, so there one send waits for the other.
    if (!isDeno) this.#sendNow(message, to, done);
    else if (this.#isSending) this.#waiting.push({ message, to, done });
    else {
      this.#isSending = true;
      this.#sendInTurn(message, to, done);
    }
  }

  close(): Promise<void> {
    try {
      this.#socket.close();
    } catch { /* it is closed */ }
    return this.#closed.promise;
  }

  #sendInTurn(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    this.#sendNow(message, to, (error) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#isSending = false;
      else this.#sendInTurn(next.message, next.to, next.done);
      done(error);
    });
  }

  #sendNow(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    try {
      if (this.#peer !== undefined) return this.#socket.send(message, done);
      const { hostname, port } = to as NetAddr;
      const isMapped = this.#isIpv6 && !hostname.includes(":");
      this.#socket.send(message, port, isMapped ? `::ffff:${hostname}` : hostname, done);
    } catch (error) { // the port is none, or the socket is closed
      queueMicrotask(() => done(error)); // of many that wait, one must not call the other
    }
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  #onMessage(message: Uint8Array, from: RemoteInfo): void {
    const { address: hostname, port } = from;
    const peer = this.#peer;
    if (peer !== undefined && (peer.port !== port || peer.hostname !== hostname)) return;
    this.#events?.onMessage(message, { transport: "udp", hostname, port });
  }

  /** Sets what can be set only once the socket is bound. */
  #setUp({ ttl, broadcast, multicast }: UdpSettings): void {
    const socket = this.#socket;
    const { address: hostname, port } = socket.address();
    this.#addr = { transport: "udp", hostname, port };
    this.#isBound = true;
    if (ttl !== undefined) socket.setTTL(ttl);
    if (broadcast !== undefined) socket.setBroadcast(broadcast);
    if (multicast === undefined) return;
    if (multicast.interface !== undefined) socket.setMulticastInterface(multicast.interface);
    if (multicast.ttl !== undefined) socket.setMulticastTTL(multicast.ttl);
    if (multicast.loopback !== undefined) socket.setMulticastLoopback(multicast.loopback);
    for (const group of multicast.groups ?? []) {
      const { address, source, interface: at = multicast.interface } = typeof group === "string"
        ? { address: group }
        : group;
      try {
        if (source === undefined) socket.addMembership(address, at);
        else socket.addSourceSpecificMembership(source, address, at);
      } catch (error) {
        throw new TypeError(`cannot join the multicast group ${address}`, { cause: error });
      }
    }
  }
}
