import { type Address, formatAddress, normalizeAddress } from "../_internal/address.ts";
import { rejected } from "../_internal/promises.ts";
import { AmplificationLimitError } from "../errors.ts";
import type { DatagramSender } from "./options.ts";

/** What the headers of IPv4 and UDP add to a datagram, in bytes. */
const HEADERS = 28;

/** What a sender asks its server. */
export interface SenderHooks<Out> {
  /** How many times the size of a datagram its answers may have. */
  readonly maxAmplification: number;
  encode(message: Out): Uint8Array;
  isProven(from: Address): boolean;
  prove(from: Address): void;
  transmit(message: Uint8Array, to: Address): Promise<void>;
  /** An answer is not sent. */
  refuse(error: AmplificationLimitError, to: Address, size: number): void;
}

/** The sender of one datagram. */
export class Sender<Out> implements DatagramSender<Out> {
  readonly #hooks: SenderHooks<Out>;
  readonly #from: Address;
  /** How many bytes may be sent while the sender is not proven. */
  #credit: number;

  constructor(hooks: SenderHooks<Out>, from: Address, size: number) {
    this.#hooks = hooks;
    this.#from = from;
    this.#credit = (size + HEADERS) * hooks.maxAmplification;
  }

  get remoteAddr(): Address {
    return normalizeAddress(this.#from);
  }

  get isProven(): boolean {
    return this.#hooks.isProven(this.#from);
  }

  validate(): void {
    this.#hooks.prove(this.#from);
  }

  send(message: Out): Promise<void> {
    let bytes;
    try {
      bytes = this.#hooks.encode(message);
    } catch (error) {
      return rejected(error);
    }
    const size = bytes.length + HEADERS;
    if (size > this.#credit && !this.isProven) {
      const address = formatAddress(this.remoteAddr);
      const error = new AmplificationLimitError(address, this.#credit, size);
      this.#hooks.refuse(error, this.remoteAddr, bytes.length);
      return rejected(error);
    }
    this.#credit -= size;
    return this.#hooks.transmit(bytes, this.#from);
  }
}
