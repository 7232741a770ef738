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

/** Identifies a request. The number 1, the string "1" and the bigint 1n are three different ids. */
export type RequestId = string | number | bigint;

/** How replies are matched with requests, and the limits. */
export interface RequestsOptions<In, Out = In> {
  /**
   * Reads the id of a request. It must differ from the ids of all requests without a reply. Requires `replyId`. Without
   * these two options, replies come in the order of the requests.
   *
   * @param message The request.
   * @returns The id. With `isReply`, `undefined` for a request without an id. The replies to those come in their order.
   */
  requestId?: (message: Out) => RequestId | undefined;
  /**
   * Reads the id of the request that a frame replies to. An error that it throws ends the requests. A
   * `MalformedFrameError` means that the peer is at fault.
   *
   * @param frame The frame.
   * @returns The id. `undefined` for a frame without an id.
   */
  replyId?: (frame: In) => RequestId | undefined;
  /**
   * Tells replies from frames that the peer sends without a request. By default, every frame is a reply, or a part of
   * one. With ids, it is called only for frames without an id, and by default none of them is a reply. So requests with
   * and without ids can be used on one session. An error that it throws ends the requests. A `MalformedFrameError` means
   * that the peer is at fault.
   *
   * @param frame The frame.
   * @returns Whether it is a reply.
   */
  isReply?: (frame: In) => boolean;
  /**
   * Called with frames that reply to no request: frames that are not replies and, with ids, frames with an id that no
   * request has. By default, they are dropped. Its promise is not awaited, so it may make requests. If it throws or
   * rejects, the requests end with the error.
   *
   * @param frame The frame.
   */
  onUnmatched?: (frame: In) => void | Promise<void>;
  /**
   * How long a request waits for its reply if it has no `timeout` of its own, in milliseconds. `Infinity` for no limit.
   *
   * @default {30000}
   */
  timeout?: number;
  /**
   * How many requests may be sent without a reply: 1 to 2^20. Others wait for their turn. In order, abandoned requests
   * count until their replies have come. With ids, that many abandoned requests are remembered.
   *
   * @default {1024}
   */
  maxInFlight?: number;
  /**
   * How many further requests may wait for their turn: 0 to 2^30. Beyond that, `request()` rejects with a
   * `RequestLimitError`.
   *
   * @default {65536}
   */
  maxQueued?: number;
}

/** Options of requests whose replies may have several frames. */
export interface MultiFrameOptions<In, Out = In> extends RequestsOptions<In, Out> {
  /**
   * Whether a frame is the last one of its reply. With this option, `request()` resolves to all frames of a reply. An
   * error that it throws ends the requests. A `MalformedFrameError` means that the peer is at fault.
   *
   * @param frame The frame.
   * @returns Whether it is the last one.
   */
  isLast: (frame: In) => boolean;
  /**
   * How many frames a reply to `request()` may have: 1 to 2^30. Beyond that, the request rejects with a
   * `ReplyLimitError`. A reply in memory can take this many times the maximum size of a frame.
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
  /** Abandons the request: it rejects with the signal's reason, and a late reply is dropped. */
  signal?: AbortSignal;
  /**
   * How long to wait for the reply, including the wait for its turn, in milliseconds. `Infinity` for no limit. It is
   * never early, and at most 5 ms late if the event loop is free. Default: the `timeout` of `requests()`.
   */
  timeout?: number;
  /**
   * Whether the request may be sent again over the next session, although the peer may have received it. Only for
   * requests over a client of `reconnect()`. A request that was not sent yet waits for the next session in any case. A
   * stream can be sent again until the first frame of its reply has come.
   *
   * @default {false}
   */
  idempotent?: boolean;
}

