import { checkFunction, checkInteger, checkMethods, shown } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { ServerObserver } from "../serve/observer.ts";
import type { Server } from "../serve/serve.ts";
import { insideOf } from "../session/inside.ts";
import { Session } from "../session.ts";
import { CaptureFile } from "./capture_file.ts";
import { CapturedSession } from "./captured_session.ts";

/** Options of {@linkcode capture}: how large its files become. */
export interface CaptureOptions {
  /**
   * How much of each session is captured, both directions together, in bytes: 0 to 2^50, or `Infinity`. A comment says how
   * much is missing.
   *
   * @default {1048576}
   */
  maxSessionBytes?: number;
  /**
   * The size from which on a new file is begun, in bytes: 65536 to 2^50. The full one gets `.1` after its name, the one
   * before it `.2`, and so on.
   *
   * @default {67108864}
   */
  maxFileSize?: number;
  /**
   * How many files there are at most: 1 to 1000. The oldest one is deleted.
   *
   * @default {4}
   */
  maxFiles?: number;
  /**
   * How much may wait to be written, in bytes: 65536 to 2^30. More is dropped, and counted.
   *
   * @default {8388608}
   */
  maxQueue?: number;
  /**
   * Called when the file cannot be written any more, for example because the disk is full. Sessions go on without being
   * captured. Without this, `close()` rejects with the error.
   *
   * @param error The error.
   */
  onError?(error: unknown): void;
}

/** The options of captures. */
export const CAPTURE_OPTIONS: Known<CaptureOptions> = {
  maxSessionBytes: elsewhere,
  maxFileSize: elsewhere,
  maxFiles: elsewhere,
  maxQueue: elsewhere,
  onError: checkFunction,
};

/** Figures of a capture. */
export interface CaptureStats {
  /** Sessions that were captured, wholly or in part. */
  sessions: number;
  /** Packets that were put into files, or will be soon. */
  packets: number;
  /** Packets that were dropped, because the file was not written in time. */
  droppedPackets: number;
  /** How much was written into files, in bytes. */
  bytesWritten: number;
  /** How many files were begun. */
  files: number;
}

/** A capture that goes on. */
export interface Capture extends AsyncDisposable {
  /**
   * Captures another session, from now on. An event of a reconnecting client or a pool can call it.
   *
   * @param session The session.
   */
  add(session: Session): void;
  /**
   * Returns the current figures.
   *
   * @returns The figures.
   */
  stats(): CaptureStats;
  /**
   * Ends the capture, and writes what was captured so far. Sessions go on.
   *
   * @returns Resolves once the file is complete.
   * @throws What the system says if the file could not be written and there is no `onError`.
   */
  close(): Promise<void>;
}

/**
 * Captures a session, or all sessions of a server, into a pcapng file. It ends with the session or the server.
 *
 * The file holds everything that was sent and received, also within TLS. It is created with the mode 0600. An existing
 * file gets `.1` after its name, as when a file is full.
 *
 * @param target The session or the server. Sessions that are open already are captured from now on.
 * @param file The path of the file. On Deno, it requires `--allow-read` and `--allow-write` for it and the names that end
 * in `.1`, `.2` and so on.
 * @param options How large the files become.
 * @returns The capture.
 * @throws {TypeError | RangeError} If an option is invalid.
 * @throws {Error} If the file cannot be created, as `node:fs` says.
 */
export function capture(
  target: Session | Server,
  file: string,
  options: CaptureOptions = {},
): Capture {
  checkTarget(target);
  const opened = new OpenCapture(file, options);
  if (target instanceof Session) {
    opened.add(target);
    target.closed.then(() => opened.close()).catch(() => {}); // `close()` rejects again for the user
  } else {
    const observer: ServerObserver = { onSessionStart: (session) => opened.add(session) };
    const stop = target.observe(observer);
    for (const session of target.sessions) opened.add(session);
    target.finished.then(() => opened.close()).catch(() => {});
    opened.onClose = stop;
  }
  return opened;
}

function checkTarget(target: Session | Server): void {
  if (target instanceof Session) return;
  checkMethods("target", target, ["observe"]);
  if ("sessions" in target) return;
  throw new TypeError(
    "target has its sessions in workers: call openCapture() in the module that serves, see the guide",
  );
}

/**
 * Opens a capture that no session belongs to yet, for sessions that are added one by one. It ends with `close()` only.
 *
 * @param file The path of the file, as for {@linkcode capture}.
 * @param options How large the files become.
 * @returns The capture.
 * @throws {TypeError | RangeError} If an option is invalid.
 * @throws {Error} If the file cannot be created, as `node:fs` says.
 *
 * @example Each session of a reconnecting client
 * ```ts ignore
 * import { reconnect } from "@parley/tcp";
 * import { openCapture } from "@parley/tcp/capture";
 *
 * await using captured = openCapture("/tmp/client.pcapng");
 * await using client = reconnect({
 *   port: 1234,
 *   observer: { onSessionStart: (session) => captured.add(session) },
 * });
 * ```
 */
export function openCapture(file: string, options: CaptureOptions = {}): Capture {
  return new OpenCapture(file, options);
}

class OpenCapture implements Capture {
  onClose: (() => void) | undefined;
  readonly #file: CaptureFile;
  readonly #maxSessionBytes: number;
  #sessions = 0;
  #failure: { error: unknown } | undefined;
  #closing: Promise<void> | undefined;

  constructor(file: string, options: CaptureOptions) {
    if (typeof file !== "string") throw new TypeError(`file must be a string, got ${shown(file)}`);
    checkOptions(options, CAPTURE_OPTIONS);
    const { maxSessionBytes = 2 ** 20, maxFileSize = 64 * 2 ** 20, maxFiles = 4 } = options;
    const { maxQueue = 8 * 2 ** 20 } = options;
    this.#maxSessionBytes = maxSessionBytes === Infinity
      ? Infinity
      : checkInteger("maxSessionBytes", maxSessionBytes, 0, 2 ** 50);
    this.#file = new CaptureFile(file, {
      maxFileSize: checkInteger("maxFileSize", maxFileSize, 64 * 1024, 2 ** 50),
      maxFiles: checkInteger("maxFiles", maxFiles, 1, 1000),
      maxQueue: checkInteger("maxQueue", maxQueue, 64 * 1024, 2 ** 30),
    }, (error) => {
      if (options.onError === undefined) this.#failure = { error };
      else options.onError(error);
    });
  }

  add(session: Session): void {
    const { life, isServed } = insideOf(session);
    const captured = new CapturedSession(session, {
      n: this.#sessions++,
      isServer: isServed,
      maxBytes: this.#maxSessionBytes,
      write: (packet) => this.#file.write(packet),
    });
    life.tap(captured);
  }

  stats(): CaptureStats {
    return { sessions: this.#sessions, ...this.#file.stats };
  }

  async close(): Promise<void> {
    this.onClose?.();
    await (this.#closing ??= this.#file.close());
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
