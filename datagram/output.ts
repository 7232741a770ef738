import { type Address, formatAddress } from "../_internal/address.ts";
import { rejected } from "../_internal/promises.ts";
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

  /** Sends. The promise need not be awaited: its rejection never counts as unhandled. */
  send(message: Uint8Array, to: Address): Promise<void> {
    const { length } = message;
    const size = queuedSize(length);
    if (this.#isClosed) return rejected(this.#failure(closedError("socket"), to));
    if (this.#size + size > this.#limit) {
      return rejected(this.#failure(new OutputLimitError(this.#limit, this.#size + size), to));
    }
    this.#size += size;
    const promise = new Promise<void>((resolve, reject) => {
      // One closure for each datagram, which the socket calls: more would show in the cost of an echo.
      const settle = (error?: unknown): void => {
        if (!this.#pending.delete(settle)) return;
        this.#size -= size;
        if (error === undefined || error === null) {
          this.sent++;
          this.bytesWritten += length;
          resolve();
        } else {
          promise.catch(() => {});
          reject(this.#failure(describe(error, length, to), to));
        }
        if (this.#pending.size === 0) this.#hooks.onIdle();
      };
      this.#pending.add(settle);
      this.#socket.send(message, to, settle);
    });
    return promise;
  }

  /** Fails what has not been sent. */
  close(): void {
    this.#isClosed = true;
    for (const settle of [...this.#pending]) settle(closedError("socket"));
  }

  /** Counts and reports an error, and returns it. */
  #failure(error: unknown, to: Address): unknown {
    this.errors++;
    this.#hooks.onError(error, to);
    return error;
  }
}

function describe(error: unknown, size: number, to: Address): unknown {
  if ((error as { code?: unknown } | null)?.code !== "EMSGSIZE") return error;
  return new DatagramTooLargeError(formatAddress(to), size, { cause: error });
}
