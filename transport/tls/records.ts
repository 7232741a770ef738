import { lazy } from "../lazy.ts";
import { checkVersion } from "../../_internal/deno_sockets.ts";
import { free } from "../../_internal/free.ts";
import { runtimeName } from "../../_internal/runtime.ts";
import type { Negotiated } from "./info.ts";

/** The TLS layer under `node:tls` in Deno 2.9.6, as far as it is used here. */
interface Layer {
  /** Becomes a server. Returns 0, or an error code. */
  initServerTls(context: object): number;
  /** Becomes a client, which asks for a server name unless that is empty. Returns 0, or an error code. */
  initClientTls(serverName: string, context: object): number;
  /** Exchanges bytes by `readBuffer()` and `drainEncOut()` instead of a socket. */
  attachJsStream(): number;
  /** Sets the object whose `onhandshakedone`, `onclienthello` and `onerror` are called. */
  setHandle(listener: object): void;
  /** Sets a method of that object that is called with the peer's data, and without any at the end. */
  setOnread(listener: (this: never, plaintext?: ArrayBuffer) => void): void;
  setAlpnProtocols(protocols: string[]): void;
  /** Stops at the client's hello, until `finishAccept()`. */
  enableClientHelloCb(): void;
  finishAccept(context: object, alpn: null): void;
  start(): number;
  readBuffer(encrypted: Uint8Array): void;
  /** Encrypts. Returns 0, or an error code. */
  writeBuffer(request: object, plaintext: Uint8Array): number;
  /** Sends close_notify. */
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
/** The most that is handed to the layer at once. It keeps memory for what it is given, and has this much anyway. */
const MAX_PIECE = 4096;
/** The most data of several records that is lent at once. */
const MAX_LENT = 16 * 1024;

/** The memory for that. All sides share it. */
let lent: Uint8Array | undefined;

/** The settings of one side: certificates, trusted authorities, versions. */
export interface TlsContext {
  /** The result of `lazy.tls.createSecureContext()` of `node:tls`, with `requestCert` and `rejectUnauthorized`. */
  readonly context: object;
  /** The application protocols, the preferred one first. */
  readonly alpn: string[] | undefined;
}

/**
 * One side of TLS as bytes in and bytes out, without I/O.
 *
 * It uses the layer under `node:tls` of Deno 2.9.6. The public sockets over that layer cost 14 KiB and 0.6 ms for each
 * connection, have no back-pressure, drop authentic data if invalid data follows in the same read, and never release a
 * connection that ends before its hello.
 *
 * The layer's callbacks only set fields, so that no other code runs inside the layer.
 */
export class TlsRecords {
  /** Whether the handshake is done. */
  isSecure = false;
  /** Whether a client's hello has come and waits for `accept()`. */
  needsContext = false;
  /** Whether the peer has ended its data (close_notify, RFC 8446 §6.1). */
  hasEnded = false;
  /** Why TLS has failed. Data that came before can still be taken. */
  fault: Error | undefined;
  readonly #layer: Layer;
  /** Data of the peer that has not been taken yet. */
  #plaintext: Uint8Array[] = [];
  /** How many bytes of the current record's header have come. */
  #header = 0;
  /** The length of the current record, and how many bytes of it are still to come. */
  #length = 0;
  #left = 0;
  /** Data that was lent and taken as a whole. */
  #lent: Uint8Array | undefined;

