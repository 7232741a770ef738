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
  /** Whether a read of the connection is outstanding, so that the peer can be heard. */
  reading: boolean;
}

/** The durations of one session, in milliseconds. */
export interface Timeouts {
  idleTimeout: number;
  readIdleTimeout: number;
  frameTimeout: number;
  writeTimeout: number;
  maxLifetime: number;
  closeTimeout: number;
  /** What `closeTimeout` is while output waits to be taken. */
  flushTimeout: number;
  maxCloseTime: number;
}

/**
 * The deadlines of one session. Nothing on the path of a byte sets a timer or looks at a clock: the sweep compares
 * counters with those of the sweep before. So a deadline is late by two sweeps at most, and never early: it is over when
 * more than so many whole milliseconds have gone by.
 */
export class Deadlines {
  #idleTimeout: number;
  #readIdleTimeout: number;
  readonly #timeouts: Timeouts;
  readonly #startedAt: number;
  #sweptAt: number;
  #bytes = 0;
  #bytesSince: number;
  #heard = 0;
  #heardSince: number;
  #written = 0;
  #writingSince: number | undefined;
  #closingSince: number | undefined;
  #frames = 0;
  #frameAge = 0;
  #wasPartial = false;

  constructor(timeouts: Timeouts, now: number) {
    this.#idleTimeout = timeouts.idleTimeout;
    this.#readIdleTimeout = timeouts.readIdleTimeout;
    this.#timeouts = timeouts;
    this.#startedAt =
      this.#sweptAt =
      this.#bytesSince =
      this.#heardSince =
        now;
  }

  get idleTimeout(): number {
    return this.#idleTimeout;
  }

  set idleTimeout(value: number) {
    this.#idleTimeout = checkDuration("idleTimeout", value);
  }

  get readIdleTimeout(): number {
    return this.#readIdleTimeout;
  }

  set readIdleTimeout(value: number) {
    this.#readIdleTimeout = checkDuration("readIdleTimeout", value);
  }

  /**
   * The shortest of the durations: what the pace of the sweep follows. What is left of one is none of its business:
   * among many sessions, one is always about to come to its end.
   */
  get shortest(): number {
    const { frameTimeout, writeTimeout, maxLifetime } = this.#timeouts;
    if (this.#closingSince === undefined) {
      const idle = Math.min(this.#idleTimeout, this.#readIdleTimeout);
      return Math.min(idle, frameTimeout, writeTimeout, maxLifetime);
    }
    const { closeTimeout, flushTimeout, maxCloseTime } = this.#timeouts;
    return Math.min(closeTimeout, flushTimeout, maxCloseTime);
  }

  /** The session comes to its end: from now on, the deadlines are those of that. */
  close(now: number): void {
    this.#closingSince = this.#bytesSince = now;
  }

  /** Why the session has to end now, if it has to. */
  check(now: number, progress: Progress): EndReason | undefined {
    const elapsed = now - this.#sweptAt;
    this.#sweptAt = now;
    if (this.#closingSince !== undefined) {
      return this.#isClosedLate(now, this.#closingSince, progress) ? "write-stalled" : undefined;
    }
    if (now - this.#startedAt > this.#timeouts.maxLifetime) return "lifetime";
    if (this.#isFrameStalled(elapsed, progress)) return "frame-stalled";
    if (this.#isWriteStalled(now, progress)) return "write-stalled";
    if (this.#quiet(now, progress) > this.#idleTimeout) return "idle";
    if (this.#silence(now, progress) > this.#readIdleTimeout) return "read-idle";
  }

  /** How long no byte has passed either way. */
  #quiet(now: number, { bytesRead, bytesWritten }: Progress): number {
    if (bytesRead + bytesWritten !== this.#bytes) {
      this.#bytes = bytesRead + bytesWritten;
      this.#bytesSince = now;
    }
    return now - this.#bytesSince;
  }

  /** How long the peer has sent nothing. While nothing is read, that is not known, and it counts from then on. */
  #silence(now: number, { bytesRead, reading }: Progress): number {
    if (bytesRead !== this.#heard || !reading) {
      this.#heard = bytesRead;
      this.#heardSince = now;
    }
    return now - this.#heardSince;
  }

  #isClosedLate(now: number, since: number, progress: Progress): boolean {
    const { closeTimeout, flushTimeout, maxCloseTime } = this.#timeouts;
    const limit = progress.writing ? flushTimeout : closeTimeout;
    return this.#quiet(now, progress) > limit || now - since > maxCloseTime;
  }

  #isWriteStalled(now: number, { writing, bytesWritten }: Progress): boolean {
    if (!writing) this.#writingSince = undefined;
    else if (this.#writingSince === undefined || bytesWritten !== this.#written) {
      this.#writingSince = now;
    }
    this.#written = bytesWritten;
    return this.#writingSince !== undefined &&
      now - this.#writingSince > this.#timeouts.writeTimeout;
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
    return this.#frameAge > this.#timeouts.frameTimeout;
  }
}
