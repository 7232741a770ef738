/** The options of `requests()` and the type of what it returns; `requests.ts` publishes them. */

import {
  checkBoolean,
  checkDuration,
  checkFunction,
  checkInteger,
  checkSignal,
  shown,
} from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { Frames, ReadOptions } from "../session.ts";

/** What tells one request from another. The number 1, the string "1" and the bigint 1n are three ids. */
export type RequestId = string | number | bigint;

/** How replies find their requests, and what bounds the requests. */
export interface RequestsOptions<In, Out = In> {
  /**
   * Reads the id of a request, which must differ from those of all requests that have no reply yet. It goes with
   * `replyId`. Without the two, replies come in the order of the requests.
   *
   * @param message The request.
   * @returns Its id; with `isReply`, `undefined` for a request without one, whose reply comes in the order of these.
   */
  requestId?: (message: Out) => RequestId | undefined;
  /**
   * Reads the id of the request that a frame replies to. If it throws, the requests end with what it threw; a
   * `MalformedFrameError` says that the frame is at fault.
   *
   * @param frame The frame.
   * @returns The id; `undefined` for a frame that has none.
   */
  replyId?: (frame: In) => RequestId | undefined;
  /**
   * Whether a frame is a reply, or a part of one, where the peer also sends what nobody asked for. By default every
   * frame is. With ids, only frames without an id are asked about, and by default none is: the two ways of finding
   * requests go together on one session. If it throws, the requests end with what it threw; a `MalformedFrameError`
   * says that the frame is at fault.
   *
   * @param frame The frame.
   * @returns Whether it is.
   */
  isReply?: (frame: In) => boolean;
  /**
   * Is given the frames that reply to no request: those that are no replies and, with ids, those with an id that no
   * request has. By default they are dropped. It is not waited for, so it may make requests of its own. If it throws
   * or rejects, the requests end with that.
   *
   * @param frame The frame.
   */
  onUnmatched?: (frame: In) => void | Promise<void>;
  /**
   * How long a request that says nothing else waits for its reply, in milliseconds; `Infinity` for no limit.
   *
   * @default {30000}
   */
  timeout?: number;
  /**
   * How many requests may be sent and have no reply yet: 1 to 2^20. Further ones wait for their turn. Of requests
   * that were given up, those in order go on counting until their replies have come, and of those with ids the last
   * so many are remembered.
   *
   * @default {1024}
   */
  maxInFlight?: number;
  /**
   * How many requests may wait for their turn beyond `maxInFlight`: 0 to 2^30. Past that, `request()` rejects with a
   * `RequestLimitError`.
   *
   * @default {65536}
   */
  maxQueued?: number;
}

/** Options of requests whose replies may have several frames. */
export interface MultiFrameOptions<In, Out = In> extends RequestsOptions<In, Out> {
  /**
   * Whether a frame is the last of the reply that it belongs to. With it, `request()` resolves to all frames of a
   * reply. If it throws, the requests end with what it threw; a `MalformedFrameError` says that the frame is at fault.
   *
   * @param frame The frame.
   * @returns Whether it is.
   */
  isLast: (frame: In) => boolean;
  /**
   * How many frames a reply may have that is waited for as a whole: 1 to 2^30. Past that, the request rejects with a
   * `ReplyLimitError`. So much is held of each reply, times what the codec lets a frame have.
   *
   * @default {1024}
   */
  maxReplyFrames?: number;
}

const REQUESTS_OPTIONS: Known<MultiFrameOptions<unknown>> = {
  requestId: checkFunction,
  replyId: checkFunction,
  isReply: checkFunction,
  isLast: checkFunction,
  onUnmatched: checkFunction,
  timeout: elsewhere,
  maxInFlight: elsewhere,
  maxQueued: elsewhere,
  maxReplyFrames: elsewhere,
};

/** Options of one request. */
export interface RequestOptions {
  /** Gives the request up: it rejects with the signal's reason, and a reply that still comes is dropped. */
  signal?: AbortSignal;
  /**
   * How long to wait for the reply, the wait for its turn included, in milliseconds; `Infinity` for no limit. It is
   * never early, and 5 ms late at most where the event loop is free. Default: as the option of `requests()` says.
   */
  timeout?: number;
  /**
   * Whether the request may be sent again over the next session, although the peer may have had it: for requests of a
   * client that comes back, and of no effect otherwise. One that was not sent yet waits for the next session anyway.
   * Of a stream, this holds until the first frame of its reply.
   *
   * @default {false}
   */
  idempotent?: boolean;
}

/** Options of one request whose reply is read frame by frame. */
export interface StreamOptions<In> extends RequestOptions {
  /** Gives the request up: the loop rejects with the signal's reason, and what still comes of its reply is dropped. */
  signal?: AbortSignal;
  /**
   * How long to wait for each frame, for the first the wait for its turn included, in milliseconds; `Infinity` for no
   * limit. While a frame waits to be read, no time passes. Default: as the option of `requests()` says.
   */
  timeout?: number;
  /**
   * Whether a frame is the last of the reply. It is called with each frame of it in turn. Default: the option of
   * `requests()`; without that, the first is.
   *
   * @param frame The frame.
   * @returns Whether it is.
   */
  isLast?: (frame: In) => boolean;
}

export const REQUEST_OPTIONS: Known<RequestOptions> = {
  signal: checkSignal,
  timeout: elsewhere,
  idempotent: checkBoolean,
};

export const CONNECTED_OPTIONS: Known<Pick<ReadOptions, "signal">> = { signal: checkSignal };

