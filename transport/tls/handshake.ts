import type { TLSSocket } from "node:tls";
import { TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress, type TlsInfo } from "../connection.ts";
import { TlsConnection } from "./connection.ts";
import { ConnectionDuplex, type DuplexOwner } from "./duplex.ts";

/** A plain fatal alert of the code `unrecognized_name` (RFC 8446 §6), as it is sent before there are keys. */
export const UNRECOGNIZED_NAME: Uint8Array = Uint8Array.of(21, 3, 3, 0, 2, 2, 112);

/** A handshake under way. It ends once: with a connection, or with an error after the raw connection is closed. */
export class Handshake implements DuplexOwner {
  /** The address of the peer, as text. */
  readonly remoteAddr: string;
  /** What the TLS layer runs over. */
  readonly duplex: ConnectionDuplex;
  readonly #connection: Connection;
  readonly #result: PromiseWithResolvers<Connection> = Promise.withResolvers();
  readonly #onOver: () => void;
  #error: unknown;
  #isOver = false;
  #isClosed = false;

  /**
   * @param connection What is to be put under TLS; it belongs to the handshake.
   * @param onOver Called once, when nothing is left that could fail.
   */
  constructor(connection: Connection, onOver: () => void) {
    this.remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
    this.duplex = new ConnectionDuplex(connection, this);
    this.#connection = connection;
    this.#onOver = onOver;
  }

  /** The connection under TLS. */
  get result(): Promise<Connection> {
    return this.#result.promise;
  }

  /** Hands the connection over to whoever asked for it. */
  succeed(socket: TLSSocket, tls: TlsInfo): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
    this.#result.resolve(new TlsConnection(this.#connection, this.duplex, socket, tls));
  }

  /** Gives up, after what the TLS layer has to say about it (an alert) is written. */
  fail(error: unknown, alert?: Uint8Array): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    if (alert !== undefined) this.duplex.write(alert);
    if (!this.duplex.isWriting) this.#close();
  }

  /** Gives up at once, with `error` unless there was one before. */
  cancel(error: unknown): void {
    if (!this.#isOver) this.#error = error;
    else if (this.#error === undefined) return;
    this.#isOver = true;
    this.#close();
  }

  wantsInput(): boolean {
    return !this.#isOver;
  }

  onEnd(): void {
    this.cancel(this.#closed("the peer closed the connection before the handshake was done"));
  }

  onReadError(error: unknown): void {
    this.cancel(this.#closed("the connection was lost before the handshake was done", error));
  }

  onFault(error: unknown): void {
    const problem = "the peer sends what the TLS layer cannot make sense of";
    this.cancel(new TlsHandshakeError(this.remoteAddr, "protocol", problem, { cause: error }));
  }

  onWriteError(error: unknown): void {
    this.onReadError(error);
  }

  onWritten(): void {
    if (this.#isOver) this.#close();
  }

  #closed(problem: string, cause?: unknown): TlsHandshakeError {
    return new TlsHandshakeError(this.remoteAddr, "closed", problem, { cause });
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onOver();
    this.duplex.close(() => this.#result.reject(this.#error));
  }
}
