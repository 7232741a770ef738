/** The client side of datagrams: `connectDatagrams()`. */

import { lookup } from "node:dns/promises";
import { type Address, normalizeAddress } from "../_internal/address.ts";
import { checkDuration, checkInteger } from "../_internal/checks.ts";
import { checkOptions, NO_OPTIONS } from "../_internal/options.ts";
import { rejected } from "../_internal/promises.ts";
import { closedError } from "../_internal/system_errors.ts";
import { MORE } from "../codecs/codec.ts";
import { UnknownHostError } from "../errors.ts";
import { MessageQueue } from "../session/queue.ts";
import { Decoding } from "./decoding.ts";
import { encodeDatagram } from "./encoding.ts";
import {
  CONNECT_OPTIONS,
  type ConnectDatagramsOptions,
  type DatagramClient,
  type DatagramClientStats,
  RECEIVE_OPTIONS,
  type ReceiveOptions,
} from "./connect_options.ts";
import type { CommonDatagramOptions } from "./options.ts";
import { DatagramOutput } from "./output.ts";
import { owned, queuedSize } from "./queue.ts";
import { queueSettings } from "./settings.ts";
import type { DatagramEvents, DatagramSocket } from "./socket.ts";
import { isIp, openUdp } from "./udp.ts";
import { openUnix } from "./unix.ts";

/**
 * Opens a socket for datagrams to and from one peer. Nothing is sent: whether the peer exists shows only in its answers.
 *
 * @param options Whom to talk to.
 * @returns The client.
 * @throws {TypeError | RangeError} If an option is invalid.
 * @throws {UnknownHostError} If the host cannot be resolved.
 *
 * @example
 * ```ts
 * import { connectDatagrams, serveDatagrams } from "@parley/tcp/datagram";
 * import type { NetAddr } from "@parley/tcp";
 * import { jsonLines } from "@parley/tcp/codecs";
 * import { assertEquals } from "@std/assert";
 *
 * const codec = jsonLines<{ name: string }>();
 * await using server = serveDatagrams({ port: 0, codec }, ({ name }, sender) => sender.send({ name: `${name}!` }));
 * await using client = await connectDatagrams({ port: (server.addr as NetAddr).port, codec });
 * await client.send({ name: "rose" });
 * assertEquals(await client.receive({ timeout: 5000 }), { name: "rose!" });
 * ```
 */
export async function connectDatagrams<In = Uint8Array, Out = string | Uint8Array>(
  options: ConnectDatagramsOptions<In, Out>,
): Promise<DatagramClient<In, Out>> {
  checkOptions(options, CONNECT_OPTIONS);
  const { maxMessageSize } = queueSettings(options as CommonDatagramOptions<unknown, unknown>);
  const { signal } = options;
  signal?.throwIfAborted();
  const [socket, peer] = await openTo(options as AnyOptions, maxMessageSize);
  try {
    signal?.throwIfAborted();
    return new Client(socket, peer, options);
  } catch (error) {
    await socket.close();
    throw error;
  }
}

type AnyOptions = ConnectDatagramsOptions<unknown, unknown>;

/** Opens the socket of a client. */
async function openTo(
  options: AnyOptions,
  maxMessageSize: number,
): Promise<[socket: DatagramSocket, peer: Address]> {
  const { hostname = "127.0.0.1", port, path, localPath, socket, remoteAddr } = options;
  if (socket !== undefined) {
    if (remoteAddr === undefined) throw new TypeError("socket needs remoteAddr");
    await socket.ready;
    return [socket, remoteAddr];
  }
  if (path !== undefined) {
    if (localPath === undefined) throw new TypeError("path needs localPath, for the answers");
    return [openUnix(localPath, maxMessageSize), { transport: "unixpacket", path }];
  }
  const to = checkInteger("port", port, 1, 65535);
  const address = await addressOf(hostname, options.signal);
  const isIpv6 = address.includes(":");
  const { localHostname = isIpv6 ? "::" : "0.0.0.0", localPort = 0, ttl } = options;
  const udp = openUdp({
    hostname: localHostname,
    port: checkInteger("localPort", localPort, 0, 65535),
    maxMessageSize,
    ...(ttl !== undefined && { ttl }),
  });
  try {
    await udp.ready;
    const peer = { transport: "udp", hostname: address, port: to } as const;
    await udp.connect(peer);
    return [udp, peer];
  } catch (error) {
    await udp.close();
    throw error;
  }
}

