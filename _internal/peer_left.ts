/** A peer left before it sent anything. It is the cause of the error that says what was expected. */
export class PeerLeft extends Error {
  override readonly name = "PeerLeft";

  /** @param options `cause`: the system's error, if the connection was lost. */
  constructor(options?: ErrorOptions) {
    super("the peer left before it had sent anything", options);
  }
}
