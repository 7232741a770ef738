import type { TLSSocket } from "node:tls";

/** What the handle of a TLS socket over a stream can do in Deno 2.9.6. */
interface Handle {
  /** Takes in what came from the peer; calls back with what it says. */
  readBuffer(encrypted: Uint8Array): void;
  /** Encrypts. Returns 0, or what is wrong. */
  writeBuffer(request: object, clear: Uint8Array): number;
  /** Gives out what is to go to the peer. */
  drainEncOut(): Uint8Array;
}

/**
 * The TLS layer below the streams that `node:tls` puts round it: bytes in, bytes out.
 *
 * The streams have queues, turns and events for everything that a stream may be used for, which cost 4 µs a message
 * here, where there is one read and one write at a time.
 */
export class TlsRecords {
  readonly #socket: TLSSocket;
  readonly #handle: Handle;
  /** The handle has methods of its own besides, which write to the stream. */
  readonly #native: Handle;

  private constructor(socket: TLSSocket, handle: Handle, native: Handle) {
    this.#socket = socket;
    this.#handle = handle;
    this.#native = native;
  }

  /** The layer below a socket; `undefined` where there is no such handle, as in other versions of Deno. */
  static below(socket: TLSSocket): TlsRecords | undefined {
    const { _handle: handle } = socket as { _handle?: Handle | null };
    if (!handle) return undefined;
    const native: Handle = Object.getPrototypeOf(handle);
    const methods = [native.readBuffer, native.writeBuffer, native.drainEncOut];
    if (methods.some((method) => typeof method !== "function")) return undefined;
    return new TlsRecords(socket, handle, native);
  }

  /** Takes in what came from the peer, and returns what is to go to it. */
  receive(encrypted: Uint8Array): Uint8Array {
    if (this.#socket.destroyed) return NOTHING;
    this.#native.readBuffer.call(this.#handle, encrypted);
    return this.#handle.drainEncOut();
  }

  /** Encrypts up to 48 KiB, and returns what is to go to the peer: nothing if TLS has come to its end. */
  send(clear: Uint8Array): Uint8Array {
    if (this.#socket.destroyed) return NOTHING;
    const status = this.#native.writeBuffer.call(this.#handle, REQUEST, clear);
    return status === 0 ? this.#handle.drainEncOut() : NOTHING;
  }
}

/** Only the streams wait for the end of a write. */
const REQUEST = { oncomplete: () => {} };
const NOTHING = new Uint8Array(0);
