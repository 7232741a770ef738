import type { Address } from "../_internal/address.ts";

/** What a socket reports. */
export interface DatagramEvents {
  /**
   * A datagram has come.
   *
   * @param message Its bytes. They belong to the receiver.
   * @param from The address of the sender, in the form that `send()` takes.
   */
  onMessage(message: Uint8Array, from: Address): void;
  /**
   * Receiving failed. The socket continues.
   *
   * @param error The error.
   */
  onError(error: unknown): void;
}

/** A socket for datagrams, which a server or a client is made of. Implement it for another network. */
export interface DatagramSocket {
  /** The address of the socket. */
  readonly addr: Address;
  /** Resolves once the socket has its address; without it, it has it from the start. */
  readonly ready?: Promise<void> | undefined;
  /**
   * Begins to receive. Called once.
   *
   * @param events Told of what comes.
   */
  start(events: DatagramEvents): void;
  /**
   * Sends a datagram.
   *
   * @param message Its bytes. They must not change until `done` is called.
   * @param to The address of the receiver.
   * @param done Called once, later, with the error if there is one; `undefined` and `null` are none.
   */
  send(message: Uint8Array, to: Address, done: (error?: unknown) => void): void;
  /**
   * Closes the socket. Sends that have not completed may be lost.
   *
   * @returns Resolves when the socket is closed.
   */
  close(): Promise<void>;
  /** Keeps the process alive while the socket is open. This is the default. */
  ref?(): void;
  /** Lets the process end although the socket is open. */
  unref?(): void;
}
