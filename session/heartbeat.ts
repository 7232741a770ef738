import { checkDuration, checkFunction, checkInteger } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { checkData } from "./output.ts";
import type { PreparedMessage } from "./prepared_message.ts";

/** Options of a heartbeat: a message that a session sends during silence, so that neither side takes the other for gone. */
export interface HeartbeatOptions {
  /**
   * The silence before a heartbeat, in milliseconds. One is sent if no byte went out for so long, or if no byte came in.
   * It is never early, but may be late by a quarter of this time: 10 ms at least, 2 s at most.
   */
  interval: number;
  /**
   * The message: text, bytes, a prepared message, or a function that returns one of them each time.
   *
   * A function may return `undefined` while the peer would misunderstand a heartbeat, such as before a login, or in the
   * middle of a reply of several sends. It is called again soon. If it throws, the session ends with the reason `error`,
   * and the error is reported to `onError` of `serve()` and `reconnect()`.
   */
  message:
    | string
    | Uint8Array
    | PreparedMessage
    | (() => string | Uint8Array | PreparedMessage | undefined);
  /**
   * Tells whether a frame is an answer. It is called with each frame, line or chunk that the session reads, and the
   * reading still gets it. Time in which no reading waits does not count. By default, each byte of the peer is an answer.
   *
   * @param frame The frame.
   * @returns Whether it is an answer.
   */
  isAnswer?: (frame: unknown) => boolean;
  /**
   * How many heartbeats in a row may go unanswered: 1 to 2^30, or `Infinity`. When `interval` has passed after the last
   * of them, the session ends with the reason `heartbeat-missed`: `interval × (maxMissed + 1)` after the last sign of
   * life. With `Infinity`, no answer is expected, and a heartbeat is sent only if no byte went out.
   *
   * @default {2}
   */
  maxMissed?: number;
}

export const HEARTBEAT_OPTIONS: Known<HeartbeatOptions> = {
  interval: checkDuration,
  message: checkMessage,
  isAnswer: checkFunction,
  maxMissed: elsewhere,
};

function checkMessage(name: string, value: unknown): void {
  if (typeof value !== "function") checkData(value, name);
}

/** The resolved options of a heartbeat. */
export type HeartbeatSettings = Readonly<HeartbeatOptions & { maxMissed: number }>;

/** Checks the options of a heartbeat and fills in the defaults. */
export function resolveHeartbeat(options: HeartbeatOptions): HeartbeatSettings {
  checkOptions(options, HEARTBEAT_OPTIONS, "heartbeat");
  const { interval, message, isAnswer, maxMissed = 2 } = options;
  checkDuration("heartbeat.interval", interval);
  checkMessage("heartbeat.message", message);
  if (maxMissed !== Infinity) checkInteger("heartbeat.maxMissed", maxMissed, 1, 2 ** 30);
  return Object.freeze({ interval, message, maxMissed, ...(isAnswer && { isAnswer }) });
}

/** What a heartbeat looks at of a session's input. */
interface Input {
  readonly bytesRead: number;
  /** Whether a read of the connection is outstanding. */
  readonly reading: boolean;
  /** The reading that waits for input. */
  readonly waiting: unknown;
}

/** What it looks at of the output. */
interface Output {
  readonly bytesWritten: number;
  /** Bytes that are not written yet, because of the peer or of `writeRate`. */
  readonly buffered: number;
}

/** The heartbeat of one session. Like the deadlines, it is checked only by the sweep. */
export class Heartbeat {
  readonly settings: HeartbeatSettings;
  #read = 0;
  #readSince: number;
  #written = 0;
  #writtenSince: number;
  #isAnswered = false;
  #unanswered = 0;
  /** Since when the peer could have answered the last heartbeat. */
  #askedAt: number;
  #isReading = true;

  constructor(settings: HeartbeatSettings, now: number) {
    this.settings = settings;
    this.#readSince = this.#writtenSince = this.#askedAt = now;
  }

  /** A frame was read. */
  onFrame(frame: unknown): void {
    const { isAnswer } = this.settings;
    if (isAnswer !== undefined && isAnswer(frame)) this.#isAnswered = true;
  }

  /** Returns `due` if a heartbeat has to be sent, and `missed` if too many were not answered. */
  check(now: number, input: Input, output: Output): "due" | "missed" | undefined {
    const { interval, maxMissed, isAnswer } = this.settings;
    const hasRead = input.bytesRead !== this.#read;
    const hasWritten = output.bytesWritten !== this.#written;
    const isStuck = output.buffered > 0 && !hasWritten; // what is sent now would wait behind it
    this.#isReading = input.reading && (isAnswer === undefined || input.waiting !== undefined);
    this.#read = input.bytesRead;
    this.#written = output.bytesWritten;
    if (isAnswer === undefined ? hasRead : this.#isAnswered) this.#unanswered = 0;
    this.#isAnswered = false;
    if (hasRead || !this.#isReading) this.#readSince = now;
    if (hasWritten) this.#writtenSince = now;
    if (isStuck || !this.#isReading) this.#askedAt = now;
    if (isStuck) return;
    const isWaiting = this.#unanswered > 0;
    const isLate = now - (isWaiting ? this.#askedAt : this.#readSince) > interval;
    if (isWaiting && isLate && this.#unanswered >= maxMissed) return "missed";
    const isQuiet = now - this.#writtenSince > interval;
    return isQuiet || (isLate && maxMissed < Infinity) ? "due" : undefined;
  }

  /** A heartbeat was sent. With it, `accepted` bytes go out in all. */
  sent(now: number, accepted: number): void {
    if (this.#isReading || this.#unanswered === 0) this.#unanswered++;
    this.#askedAt = this.#writtenSince = now;
    this.#written = accepted;
  }
}
