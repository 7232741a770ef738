/** The bytes of a prepared message. They are not public, because changing them would change what other sessions send. */
export let bytesOf: (message: PreparedMessage) => Uint8Array;

/** A message that can be sent to any number of sessions. {@linkcode prepare} makes it. */
export class PreparedMessage {
  readonly #bytes: Uint8Array;

  static {
    bytesOf = (message) => message.#bytes;
  }

  /**
   * Private to this package: use `prepare()`.
   *
   * @param bytes The bytes, to which no one else may have access.
   */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The size of the message in bytes. */
  get byteLength(): number {
    return this.#bytes.length;
  }
}
