/** Datagrams: `serveDatagrams()` and its server. */

import { type Address, normalizeAddress } from "../_internal/address.ts";
import { checkDuration, checkFunction, checkInteger } from "../_internal/checks.ts";
import type { Observers } from "../_internal/observers.ts";
import { checkOptions } from "../_internal/options.ts";
import { rejected } from "../_internal/promises.ts";
import { MORE } from "../codecs/codec.ts";
import type { AmplificationLimitError } from "../errors.ts";
import type { ServerState } from "../serve/observer.ts";
import { turn } from "../session/turn.ts";
import { Decoding } from "./decoding.ts";
import { encodeDatagram } from "./encoding.ts";
import {
  type DatagramDrop,
  type DatagramDropReason,
  type DatagramObserver,
  noDrops,
} from "./observer.ts";
import { observersFor } from "./observers.ts";
import { openSocket } from "./open.ts";
import type {
  DatagramHandler,
  DatagramServer,
  DatagramStats,
  ServeDatagramsOptions,
} from "./options.ts";
import { DatagramOutput } from "./output.ts";
import { Admission, ProvenPeers } from "./peers.ts";
import { DatagramQueue, owned } from "./queue.ts";
import { Sender, type SenderHooks } from "./sender.ts";
import { checkAmplification, checkReceiver, queueSettings, SERVE_OPTIONS } from "./settings.ts";
import type { DatagramEvents, DatagramSocket } from "./socket.ts";

/**
 * Serves datagrams: binds a socket, and calls a handler for each message.
 *
 * @param options Where to receive, what to let in, and what to answer.
 * @param handler Called with each message and its sender.
 * @returns The server.
 * @throws {TypeError | RangeError} If an option is invalid.
 * @throws {Deno.errors.AddrInUse} If the port is in use. Other errors of binding are thrown as well. If `hostname` is a
 * name, {@linkcode DatagramServer.listening} rejects instead.
 *
 * @example
 * ```ts
 * import { connectDatagrams, serveDatagrams } from "@parley/tcp/datagram";
 * import type { NetAddr } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serveDatagrams({ port: 0 }, async (message, sender) => {
 *   await sender.send(new TextDecoder().decode(message).toUpperCase());
 * });
 *
 * const { port } = server.addr as NetAddr;
 * await using client = await connectDatagrams({ port });
 * await client.send("rose");
 * assertEquals(new TextDecoder().decode(await client.receive()), "ROSE");
 * ```
 */
export function serveDatagrams<In = Uint8Array, Out = string | Uint8Array>(
  options: ServeDatagramsOptions<In, Out>,
  handler: DatagramHandler<In, Out>,
): DatagramServer<Out> {
  return new Server(options, handler);
}

/** A datagram that waits. */
interface Waiting {
  readonly message: Uint8Array;
  readonly from: Address;
}

/** A message with its sender. */
interface Received<In, Out> {
  readonly message: In;
  readonly sender: Sender<Out>;
}