/** The IP address of a host. */
async function addressOf(hostname: string, signal: AbortSignal | undefined): Promise<string> {
  if (isIp(hostname)) return hostname;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal!.reason);
  signal?.addEventListener("abort", onAbort);
  try {
    return (await Promise.race([lookup(hostname), aborted.promise])).address;
  } catch (cause) {
    signal?.throwIfAborted();
    throw new UnknownHostError(hostname, "the host is unknown", { cause });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** What a client has received: a message, or an error that a reader must see. */
type Received<In> = { message: In; size: number } | { error: unknown; size: number };

class Client<In, Out> implements DatagramClient<In, Out>, DatagramEvents {
  readonly #peer: Address;
  readonly #options: ConnectDatagramsOptions<In, Out>;
  readonly #socket: DatagramSocket;
  readonly #output: DatagramOutput;
  readonly #queue: MessageQueue<Received<In>>;
  readonly #maxMessageSize: number;
  readonly #closed = Promise.withResolvers<void>();
  #received = 0;
  #bytesRead = 0;
  #tooLarge = 0;
  #isClosing = false;
  #isClosed = false;
  #isAborted = false;

  constructor(socket: DatagramSocket, peer: Address, options: ConnectDatagramsOptions<In, Out>) {
    const settings = queueSettings(options as CommonDatagramOptions<unknown, unknown>);
    this.#peer = peer;
    this.#options = { ...options };
    this.#socket = socket;
    this.#maxMessageSize = settings.maxMessageSize;
    this.#queue = new MessageQueue({
      maxSize: settings.maxQueuedBytes,
      overflow: settings.overflow,
      sizeOf: ({ size }) => queuedSize(size),
    });
    this.#output = new DatagramOutput(socket, settings.maxBufferedOutput, {
      onError: () => {},
      onIdle: () => this.#closeIfDone(),
    });
    socket.start(this);
    options.signal?.addEventListener("abort", this.#onAbort);
  }

  get localAddr(): Address {
    return normalizeAddress(this.#socket.addr);
  }

  get remoteAddr(): Address {
    return normalizeAddress(this.#peer);
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  send(message: Out): Promise<void> {
    if (this.#isClosing) return rejected(closedError("client"));
    try {
      return this.#output.send(encodeDatagram(message, this.#options.codec), this.#peer);
    } catch (error) {
      return rejected(error);
    }
  }

  async receive(options: ReceiveOptions = NO_OPTIONS): Promise<In | undefined> {
    checkOptions(options, RECEIVE_OPTIONS);
    const { signal, timeout = Infinity } = options;
    const time = checkDuration("timeout", timeout);
    signal?.throwIfAborted();
    let isLate = false;
    const stop = () => void this.#queue.return();
    const timer = time === Infinity ? undefined : setTimeout(() => {
      isLate = true;
      stop();
    }, time);
    signal?.addEventListener("abort", stop);
    try {
      const { value, done } = await this.next();
      if (!done) return value;
      signal?.throwIfAborted();
      if (isLate) throw new DOMException(`no datagram within ${time} ms`, "TimeoutError");
      return undefined;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  async next(): Promise<IteratorResult<In, undefined>> {
    if (this.#isAborted) return { done: true, value: undefined };
    const { value, done } = await this.#queue.next();
    if (done) return { done, value };
    if ("error" in value) throw value.error;
    return { done: false, value: value.message };
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    return this.#queue.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  stats(): DatagramClientStats {
    return {
      received: this.#received,
      sent: this.#output.sent,
      bytesRead: this.#bytesRead,
      bytesWritten: this.#output.bytesWritten,
      dropped: this.#queue.dropped + this.#tooLarge,
      sendErrors: this.#output.errors,
    };
  }

  close(): Promise<void> {
    this.#isClosing = true;
    this.#closeIfDone();
    return this.closed;
  }

  abort(): void {
    this.#isClosing = this.#isAborted = true;
    this.#closeNow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  onMessage(message: Uint8Array, _from: Address): void {
    this.#received++;
    this.#bytesRead += message.length;
    if (message.length > this.#maxMessageSize) {
      this.#tooLarge++;
      return;
    }
    const { codec } = this.#options;
    const bytes = owned(message);
    if (codec === undefined) {
      this.#queue.push({ message: bytes as In, size: bytes.length });
      return;
    }
    try {
      const decoding = new Decoding(codec, bytes);
      for (let one = decoding.next(); one !== MORE; one = decoding.next()) {
        this.#queue.push({ message: one, size: bytes.length });
      }
    } catch (error) {
      this.onError(error);
    }
  }

  onError(error: unknown): void {
    this.#queue.push({ error, size: 0 });
  }

  readonly #onAbort = (): void => this.abort();

  #closeIfDone(): void {
    if (this.#isClosing && this.#output.isIdle) this.#closeNow();
  }

  #closeNow(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#output.close();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    const end = () => {
      this.#queue.close();
      this.#closed.resolve();
    };
    this.#socket.close().then(end, end);
  }
}