/** Options of one request whose reply is read frame by frame. */
export interface StreamOptions<In> extends RequestOptions {
  /** Abandons the request: the loop rejects with the signal's reason, and the rest of the reply is dropped. */
  signal?: AbortSignal;
  /**
   * How long to wait for each frame, in milliseconds. `Infinity` for no limit. For the first frame, it includes the wait
   * for the request's turn. It does not pass while a frame waits to be read. Default: the `timeout` of `requests()`.
   */
  timeout?: number;
  /**
   * Whether a frame is the last one of the reply. It is called with each frame in turn. Default: the `isLast` of
   * `requests()`. Without that, the first frame is the last one.
   *
   * @param frame The frame.
   * @returns Whether it is the last one.
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
  /** How many requests were sent and have no complete reply. In order, this includes abandoned requests. */
  readonly inFlight: number;
  /** How many requests wait for their turn to be sent. */
  readonly queued: number;
  /**
   * Resolves once no request can be made and the frames are no longer read: with the error that has ended the requests,
   * such as a `SessionEndedError`, or with `undefined` after `close()`. Never rejects.
   */
  readonly closed: Promise<unknown>;
  /**
   * Sends a request and waits for its reply.
   *
   * @param message The request. It is sent in its turn: when fewer than `maxInFlight` requests are in flight and the peer
   * reads what it is sent. It must not change until the promise settles.
   * @param options `signal`, `timeout` and `idempotent`.
   * @returns The reply: a frame or, with the option `isLast`, all its frames. It need not be awaited: its rejection never
   * counts as unhandled.
   * @throws {RequestTimeoutError} If no reply comes in time.
   * @throws {RequestLimitError} If too many requests wait already.
   * @throws {ReplyLimitError} If the reply has more frames than `maxReplyFrames`. The rest of it is dropped.
   * @throws {SessionEndedError} If the session ends before the reply, or the peer finishes its side.
   * @throws {FrameTooLargeError | MalformedFrameError | TruncatedFrameError} If the input is invalid, or contains a reply
   * without a request. All requests then reject with the same error, as after every other end.
   * @throws {TypeError} If the id is invalid or belongs to a request without a reply, or after `close()`.
   * @throws What the codec throws if it cannot encode the message. Only this request fails then.
   */
  request(message: Out, options?: RequestOptions): Promise<Reply>;
  /**
   * Sends a request and returns its reply frame by frame, as it comes. The request is sent before the loop begins.
   *
   * The loop sets the pace: while 16 frames wait, the session is not read, so replies to other requests wait, too. Leaving
   * the loop abandons the request, and the rest of its reply is dropped.
   *
   * @param message The request, as for `request()`.
   * @param options `signal`, `timeout`, `idempotent` and `isLast`.
   * @returns The frames. After the frames that have come, the loop rejects with the errors of `request()`.
   */
  stream(
    message: Out,
    options?: StreamOptions<In>,
  ): AsyncIterableIterator<In, undefined, void>;
  /**
   * Waits until there is a session. Over a client of `reconnect()`, there may be none that is set up.
   *
   * @param options `signal`: cancels the wait.
   * @returns The frames that requests are sent through. Use them to send messages that have no reply.
   * @throws The error that ends the requests.
   */
  connected(options?: Pick<ReadOptions, "signal">): Promise<Frames<In, Out>>;
  /**
   * Accepts no more requests, and waits for the replies to the present ones. The session stays open; a client of
   * `reconnect()` is closed. If it is called before the last reply has come, or in the turn in which it comes, the next
   * reading of the session begins after that reply. Only late replies to abandoned requests may come in between.
   *
   * @returns Resolves when the frames are no longer read.
   */
  close(): Promise<void>;
  /**
   * Rejects all requests at once. The session stays open; a client of `reconnect()` is aborted.
   *
   * @param reason What the requests reject with. Default: a `DOMException` with the name `AbortError`.
   */
  abort(reason?: unknown): void;
}

/** The resolved options. */
export interface RequestsSettings<In, Out> {
  /** Present if requests have ids. */
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

/** Checks the options and fills in the defaults. */
export function resolveRequestsOptions<In, Out>(
  options: RequestsOptions<In, Out> & Partial<MultiFrameOptions<In, Out>>,
): RequestsSettings<In, Out> {
  checkOptions(options, REQUESTS_OPTIONS);
  const { requestId, replyId, isReply, isLast, onUnmatched = () => {} } = options;
  if ((requestId === undefined) !== (replyId === undefined)) {
    const [given, missing] = requestId ? ["requestId", "replyId"] : ["replyId", "requestId"];
    throw new TypeError(`${given} needs ${missing}, which is not given`);
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

/** Throws unless a value can read and send frames. */
export function checkFrames(name: string, value: unknown): void {
  const frames = value as Frames<unknown> | null | undefined;
  if (typeof frames?.read === "function" && typeof frames.send === "function") return;
  throw new TypeError(`${name} must be what session.frames() returns, got ${shown(value)}`);
}