class Server<In, Out> implements DatagramServer<Out>, DatagramEvents, SenderHooks<Out> {
  readonly maxAmplification: number;
  readonly #options: ServeDatagramsOptions<In, Out>;
  readonly #handler: DatagramHandler<In, Out>;
  readonly #observers: Observers<DatagramObserver>;
  readonly #admission: Admission;
  readonly #proven: ProvenPeers;
  readonly #queue: DatagramQueue<Waiting>;
  readonly #output: DatagramOutput;
  readonly #socket: DatagramSocket;
  readonly #maxMessageSize: number;
  readonly #maxHandlers: number;
  readonly #shutdownTimeout: number;
  readonly #listening = Promise.withResolvers<Address>();
  readonly #finished = Promise.withResolvers<void>();
  readonly #drops = noDrops();
  /** Errors that handlers may let through. */
  readonly #known: WeakSet<object> = new WeakSet();
  #received = 0;
  #bytesRead = 0;
  #handlerErrors = 0;
  #receiveErrors = 0;
  #active = 0;
  #state: ServerState = "starting";
  #isBound = false;
  #isDeferred = false;
  #isClosing = false;
  /** The datagram whose messages are being taken, with a codec. */
  #current: { decoding: Decoding<In>; sender: Sender<Out>; waiting: Waiting } | undefined;
  #shutdownTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ServeDatagramsOptions<In, Out>, handler: DatagramHandler<In, Out>) {
    checkOptions(options, SERVE_OPTIONS);
    checkFunction("handler", handler);
    this.#options = { ...options }; // later changes of the object have no effect
    this.#handler = handler;
    const common = options as ServeDatagramsOptions<unknown, unknown>;
    const settings = queueSettings(common);
    this.#maxMessageSize = settings.maxMessageSize;
    this.#queue = new DatagramQueue(
      settings.maxQueuedBytes,
      settings.overflow,
      ({ message, from }) => this.#drop("queue-full", from, message.length),
    );
    const { maxAmplification = 3, provenFor = 600_000, maxHandlers = 1000, signal } = options;
    this.maxAmplification = checkAmplification(maxAmplification);
    this.#proven = new ProvenPeers(checkDuration("provenFor", provenFor));
    this.#maxHandlers = checkInteger("maxHandlers", maxHandlers, 1, 2 ** 30);
    this.#shutdownTimeout = checkDuration("shutdownTimeout", options.shutdownTimeout ?? 15_000);
    this.#admission = new Admission(common);
    this.#observers = observersFor(common);
    this.#socket = openSocket(common, settings.maxMessageSize);
    this.#output = new DatagramOutput(this.#socket, settings.maxBufferedOutput, {
      onError: (error, to) => {
        this.#noteOwn(error);
        this.#observers.tell("onSendError", error, normalizeAddress(to));
      },
      onIdle: () => this.#closeIfDone(),
    });
    const { ready } = this.#socket;
    if (ready === undefined) this.#start();
    else ready.then(() => this.#start(), (error) => this.#fail(error));
    signal?.addEventListener("abort", this.#onAbort);
    if (signal?.aborted) this.shutdown();
  }

  get addr(): Address {
    return normalizeAddress(this.#socket.addr);
  }

  get listening(): Promise<Address> {
    return this.#listening.promise;
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  get state(): ServerState {
    return this.#state;
  }

  stats(): DatagramStats {
    return {
      received: this.#received,
      sent: this.#output.sent,
      bytesRead: this.#bytesRead,
      bytesWritten: this.#output.bytesWritten,
      dropped: Object.values(this.#drops).reduce((all, count) => all + count, 0),
      drops: { ...this.#drops },
      active: this.#active,
      queued: this.#queue.length + (this.#current === undefined ? 0 : 1),
      queuedBytes: this.#queue.size,
      proven: this.#proven.size,
      handlerErrors: this.#handlerErrors,
      sendErrors: this.#output.errors,
      receiveErrors: this.#receiveErrors,
    };
  }

  send(message: Out, to: Address): Promise<void> {
    try {
      checkReceiver(to, this.#socket.addr);
      return this.transmit(this.encode(message), to);
    } catch (error) {
      return rejected(error);
    }
  }

  suspend(): void {
    if (!this.#isStopping && this.#state !== "suspended") this.#setState("suspended");
  }

  resume(): void {
    if (this.#state !== "suspended") return;
    if (this.#isBound) this.#setState("listening");
    else this.#state = "starting";
    this.#pump();
  }

  shutdown(): Promise<void> {
    if (!this.#isStopping) {
      this.#setState("draining");
      if (this.#shutdownTimeout < Infinity) {
        this.#shutdownTimer = setTimeout(() => this.abort(), this.#shutdownTimeout);
      }
      this.#pump();
    }
    return this.finished;
  }

  abort(): void {
    if (!this.#isStopping) this.#setState("draining");
    this.#queue.clear();
    this.#current = undefined;
    this.#close();
  }

  ref(): void {
    this.#socket.ref?.();
  }

  unref(): void {
    this.#socket.unref?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  onMessage(message: Uint8Array, from: Address): void {
    this.#received++;
    this.#bytesRead += message.length;
    if (this.#isStopping) return this.#drop("draining", from, message.length);
    if (message.length > this.#maxMessageSize) return this.#drop("too-large", from, message.length);
    const reason = this.#admission.isOpen ? undefined : this.#admission.judge(from);
    if (reason !== undefined) return this.#drop(reason, from, message.length);
    const isFree = this.#queue.length === 0 && this.#current === undefined;
    if (isFree && this.#mayCall && this.#options.codec === undefined) {
      const sender = new Sender(this, from, message.length);
      this.#call(owned(message) as In, sender);
    } else {
      this.#queue.push({ message: owned(message), from });
      if (this.#isClosing) this.#queue.clear(); // onDrop() has aborted the server
      this.#pump();
    }
  }

  onError(error: unknown): void {
    this.#receiveErrors++;
    this.#observers.tell("onReceiveError", error);
  }

  encode(message: Out): Uint8Array {
    return encodeDatagram(message, this.#options.codec);
  }

  isProven(from: Address): boolean {
    return this.#proven.has(from);
  }

  prove(from: Address): void {
    this.#proven.add(from);
  }

  transmit(message: Uint8Array, to: Address): Promise<void> {
    return this.#output.send(message, to);
  }

  refuse(error: AmplificationLimitError, to: Address, size: number): void {
    this.#noteOwn(error);
    this.#drop("amplification", to, size);
  }

  /** The turn of the event loop that was waited for has come. */
  onTurn(): void {
    this.#isDeferred = false;
    this.#pump();
  }

  readonly #onAbort = (): void => void this.shutdown();

  get #isStopping(): boolean {
    return this.#state === "draining" || this.#state === "closed";
  }

  /** Whether a handler may be called now. A flood must not keep the event loop from other sockets and timers. */
  get #mayCall(): boolean {
    return this.#active < this.#maxHandlers && this.#state !== "suspended" && !turn.isOver;
  }

  #start(): void {
    if (this.#isClosing) return;
    this.#isBound = true;
    this.#listening.resolve(this.addr);
    if (this.#state === "starting") this.#setState("listening");
    this.#socket.start(this);
    this.#closeIfDone();
  }

  /** The socket cannot be bound. */
  #fail(error: unknown): void {
    if (this.#isStopping) this.#listening.promise.catch(() => {}); // stopped before: need not be handled
    this.#listening.reject(error);
    this.#state = "draining"; // it was never bound, so there is nothing to report
    this.#end();
  }

  /** Calls handlers while there are messages and room. */
  #pump(): void {
    while (this.#mayCall) {
      const next = this.#next();
      if (next === undefined) return this.#closeIfDone();
      this.#call(next.message, next.sender);
    }
    if (!turn.isOver || this.#isDeferred || this.#state === "suspended") return;
    this.#isDeferred = true;
    turn.add(this);
  }

  /** The next message, of the datagram that is being decoded or of the queue. */
  #next(): Received<In, Out> | undefined {
    for (;;) {
      const { codec } = this.#options;
      if (this.#current !== undefined) {
        const { decoding, sender, waiting: { message: { length }, from } } = this.#current;
        try {
          const message = decoding.next();
          if (message !== MORE) return { message, sender };
        } catch (error) {
          this.#drop("malformed", from, length, error);
        }
        this.#current = undefined;
      }
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      const { message, from } = waiting;
      const sender = new Sender<Out>(this, from, message.length);
      if (codec === undefined) return { message: message as In, sender };
      this.#current = { decoding: new Decoding(codec, message), sender, waiting };
    }
  }

  #call(message: In, sender: Sender<Out>): void {
    turn.count();
    let result: unknown;
    try {
      result = this.#handler(message, sender);
    } catch (error) {
      return this.#onHandlerError(error, sender);
    }
    if (result === null || (typeof result !== "object" && typeof result !== "function")) return;
    this.#active++;
    // What is no promise may throw when it is asked for its `then()`, or call back twice. A promise is kept as it is.
    Promise.resolve(result).then(this.#onReturn, (error) => {
      this.#onHandlerError(error, sender);
      this.#onReturn();
    });
  }

  readonly #onReturn = (): void => {
    this.#active--;
    if (this.#queue.length > 0 || this.#current !== undefined || this.#isStopping) this.#pump();
  };

  #onHandlerError(error: unknown, sender: Sender<Out>): void {
    if (typeof error === "object" && error !== null && this.#known.has(error)) return;
    this.#handlerErrors++;
    this.#observers.tell("onHandlerError", error, sender.remoteAddr);
  }

  /** An error of `send()`, which was counted and reported: a handler that lets it through is not faulty. */
  #noteOwn(error: unknown): void {
    if (typeof error === "object" && error !== null) this.#known.add(error);
  }

  #drop(reason: DatagramDropReason, from: Address, size: number, cause?: unknown): void {
    this.#drops[reason]++;
    const drop: DatagramDrop = {
      remoteAddr: normalizeAddress(from),
      reason,
      size,
      ...(cause !== undefined && { cause }),
    };
    this.#observers.tell("onDrop", drop);
  }

  #setState(state: ServerState): void {
    this.#state = state;
    this.#observers.tell("onStateChange", state, this.addr);
  }

  #closeIfDone(): void {
    if (this.#state !== "draining" || this.#active > 0 || !this.#output.isIdle) return;
    if (this.#queue.length === 0 && this.#current === undefined) this.#close();
  }

  #close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#output.close();
    // A socket that is not bound yet is waited for by `ready`, and closed by then at the latest.
    this.#socket.close().then(() => this.#end(), () => this.#end());
  }

  #end(): void {
    if (this.#state === "closed") return;
    const wasBound = this.#isBound;
    this.#isClosing = true;
    clearTimeout(this.#shutdownTimer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#state = "closed";
    if (wasBound) this.#observers.tell("onStateChange", "closed", this.addr);
    else {
      this.#listening.promise.catch(() => {});
      this.#listening.reject(new Error("the server was stopped before it was bound"));
    }
    this.#finished.resolve();
  }
}
