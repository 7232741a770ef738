import type { Piece } from "./gather.ts";

/** The bytes of a prepared message, for outputs alone: who had them could change what others send. */
export let pieceOf: (message: PreparedMessage) => Piece;

/** What {@linkcode prepare} returns: a message that any number of sessions can be sent. */
export class PreparedMessage {
  readonly #piece: Piece;

  static {
    pieceOf = (message) => message.#piece;
  }

  /**
   * Private to this package: `prepare()` makes them.
   *
   * @param bytes What is sent. Nobody else may have them.
   */
  constructor(bytes: Uint8Array) {
    this.#piece = { bytes, gathered: undefined };
  }

  /** How many bytes are sent. */
  get byteLength(): number {
    return this.#piece.bytes.length;
  }
}
