import type { EndReason } from "../errors.ts";
import { checkDuration } from "../_internal/checks.ts";

/** How many bytes a session has received and sent. */
interface Bytes {
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/**
 * The state of a session that the sweep checks. It is read in place: an object for each of 8,000 idle sessions and each
 * sweep would be 0.7 MB of garbage a second, and V8 returns memory only to a process that makes less than 1.
 */
export interface Progress extends Bytes {
  /** Whether a write is under way. */
  readonly writing: boolean;
  /** How many frames were read. */
  readonly frames: number;
  /** Whether there are unread bytes. */
  readonly unread: boolean;
  /** Whether a reading waits for more bytes. */
  readonly waiting: boolean;
  /** Whether a read of the connection is outstanding, so that the peer can be heard. */
  readonly reading: boolean;
}

/** The durations of one session, in milliseconds. */
export interface Timeouts {
  idleTimeout: number;
  readIdleTimeout: number;
  frameTimeout: number;
  writeTimeout: number;
  maxLifetime: number;
  closeTimeout: number;
  /** The `closeTimeout` while output is unsent. */
  flushTimeout: number;
  maxCloseTime: number;
}

/**
 * The deadlines of one session. Reading and writing set no timers and read no clock: the sweep compares counters with
 * those of the sweep before. So a deadline is late by two sweeps at most. It is never early: it is over when more than
 * the given number of whole milliseconds has passed.
 */
export class Deadlines {
  #idleTimeout: number;
  #silence: Silence | undefined;
  readonly #timeouts: Timeouts;
  readonly #startedAt: number;
  #bytes = 0;
  #bytesSince: number;
  #write: Write | undefined;
  #frame: Frame | undefined;
  #closingSince: number | undefined;
  /** Whether the whole end has to fit in `closeTimeout`, whatever the peer takes or sends. */
  isHurried = false;

  constructor(timeouts: Timeouts, now: number) {
    this.#idleTimeout = timeouts.idleTimeout;
    this.#timeouts = timeouts;
    this.#startedAt = this.#bytesSince = now;
    if (timeouts.readIdleTimeout < Infinity) this.readIdleTimeout = timeouts.readIdleTimeout;
  }

  get idleTimeout(): number {
    return this.#idleTimeout;
  }

  set idleTimeout(value: number) {
    this.#idleTimeout = checkDuration("idleTimeout", value);
  }

  /** Since when no byte has passed, by the group's clock. The sweep notices that, so it is up to a second late. */
  get quietSince(): number {
    return this.#bytesSince;
  }

  get readIdleTimeout(): number {
    return this.#silence?.timeout ?? Infinity;
  }

  set readIdleTimeout(value: number) {
    const timeout = checkDuration("readIdleTimeout", value);
    if (this.#silence !== undefined) this.#silence.timeout = timeout;
    else this.#silence = new Silence(timeout);
  }

  /**
   * The shortest of the durations, which determines how often the sweep runs. It is not the time that is left: among many
   * sessions, some deadline is always near.
   */
  get shortest(): number {
    const { frameTimeout, writeTimeout, maxLifetime } = this.#timeouts;
    if (this.#closingSince === undefined) {
      const idle = Math.min(this.#idleTimeout, this.readIdleTimeout);
      return Math.min(idle, frameTimeout, writeTimeout, maxLifetime);
    }
    const { closeTimeout, flushTimeout, maxCloseTime } = this.#timeouts;
    return Math.min(closeTimeout, flushTimeout, maxCloseTime);
  }

  /** Starts the deadlines of closing. They replace the others. */
  close(now: number): void {
    this.#closingSince = this.#bytesSince = now;
  }

  /** The reason why the session must end now, if it must. */
  check(now: number, progress: Progress): EndReason | undefined {
    if (this.#closingSince !== undefined) {
      return this.#isClosedLate(now, this.#closingSince, progress) ? "write-stalled" : undefined;
    }
    if (now - this.#startedAt > this.#timeouts.maxLifetime) return "lifetime";
    if (this.#isFrameStalled(now, progress)) return "frame-stalled";
    if (this.#isWriteStalled(now, progress)) return "write-stalled";
    if (this.quiet(now, progress) > this.#idleTimeout) return "idle";
    if (this.#silence?.isOver(now, progress)) return "read-idle";
  }

  /** How long no byte has passed in either direction, as far as calls of this have seen. */
  quiet(now: number, { bytesRead, bytesWritten }: Bytes): number {
    if (bytesRead + bytesWritten !== this.#bytes) {
      this.#bytes = bytesRead + bytesWritten;
      this.#bytesSince = now;
    }
    return now - this.#bytesSince;
  }

  #isClosedLate(now: number, since: number, progress: Progress): boolean {
    const { closeTimeout, flushTimeout, maxCloseTime } = this.#timeouts;
    const limit = progress.writing ? flushTimeout : closeTimeout;
    const whole = this.isHurried ? Math.min(closeTimeout, maxCloseTime) : maxCloseTime;
    return this.quiet(now, progress) > limit || now - since > whole;
  }

  #isWriteStalled(now: number, { writing, bytesWritten }: Progress): boolean {
    if (!writing) this.#write = undefined;
    else if (bytesWritten !== this.#write?.written) {
      this.#write = { written: bytesWritten, since: now };
    }
    return this.#write !== undefined && now - this.#write.since > this.#timeouts.writeTimeout;
  }

  /** Counts only the time that a reading waits: a slow handler is not a slow peer. */
  #isFrameStalled(now: number, { frames, unread, waiting }: Progress): boolean {
    if (!unread) this.#frame = undefined;
    else {
      let frame = this.#frame;
      if (frame?.number !== frames) {
        frame = this.#frame = { number: frames, age: 0, waitsAt: undefined };
      }
      if (waiting && frame.waitsAt !== undefined) frame.age += now - frame.waitsAt;
      frame.waitsAt = waiting ? now : undefined;
    }
    return this.#frame !== undefined && this.#frame.age > this.#timeouts.frameTimeout;
  }
}

// Both of these exist only while they are needed, so that idle sessions stay small.

/** A write that waited at the last sweep. */
interface Write {
  /** How many bytes were written before. */
  readonly written: number;
  readonly since: number;
}

/** A frame that was incomplete at the last sweep. */
interface Frame {
  /** How many frames were read before. */
  readonly number: number;
  /** How long readings have waited for it. */
  age: number;
  /** The time of the last sweep, if a reading waited then. */
  waitsAt: number | undefined;
}

/** The deadline for the silence of the peer. It exists only once it is set, so that other sessions stay small. */
class Silence {
  timeout: number;
  /** The first value is no possible count, so that the time begins with the first sweep. */
  #read = -1;
  #since = 0;

  constructor(timeout: number) {
    this.timeout = timeout;
  }

  /** While no read is outstanding, the peer may have sent something, so such time does not count. */
  isOver(now: number, { bytesRead, reading }: Progress): boolean {
    if (bytesRead !== this.#read || !reading) {
      this.#read = bytesRead;
      this.#since = now;
    }
    return now - this.#since > this.timeout;
  }
}
