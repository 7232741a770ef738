/** A peer was gone before it had sent anything. It is the cause of the error that says what was waited for. */
export class PeerLeft extends Error {
  override readonly name = "PeerLeft";

  /** @param options `cause`: what the system said, where the connection was not just ended. */
  constructor(options?: ErrorOptions) {
    super("the peer left before it had sent anything", options);
  }
}
