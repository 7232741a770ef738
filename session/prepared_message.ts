/** The bytes of a prepared message, for outputs alone: who had them could change what others send. */
export let bytesOf: (message: PreparedMessage) => Uint8Array;

/** What {@linkcode prepare} returns: a message that any number of sessions can be sent. */
export class PreparedMessage {
  readonly #bytes: Uint8Array;

  static {
    bytesOf = (message) => message.#bytes;
  }

  /**
   * Private to this package: `prepare()` makes them.
   *
   * @param bytes What is sent. Nobody else may have them.
   */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** How many bytes are sent. */
  get byteLength(): number {
    return this.#bytes.length;
  }
}