  /** Throws if a server cannot use the context's certificate. */
  private constructor(role: number, { alpn }: TlsContext, init: (layer: Layer) => number) {
    const layer = this.#layer = new (requireLayer())(role, 0);
    if (init(layer) !== 0) throw new Error("the TLS layer cannot use the certificate and its key");
    layer.attachJsStream();
    layer.setHandle(this);
    layer.setOnread(TlsRecords.#onRead);
    if (alpn !== undefined) layer.setAlpnProtocols(alpn);
  }

  /** The side of a client, which asks for a server name unless that is empty. */
  static client(context: TlsContext, serverName: string): TlsRecords {
    const records = new TlsRecords(
      CLIENT,
      context,
      (layer) => layer.initClientTls(serverName, context.context),
    );
    records.#layer.start();
    return records;
  }

  /** The side of a server. If it `chooses`, it stops after the client's hello, until `accept()`. */
  static server(context: TlsContext, chooses: boolean): TlsRecords {
    const records = new TlsRecords(
      SERVER,
      context,
      (layer) => layer.initServerTls(context.context),
    );
    if (chooses) records.#layer.enableClientHelloCb();
    records.#layer.start();
    return records;
  }

  /** The server name that the client asks for; empty if it asks for none. */
  get serverName(): string {
    return this.#layer.getServername() ?? "";
  }

  /** Node's code for what is wrong with the peer's certificate; empty if nothing is. */
  get verifyError(): string {
    return this.#layer.verifyError();
  }

  /** The peer's certificates in DER, its own first. A resumed session has those of the original handshake. */
  get peerCertificates(): Uint8Array<ArrayBuffer>[] {
    return this.#layer.getPeerCertificateChain()?.certificates ?? [];
  }

  /** Whether an earlier session was resumed. If so, no key was proved again. */
  get isResumed(): boolean {
    return this.#layer.isSessionReused();
  }

  /** What the handshake has negotiated. */
  get negotiated(): Negotiated {
    const into: { protocol?: string; standardName?: string; alpnProtocol?: string | false } = {};
    this.#layer.getProtocol(into);
    this.#layer.getCipher(into);
    this.#layer.getAlpnNegotiatedProtocol(into);
    return {
      protocol: into.protocol ?? "unknown",
      cipher: into.standardName ?? "unknown",
      alpn: into.alpnProtocol || undefined,
    };
  }

  /** Whether there is data that has not been taken yet. */
  get hasPlaintext(): boolean {
    return this.#plaintext.length > 0;
  }

  /** How many bytes of memory are held: data that has not been taken yet, and an incomplete record. */
  get held(): number {
    const record = this.#left > 0 ? this.#length - this.#left : 0;
    return this.#plaintext.reduce((all, { buffer }) => all + buffer.byteLength, record);
  }

  /** Continues after a hello, with the context for the client's server name. */
  accept(context: TlsContext): void {
    this.needsContext = false;
    this.#layer.finishAccept(context.context, null);
  }

  /**
   * Decrypts bytes from the peer. The layer gets one record at a time: if it fails, it drops all that it has decrypted
   * of the bytes that it was given.
   */
  receive(encrypted: Uint8Array): void {
    let at = 0;
    while (at < encrypted.length && this.fault === undefined && !this.hasEnded) {
      const end = this.#pieceEnd(encrypted, at);
      const isWhole = at === 0 && end === encrypted.length; // a view takes 0.1 µs
      this.#layer.readBuffer(isWhole ? encrypted : encrypted.subarray(at, end));
      at = end;
    }
  }

  /** The bytes to send to the peer. */
  drain(): Uint8Array {
    return this.#layer.drainEncOut();
  }

  /** Encrypts up to 48 KiB. Returns the bytes to send to the peer. */
  send(plaintext: Uint8Array): Uint8Array {
    this.#layer.writeBuffer(REQUEST, plaintext);
    return this.#layer.drainEncOut();
  }

  /** Ends this side's data (close_notify). Returns the bytes to send to the peer. */
  end(): Uint8Array {
    this.#layer.shutdown(REQUEST);
    return this.#layer.drainEncOut();
  }

  /** Copies as much of the peer's data as fits. Returns how many bytes. */
  take(into: Uint8Array): number {
    let count = 0;
    while (this.#plaintext.length > 0 && count < into.length) {
      const first = this.#plaintext[0]!;
      const length = Math.min(first.length, into.length - count);
      into.set(length < first.length ? first.subarray(0, length) : first, count);
      count += length;
      if (length < first.length) this.#plaintext[0] = first.subarray(length);
      else {
        this.#plaintext.shift();
        free(first);
      }
    }
    return count;
  }

  /** Lends at most `size` bytes of the peer's data, until `release()`. */
  lend(size: number): Uint8Array {
    const first = this.#plaintext[0]!;
    if (first.length < size && this.#plaintext.length > 1) {
      lent ??= new Uint8Array(MAX_LENT);
      return lent.subarray(0, this.take(lent.subarray(0, size)));
    }
    if (first.length <= size) this.#lent = this.#plaintext.shift();
    else this.#plaintext[0] = first.subarray(size);
    return first.length <= size ? first : first.subarray(0, size);
  }

  /** Frees the memory of what was lent, unless some of its data has not been taken yet. */
  release(): void {
    if (this.#lent !== undefined) free(this.#lent);
    this.#lent = undefined;
  }

  /** Releases everything. Without a hello, the layer would keep its handle, so this replaces it. */
  destroy(): void {
    this.#plaintext = [];
    this.#layer.destroySsl();
    this.#layer.setHandle(NO_HANDLE);
  }

  /** Called by the layer, as are the next two. */
  onhandshakedone(): void {
    this.isSecure = true;
  }

  onclienthello(): void {
    this.needsContext = true;
  }

  onerror(error: Error): void {
    this.fault ??= error;
  }

  static #onRead(this: TlsRecords, plaintext?: ArrayBuffer): void {
    if (plaintext === undefined) this.hasEnded = true;
    else this.#plaintext.push(new Uint8Array(plaintext));
  }

  /**
   * The end of the next piece for the layer. Between two data records, the piece includes the first byte of the second:
   * with nothing left over, the layer would free its buffer for records, and allocate and clear it again for the next
   * one (4 µs, or 10 for one of 16 KiB).
   */
  #pieceEnd(bytes: Uint8Array, start: number): number {
    let at = start;
    while (this.#header < HEADER && at < bytes.length) {
      const byte = bytes[at++]!;
      this.#header++;
      if (this.#header === HEADER - 1) this.#left = byte << 8;
      if (this.#header === HEADER) this.#length = this.#left |= byte;
    }
    if (this.#header < HEADER) return at;
    const end = Math.min(bytes.length, at + this.#left, start + MAX_PIECE);
    this.#left -= end - at;
    if (this.#left > 0) return end;
    this.#header = this.isSecure && bytes[end] === APPLICATION_DATA ? 1 : 0;
    return end + this.#header;
  }
}

/** Its callback is of use to the sockets of `node:tls` only. */
const REQUEST = { oncomplete: () => {} };
const NO_HANDLE = {};

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

/** The layer's class. Throws if this version of Deno has another layer. */
export function requireLayer(): LayerClass {
  return layerClass ??= findLayer();
}

/** The class is not exported: it is reached through a socket. */
function findLayer(): LayerClass {
  checkVersion();
  const stream = new lazy.stream.Duplex({ read: () => {}, write: () => {} });
  const socket = new lazy.tls.TLSSocket(stream, {
    isServer: true,
    secureContext: lazy.tls.createSecureContext(),
  });
  const { _handle: layer } = socket as { _handle?: (Layer & { constructor: unknown }) | null };
  socket.destroy();
  const missing = METHODS.filter((method) => typeof layer?.[method] !== "function");
  if (layer && missing.length === 0) {
    layer.setHandle(NO_HANDLE);
    return layer.constructor as LayerClass;
  }
  throw new Error(
    `TLS cannot be used with ${runtimeName()}: its TLS layer lacks ${missing.join(", ")}`,
  );
}
