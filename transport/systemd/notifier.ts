/** Telling systemd about the state of a service (`sd_notify(3)`). */

import process from "node:process";
import { clearInterval, setInterval } from "node:timers";
import { checkFunction } from "../../_internal/checks.ts";
import { checkOptions, type Known, NO_OPTIONS } from "../../_internal/options.ts";
import { isDeno, runtimeName } from "../../_internal/runtime.ts";

/** The largest message that systemd reads, in bytes (NOTIFY_BUFFER_MAX). */
const MAX_MESSAGE = 4096;

/** Options of {@linkcode serviceNotifier}. */
export interface ServiceNotifierOptions {
  /**
   * Called if the watchdog cannot be told that the process is alive. systemd will end it then.
   *
   * @param error What went wrong.
   * @default {an uncaught error, which ends the process}
   */
  onError?: (error: unknown) => void;
}

export const NOTIFIER_OPTIONS: Known<ServiceNotifierOptions> = { onError: checkFunction };

/**
 * Tells systemd about the state of a service. If the process was not started by a service manager that wants to know, the
 * methods do nothing.
 */
export interface ServiceNotifier extends Disposable {
  /** Whether there is a service manager that wants to know: `NOTIFY_SOCKET` is set. */
  readonly isWanted: boolean;
  /**
   * Tells that the service is ready (`READY=1`), also at the end of reloading. From then on, the watchdog is told that the
   * process is alive, if the unit has `WatchdogSec=`: twice within that time, as long as the event loop runs.
   *
   * @returns A promise that resolves once the message is sent.
   */
  ready(): Promise<void>;
  /**
   * Tells that the service reads its configuration again (`RELOADING=1`). Call `ready()` when that is done.
   *
   * @returns A promise that resolves once the message is sent.
   */
  reloading(): Promise<void>;
  /**
   * Tells that the service is about to end (`STOPPING=1`).
   *
   * @returns A promise that resolves once the message is sent.
   */
  stopping(): Promise<void>;
  /**
   * Sets the text that `systemctl status` shows (`STATUS=`).
   *
   * @param text One line, at most 4,089 bytes of UTF-8.
   * @returns A promise that resolves once the message is sent.
   * @throws {TypeError | RangeError} If the text is not one line, or too long.
   */
  status(text: string): Promise<void>;
  /** Closes the socket, and stops telling the watchdog. */
  close(): void;
}

/**
 * Opens the way to tell systemd about the state of this service, for units with `Type=notify` or `WatchdogSec=`.
 *
 * It reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. Sending requires a Unix datagram socket, which only Deno
 * has, with `--unstable-net`. Deno also requires `--allow-env`, `--allow-net`, and `--allow-write` for the path in
 * `NOTIFY_SOCKET`.
 *
 * @param options What to do if the watchdog cannot be told.
 * @returns The notifier.
 * @throws {TypeError} If systemd wants to be told, but the runtime cannot send to it, or a variable is invalid.
 *
 * @example
 * ```ts
 * import { serve, serviceNotifier } from "@parley/tcp";
 *
 * using systemd = serviceNotifier();
 * const server = serve({ port: 0 }, (session) => session.send("welcome!"));
 * await server.listening;
 * await systemd.ready();
 * await systemd.stopping();
 * await server.shutdown();
 * ```
 */
export function serviceNotifier(options: ServiceNotifierOptions = NO_OPTIONS): ServiceNotifier {
  checkOptions(options, NOTIFIER_OPTIONS);
  const address = process.env.NOTIFY_SOCKET;
  if (!address) return new Notifier();
  const path = pathOf(address);
  const interval = watchdogInterval();
  return new Notifier({ socket: openSocket(), path, interval, onError: options.onError });
}

/** A datagram socket of Deno. */
interface DatagramSocket {
  send(bytes: Uint8Array, address: { transport: "unixpacket"; path: string }): Promise<number>;
  close(): void;
}

/** The service manager that is told. */
interface Target {
  socket: DatagramSocket;
  path: string;
  /** How often the watchdog is told, in milliseconds. */
  interval: number | undefined;
  onError: ((error: unknown) => void) | undefined;
}

class Notifier implements ServiceNotifier {
  readonly #target: Target | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isClosed = false;

  constructor(target?: Target) {
    this.#target = target;
  }

  get isWanted(): boolean {
    return this.#target !== undefined;
  }

  async ready(): Promise<void> {
    await this.#send("READY=1");
    const interval = this.#target?.interval;
    if (interval === undefined || this.#timer !== undefined || this.#isClosed) return;
    this.#timer = setInterval(() => this.#keepAlive(), interval);
    this.#timer.unref();
  }

  reloading(): Promise<void> {
    return this.#send("RELOADING=1");
  }

  stopping(): Promise<void> {
    return this.#send("STOPPING=1");
  }

  async status(text: string): Promise<void> {
    if (typeof text !== "string" || text.includes("\n")) {
      throw new TypeError(`a status must be one line of text, got ${JSON.stringify(text)}`);
    }
    await this.#send(`STATUS=${text}`);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#target?.socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #keepAlive(): Promise<void> {
    try {
      await this.#send("WATCHDOG=1");
    } catch (error) {
      if (this.#isClosed) return;
      if (this.#target!.onError === undefined) throw error;
      this.#target!.onError(error);
    }
  }

  async #send(message: string): Promise<void> {
    if (this.#target === undefined || this.#isClosed) return;
    const bytes = new TextEncoder().encode(message);
    if (bytes.length > MAX_MESSAGE) {
      throw new RangeError(
        `a message to systemd has at most ${MAX_MESSAGE} bytes, got ${bytes.length}`,
      );
    }
    const { socket, path } = this.#target;
    await socket.send(bytes, { transport: "unixpacket", path });
  }
}

/** The path of a socket address, where `@` stands for the NUL of an abstract name. */
function pathOf(address: string): string {
  if (/^[/@]./.test(address)) return address.replace(/^@/, "\0");
  throw new TypeError(
    `NOTIFY_SOCKET must be a path, or @ and an abstract name, got ${JSON.stringify(address)}`,
  );
}

/** How often the watchdog is told, in milliseconds; `undefined` if there is none for this process. */
function watchdogInterval(): number | undefined {
  const { WATCHDOG_USEC: time, WATCHDOG_PID: pid } = process.env;
  if (!time || (pid && pid !== `${process.pid}`)) return;
  const interval = /^\d+$/.test(time) ? Number(time) / 2000 : NaN;
  if (interval >= 1) return Math.min(interval, 2 ** 31 - 1);
  throw new TypeError(
    `WATCHDOG_USEC must be at least 2000 microseconds, got ${JSON.stringify(time)}`,
  );
}

/** A datagram socket with an abstract name of its own, since Deno has none without a name. */
function openSocket(): DatagramSocket {
  const runtime = globalThis as {
    Deno?: { listenDatagram?: (options: object) => DatagramSocket };
  };
  const listen = runtime.Deno?.listenDatagram;
  if (listen !== undefined) {
    return listen({ transport: "unixpacket", path: `\0parley-${crypto.randomUUID()}` });
  }
  const problem = isDeno
    ? "needs --unstable-net in Deno: add it"
    : `needs Unix datagram sockets, which ${runtimeName()} does not have: use Deno`;
  throw new TypeError(
    `telling systemd about this service (NOTIFY_SOCKET) ${problem}, or use Type=exec without WatchdogSec= in the unit`,
  );
}
