import { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";

/** What the TLS layer under `node:tls` can do in Deno 2.9.6, as far as it is used here. */
interface Layer {
  /** Takes a server's part. Returns 0, or what is wrong. */
  initServerTls(context: object): number;
  /** Takes a client's part, and asks for a server name unless that is empty. */
  initClientTls(serverName: string, context: object): number;
  /** Takes bytes from `readBuffer()` and gives them out by `drainEncOut()`, without any socket. */
  attachJsStream(): number;
  /** Whose `onhandshakedone`, `onclienthello` and `onerror` to call. */
  setHandle(listener: object): void;
  /** Called, on that listener, with what the peer says, and with nothing at the end of it. */
  setOnread(listener: (this: never, clear?: ArrayBuffer) => void): void;
  setAlpnProtocols(protocols: string[]): void;
  /** Stops at the client's hello, until `finishAccept()`. */
  enableClientHelloCb(): void;
  finishAccept(context: object, alpn: null): void;
  start(): number;
  readBuffer(encrypted: Uint8Array): void;
  /** Encrypts. Returns 0, or what is wrong. */
  writeBuffer(request: object, clear: Uint8Array): number;
  /** Says close_notify. */
  shutdown(request: object): number;
  drainEncOut(): Uint8Array;
  destroySsl(): void;
  getServername(): string | null;
  verifyError(): string;
  isSessionReused(): boolean;
  getPeerCertificateChain(): { certificates: Uint8Array<ArrayBuffer>[] } | null;
  getProtocol(into: { protocol?: string }): number;
  getCipher(into: { standardName?: string }): number;
  getAlpnNegotiatedProtocol(into: { alpnProtocol?: string | false }): number;
}

type LayerClass = new (role: number, asyncId: number) => Layer;

const CLIENT = 0;
const SERVER = 1;
/** The header of a record: type, version, and the length of what follows (RFC 8446 §5.1). */
const HEADER = 5;
const APPLICATION_DATA = 23;
/** The layer is given no more than this at once: what it takes in it keeps memory for, and so much it has anyhow. */
const MAX_PIECE = 4096;

/** What one side of TLS goes by: certificates, whom it trusts, versions. */
export interface TlsContext {
  /** As `createSecureContext()` of `node:tls` has made it, with what it does about certificates. */
  readonly context: object;
  /** The application protocols, the preferred one first. */
  readonly alpn: string[] | undefined;
}

/**
 * One side of TLS, with bytes in and bytes out and no input or output of its own.
 *
 * It is what lies under `node:tls` in Deno 2.9.6. The sockets round it, which are public, cost 14 KiB and 0.6 ms for
 * each connection here, cannot be held back, drop what was authentic where something that is not follows in the same
 * read, and never let go of a connection that has ended before its hello.
 *
 * What the layer calls back with is only noted, so that nothing happens while it runs.
 */
export class TlsRecords {
  /** Whether TLS is agreed on. */
  isSecure = false;
  /** Whether a client has said hello, and waits for `accept()`. */
  isHeld = false;
  /** Whether the peer has said that no more comes (close_notify, RFC 8446 §6.1). */
  hasEnded = false;
  /** Why TLS has failed. What came before can still be taken. */
  fault: Error | undefined;
  readonly #layer: Layer;
  /** What the peer has said and nobody has taken. */
  #clear: Uint8Array[] = [];
  /** Of the record that comes: how much of its header has come, and how much of it is still to come. */
  #header = 0;
  #left = 0;

  /** Throws if a server cannot use the context's certificate. */
  private constructor(role: number, { alpn }: TlsContext, init: (layer: Layer) => number) {
    const layer = this.#layer = new (requireLayer())(role, 0);
    if (init(layer) !== 0) throw new Error("the TLS layer cannot use the certificate and its key");
    layer.attachJsStream();
    layer.setHandle(this);
    layer.setOnread(TlsRecords.#onRead);
    if (alpn !== undefined) layer.setAlpnProtocols(alpn);
  }

  /** A client's side, which asks for a server name unless that is empty. */
  static client(context: TlsContext, serverName: string): TlsRecords {
    const records = new TlsRecords(
      CLIENT,
      context,
      (layer) => layer.initClientTls(serverName, context.context),
    );
    records.#layer.start();
    return records;
  }

  /** A server's side. If it `holds`, it waits for `accept()` once it knows whom the client asks for. */
  static server(context: TlsContext, holds: boolean): TlsRecords {
    const records = new TlsRecords(
      SERVER,
      context,
      (layer) => layer.initServerTls(context.context),
    );
    if (holds) records.#layer.enableClientHelloCb();
    records.#layer.start();
    return records;
  }

  /** The server name that the client asks for; empty if it asks for none. */
  get serverName(): string {
    return this.#layer.getServername() ?? "";
  }

  /** What is wrong with the peer's certificate, by Node's code for it; empty if nothing is. */
  get verifyError(): string {
    return this.#layer.verifyError();
  }

  /** The certificates that the peer has shown, its own first, in DER. Those of a resumed session are of its beginning. */
  get peerCertificates(): Uint8Array<ArrayBuffer>[] {
    return this.#layer.getPeerCertificateChain()?.certificates ?? [];
  }

  /** Whether an earlier session goes on, in which case nobody has proved anything anew. */
  get isResumed(): boolean {
    return this.#layer.isSessionReused();
  }

  /** What was agreed on. */
  get agreed(): { protocol: string; cipher: string; alpn: string | undefined } {
    const said: { protocol?: string; standardName?: string; alpnProtocol?: string | false } = {};
    this.#layer.getProtocol(said);
    this.#layer.getCipher(said);
    this.#layer.getAlpnNegotiatedProtocol(said);
    return {
      protocol: said.protocol ?? "unknown",
      cipher: said.standardName ?? "unknown",
      alpn: said.alpnProtocol || undefined,
    };
  }

  /** Whether the peer has said something that nobody has taken. */
  get hasClear(): boolean {
    return this.#clear.length > 0;
  }

  /** Goes on after a hello. */
  accept(context: TlsContext): void {
    this.isHeld = false;
    this.#layer.finishAccept(context.context, null);
  }

  /**
   * Takes in what came from the peer: no more than one record at a time, since the layer drops what it has made out
   * where it fails within what it was given.
   */
  receive(encrypted: Uint8Array): void {
    let at = 0;
    while (at < encrypted.length && this.fault === undefined && !this.hasEnded) {
      const end = this.#pieceEnd(encrypted, at);
      this.#layer.readBuffer(encrypted.subarray(at, end));
      at = end;
    }
  }

  /** What is to go to the peer. */
  drain(): Uint8Array {
    return this.#layer.drainEncOut();
  }

  /** Encrypts up to 48 KiB, and returns what is to go to the peer. */
  send(clear: Uint8Array): Uint8Array {
    this.#layer.writeBuffer(REQUEST, clear);
    return this.#layer.drainEncOut();
  }

  /** Says that no more comes. Returns what is to go to the peer. */
  end(): Uint8Array {
    this.#layer.shutdown(REQUEST);
    return this.#layer.drainEncOut();
  }

  /** Copies what the peer has said, as far as it fits. */
  take(into: Uint8Array): number {
    let count = 0;
    while (this.#clear.length > 0 && count < into.length) {
      const clear = this.#clear[0]!;
      const length = Math.min(clear.length, into.length - count);
      into.set(length < clear.length ? clear.subarray(0, length) : clear, count);
      count += length;
      if (length < clear.length) this.#clear[0] = clear.subarray(length);
      else this.#clear.shift();
    }
    return count;
  }

  /** Lets go of everything. The layer itself lets go of whom it calls back only if there was a hello. */
  destroy(): void {
    this.#clear = [];
    this.#layer.destroySsl();
    this.#layer.setHandle(NOBODY);
  }

  /** Called by the layer, as are the next two. */
  onhandshakedone(): void {
    this.isSecure = true;
  }

  onclienthello(): void {
    this.isHeld = true;
  }

  onerror(error: Error): void {
    this.fault ??= error;
  }

  static #onRead(this: TlsRecords, clear?: ArrayBuffer): void {
    if (clear === undefined) this.hasEnded = true;
    else this.#clear.push(new Uint8Array(clear));
  }

  /**
   * Up to where to hand over. Of data that follow data, the first byte goes along: without any, the layer would give
   * back the memory that records come in, and fill it with zeros for the next one (4 µs, or 10 for one of 16 KiB).
   */
  #pieceEnd(bytes: Uint8Array, start: number): number {
    let at = start;
    while (this.#header < HEADER && at < bytes.length) {
      const byte = bytes[at++]!;
      this.#header++;
      if (this.#header === HEADER - 1) this.#left = byte << 8;
      if (this.#header === HEADER) this.#left |= byte;
    }
    if (this.#header < HEADER) return at;
    const end = Math.min(bytes.length, at + this.#left, start + MAX_PIECE);
    this.#left -= end - at;
    if (this.#left > 0) return end;
    this.#header = this.isSecure && bytes[end] === APPLICATION_DATA ? 1 : 0;
    return end + this.#header;
  }
}

/** Only the sockets wait for the end of a write. */
const REQUEST = { oncomplete: () => {} };
const NOBODY = {};

const METHODS: (keyof Layer)[] = [
  "initServerTls",
  "initClientTls",
  "attachJsStream",
  "setHandle",
  "setOnread",
  "setAlpnProtocols",
  "enableClientHelloCb",
  "finishAccept",
  "start",
  "readBuffer",
  "writeBuffer",
  "shutdown",
  "drainEncOut",
  "destroySsl",
  "getServername",
  "verifyError",
  "isSessionReused",
  "getPeerCertificateChain",
  "getProtocol",
  "getCipher",
  "getAlpnNegotiatedProtocol",
];

let layerClass: LayerClass | undefined;

/** The layer's class, which is the same for all. Throws where there is none that is known. */
export function requireLayer(): LayerClass {
  return layerClass ??= findLayer();
}

/** It is reached through a socket. */
function findLayer(): LayerClass {
  const stream = new Duplex({ read: () => {}, write: () => {} });
  const socket = new TLSSocket(stream, { isServer: true, secureContext: createSecureContext() });
  const { _handle: layer } = socket as { _handle?: (Layer & { constructor: unknown }) | null };
  socket.destroy();
  const missing = METHODS.filter((method) => typeof layer?.[method] !== "function");
  if (layer && missing.length === 0) {
    layer.setHandle(NOBODY);
    return layer.constructor as LayerClass;
  }
  throw new Error(
    `TLS needs Deno 2.9.6: the TLS layer of ${navigator.userAgent} lacks ${missing.join(", ")}`,
  );
}
