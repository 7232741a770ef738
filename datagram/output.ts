import { type Address, formatAddress } from "../_internal/address.ts";
import { closedError } from "../_internal/system_errors.ts";
import { DatagramTooLargeError, OutputLimitError } from "../errors.ts";
import { queuedSize } from "./queue.ts";
import type { DatagramSocket } from "./socket.ts";

/** What an output reports. */
export interface OutputHooks {
  /** A send failed. */
  onError(error: unknown, to: Address): void;
  /** Nothing waits to be sent any more. */
  onIdle(): void;
}

/** The sends of a socket: counted and bounded. */
export class DatagramOutput {
  /** Datagrams and bytes that the system has taken. */
  sent = 0;
  bytesWritten = 0;
  errors = 0;
  readonly #socket: DatagramSocket;
  readonly #limit: number;
  readonly #hooks: OutputHooks;
  /** The sends that have not completed: the runtime forgets them when a socket is closed. */
  readonly #pending: Set<(error?: unknown) => void> = new Set();
  #size = 0;
  #isClosed = false;

  constructor(socket: DatagramSocket, limit: number, hooks: OutputHooks) {
    this.#socket = socket;
    this.#limit = limit;
    this.#hooks = hooks;
  }

  /** Whether nothing waits to be sent. */
  get isIdle(): boolean {
    return this.#pending.size === 0;
  }

  /** Sends. `done` is called once, with the error if there is one. */
  send(message: Uint8Array, to: Address, done: (error?: unknown) => void): void {
    const size = queuedSize(message.length);
    if (this.#isClosed) return done(closedError("socket"));
    if (this.#size + size > this.#limit) {
      return this.#fail(new OutputLimitError(this.#limit, this.#size + size), to, done);
    }
    const settle = (error?: unknown): void => {
      if (!this.#pending.delete(settle)) return;
      this.#size -= size;
      if (error === undefined) {
        this.sent++;
        this.bytesWritten += message.length;
        done();
      } else this.#fail(describe(error, message.length, to), to, done);
      if (this.#pending.size === 0) this.#hooks.onIdle();
    };
    this.#pending.add(settle);
    this.#size += size;
    this.#socket.send(message, to, settle);
  }

  /** Fails what has not been sent. */
  close(): void {
    this.#isClosed = true;
    for (const settle of [...this.#pending]) settle(closedError("socket"));
  }

  #fail(error: unknown, to: Address, done: (error: unknown) => void): void {
    this.errors++;
    this.#hooks.onError(error, to);
    done(error);
  }
}

function describe(error: unknown, size: number, to: Address): unknown {
  if ((error as { code?: unknown } | null)?.code !== "EMSGSIZE") return error;
  return new DatagramTooLargeError(formatAddress(to), size, { cause: error });
}
