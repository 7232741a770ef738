import type { EndReason } from "../errors.ts";
import { checkDuration } from "../_internal/checks.ts";

/** What the sweep looks at. */
export interface Progress {
  bytesRead: number;
  bytesWritten: number;
  /** Whether a write is under way. */
  writing: boolean;
  /** Frames given out so far. */
  frames: number;
  /** Whether there are unread bytes. */
  unread: boolean;
  /** Whether a reading waits for more of them. */
  waiting: boolean;
}

/** The durations of one session, in milliseconds. */
export interface Timeouts {
  idleTimeout: number;
  frameTimeout: number;
  writeTimeout: number;
  maxLifetime: number;
}

/**
 * The deadlines of one session. Nothing on the path of a byte sets a timer or looks at a clock: the sweep compares
 * counters with those of the sweep before. So a deadline is late by two sweeps at most, and never early: it is over when
 * more than so many whole milliseconds have gone by.
 */
export class Deadlines {
  #idleTimeout: number;
  readonly #frameTimeout: number;
  readonly #writeTimeout: number;
  /** When the session has lasted too long; `undefined` for never. */
  readonly #lifetimeEnd: number | undefined;
  #sweptAt: number;
  #bytes = 0;
  #bytesSince: number;
  #written = 0;
  #writingSince: number | undefined;
  #frames = 0;
  #frameAge = 0;
  #wasPartial = false;

  constructor(timeouts: Timeouts, now: number) {
    this.#idleTimeout = timeouts.idleTimeout;
    this.#frameTimeout = timeouts.frameTimeout;
    this.#writeTimeout = timeouts.writeTimeout;
    this.#lifetimeEnd = timeouts.maxLifetime < Infinity ? now + timeouts.maxLifetime : undefined;
    this.#sweptAt = this.#bytesSince = now;
  }

  get idleTimeout(): number {
    return this.#idleTimeout;
  }

  set idleTimeout(value: number) {
    this.#idleTimeout = checkDuration("idleTimeout", value);
  }

  /** The shortest of the durations: what the pace of the sweep follows. */
  shortest(now: number): number {
    return Math.min(
      this.#idleTimeout,
      this.#frameTimeout,
      this.#writeTimeout,
      this.#lifetimeEnd === undefined ? Infinity : Math.max(0, this.#lifetimeEnd - now),
    );
  }

  /** Why the session has to end now, if it has to. */
  check(now: number, progress: Progress): EndReason | undefined {
    const elapsed = now - this.#sweptAt;
    this.#sweptAt = now;
    if (this.#lifetimeEnd !== undefined && now > this.#lifetimeEnd) return "lifetime";
    if (this.#isFrameStalled(elapsed, progress)) return "frame-stalled";
    if (this.#isWriteStalled(now, progress)) return "write-stalled";
    if (this.#isIdle(now, progress)) return "idle";
  }

  #isIdle(now: number, { bytesRead, bytesWritten }: Progress): boolean {
    if (bytesRead + bytesWritten !== this.#bytes) {
      this.#bytes = bytesRead + bytesWritten;
      this.#bytesSince = now;
    }
    return now - this.#bytesSince > this.#idleTimeout;
  }

  #isWriteStalled(now: number, { writing, bytesWritten }: Progress): boolean {
    if (!writing) this.#writingSince = undefined;
    else if (this.#writingSince === undefined || bytesWritten !== this.#written) {
      this.#writingSince = now;
    }
    this.#written = bytesWritten;
    return this.#writingSince !== undefined && now - this.#writingSince > this.#writeTimeout;
  }

  /** Counts only the time that a reading waits: a slow handler is not a slow peer. */
  #isFrameStalled(elapsed: number, { frames, unread, waiting }: Progress): boolean {
    if (!unread || frames !== this.#frames) {
      this.#frames = frames;
      this.#frameAge = 0;
      this.#wasPartial = false;
    }
    const partial = unread && waiting;
    if (partial && this.#wasPartial) this.#frameAge += elapsed;
    this.#wasPartial = partial;
    return this.#frameAge > this.#frameTimeout;
  }
}