export const STREAM_OPTIONS: Known<StreamOptions<unknown>> = {
  ...REQUEST_OPTIONS,
  isLast: checkFunction,
};

/** Requests and their replies, several at a time. `requests()` makes it. */
export interface Requests<In, Out = In, Reply = In> extends AsyncDisposable {
  /** How many requests were sent and have no whole reply yet; in order, those that were given up are among them. */
  readonly inFlight: number;
  /** How many requests wait for their turn to be sent. */
  readonly queued: number;
  /**
   * Resolves once no request can be made and the frames are no longer read: with what has ended it, such as a
   * `SessionEndedError`, or with `undefined` after `close()`. Never rejects.
   */
  readonly closed: Promise<unknown>;
  /**
   * Sends a request and waits for its reply.
   *
   * @param message The request. It is sent when its turn has come: once there is a place among `maxInFlight` and the
   * peer keeps up with what it is sent. It must not change until the promise settles.
   * @param options `signal` and `timeout`.
   * @returns The reply: a frame or, with the option `isLast`, all its frames. It may be left alone: its rejection
   * never counts as unhandled.
   * @throws {RequestTimeoutError} If no reply comes in time.
   * @throws {RequestLimitError} If too many requests wait already.
   * @throws {ReplyLimitError} If the reply has more frames than `maxReplyFrames`. The rest of it is dropped.
   * @throws {SessionEndedError} If the session ends before, or the peer finishes its side.
   * @throws {FrameTooLargeError | MalformedFrameError | TruncatedFrameError} If the input is bad, or has a reply that
   * nothing asked for. As with every other end, all requests are then given the same error.
   * @throws {TypeError} If the id is of no use or belongs to a request that has no reply yet, or after `close()`.
   * @throws Whatever the codec throws for a message that it cannot encode: only that request fails.
   */
  request(message: Out, options?: RequestOptions): Promise<Reply>;
  /**
   * Sends a request and gives its reply frame by frame, as it comes. The request is sent without waiting for the loop.
   *
   * Whoever reads sets the pace: while 16 frames wait, nothing more is read of the session, so that the replies to
   * other requests wait as well. To leave the loop gives the request up, and the rest of its reply is dropped.
   *
   * @param message The request, as of `request()`.
   * @param options `signal`, `timeout` and `isLast`.
   * @returns The frames. The loop rejects with what `request()` rejects with, after the frames that have come.
   */
  stream(
    message: Out,
    options?: StreamOptions<In>,
  ): AsyncIterableIterator<In, undefined, void>;
  /**
   * Waits for a session, if the requests are those of a client that comes back and it has none that is set up.
   *
   * @param options `signal`: ends the wait.
   * @returns The frames that requests are sent through, for what has no reply.
   * @throws What has ended the requests, or will have.
   */
  connected(options?: Pick<ReadOptions, "signal">): Promise<Frames<In, Out>>;
  /**
   * Takes no more requests, and waits for the replies to those that it has. The session stays open; a client that
   * comes back is closed. If it is called
   * before anything but the last reply is waited for, the next reading begins after that reply; only late replies
   * to requests that were given up may still come in between.
   *
   * @returns Resolves when the frames are no longer read.
   */
  close(): Promise<void>;
  /**
   * Gives up all requests at once. The session stays open; a client that comes back is aborted.
   *
   * @param reason What they are rejected with. Default: a `DOMException` with the name `AbortError`.
   */
  abort(reason?: unknown): void;
}

/** The options with nothing left to default. */
export interface RequestsSettings<In, Out> {
  /** Present where requests have ids. */
  ids:
    | { ofRequest: (message: Out) => RequestId | undefined; ofReply: (frame: In) => unknown }
    | undefined;
  isReply: ((frame: In) => boolean) | undefined;
  isLast: ((frame: In) => boolean) | undefined;
  maxReplyFrames: number;
  onUnmatched: (frame: In) => void | Promise<void>;
  timeout: number;
  maxInFlight: number;
  maxQueued: number;
}

/** Checks the options and fills in what they leave out. */
export function resolveRequestsOptions<In, Out>(
  options: RequestsOptions<In, Out> & Partial<MultiFrameOptions<In, Out>>,
): RequestsSettings<In, Out> {
  checkOptions(options, REQUESTS_OPTIONS);
  const { requestId, replyId, isReply, isLast, onUnmatched = () => {} } = options;
  if ((requestId === undefined) !== (replyId === undefined)) {
    const [given, missing] = requestId ? ["requestId", "replyId"] : ["replyId", "requestId"];
    throw new TypeError(`${given} goes with ${missing}, which is not given`);
  }
  return {
    ids: requestId && replyId && { ofRequest: requestId, ofReply: replyId },
    isReply,
    isLast,
    maxReplyFrames: checkInteger("maxReplyFrames", options.maxReplyFrames ?? 1024, 1, 2 ** 30),
    onUnmatched,
    timeout: checkDuration("timeout", options.timeout ?? 30_000),
    maxInFlight: checkInteger("maxInFlight", options.maxInFlight ?? 1024, 1, 2 ** 20),
    maxQueued: checkInteger("maxQueued", options.maxQueued ?? 65_536, 0, 2 ** 30),
  };
}

/** Throws unless something reads and sends frames. */
export function checkFrames(name: string, value: unknown): void {
  const frames = value as Frames<unknown> | null | undefined;
  if (typeof frames?.read === "function" && typeof frames.send === "function") return;
  throw new TypeError(`${name} must be what session.frames() returns, got ${shown(value)}`);
}
