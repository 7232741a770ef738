import process from "node:process";

/** A handle below the streams of `node:net`: the members that are used here, which are the same in Deno 2.9 and Node. */
export interface StreamHandle {
  /** Called when input has arrived in the buffer of `useUserBuffer()`. */
  onread: (this: StreamHandle) => void;
  /** The owner of the input. This field is our own. */
  reader: { onInput(): void };
  /** Its descriptor, where connections are noted. This field is our own. */
  descriptor?: number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** Writes as much as possible at once, and the rest asynchronously. */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  shutdown(request: Request): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  /** Only on Deno: returns a new descriptor of the same socket, and uses a descriptor. */
  fdForIpc?(): number;
  open?(descriptor: number): number;
}

/** A TCP handle. */
export interface TcpHandle extends StreamHandle {
  setNoDelay(noDelay: boolean): number;
  setKeepAlive(keepAlive: boolean, delaySeconds: number): number;
  /** Closes with a reset. */
  reset(onClosed?: () => void): number;
  getpeername(name: SocketName): number;
  getsockname(name: SocketName): number;
}

/** A handle that listens. */
export interface ListenHandle extends StreamHandle {
  onconnection: (this: ListenHandle, status: number, client?: StreamHandle) => void;
  listen(backlog: number): number;
  /** Only on Deno: accepts a connection. Node has accepted it before it calls back. */
  accept?(client: StreamHandle): number;
}

/** A TCP handle for listening. */
export interface TcpListenHandle extends ListenHandle, TcpHandle {
  bind(address: string, port: number, flags: number): number;
  bind6(address: string, port: number, flags: number): number;
  /** Only on Deno, where `bind()` takes no flags. */
  bindWithFlags?(address: string, port: number, flags: number): number;
}

/** A handle of a Unix socket for listening. */
export interface PipeListenHandle extends ListenHandle {
  bind(path: string): number;
}

/** The address that `getpeername()` fills in. */
export interface SocketName {
  address?: string;
  port?: number;
}

/** An asynchronous operation of a handle. */
export interface Request {
  oncomplete: (this: this, status: number) => void;
}

/** An asynchronous write. Both fields are our own. */
export interface WriteRequest extends Request {
  writer?: { onWritten(status: number, bytes: Uint8Array): void } | undefined;
  /** Keeps the bytes alive: Node does not copy them. */
  bytes?: Uint8Array | undefined;
}

/** The handles of a runtime, and what belongs to them. */
export interface Handles {
  readonly Tcp: new (type: number) => TcpListenHandle;
  readonly Pipe: new (type: number) => PipeListenHandle;
  readonly WriteRequest: new () => WriteRequest;
  readonly ShutdownRequest: new () => Request;
  /** The numbers that handles pass to their callbacks. */
  readonly state: Int32Array;
  /** The indexes in `state`: of the number of bytes read, or the status; and of whether the last write is asynchronous. */
  readonly readCount: number;
  readonly isAsync: number;
  /** Whether these are the handles of Deno, which differ in some points. */
  readonly isDeno: boolean;
  /** The flag for SO_REUSEPORT, if it is supported. */
  readonly reusePort: number | undefined;
  /** The shared buffer, for reading: of input that is lent, or that arrives while no read waits. */
  readonly room: PrefixViews;
  /** The shared buffer, for the bytes that were read. */
  readonly chunk: PrefixViews;
  /** A request that can be used again. Only an asynchronous write uses one up. */
  spareRequest: WriteRequest | undefined;
  /** Where connections are noted: called after one was opened, and before it is closed. */
  onOpen?: (descriptor: number, remotePort: number) => void;
  onClose?: (descriptor: number) => void;
  /** Handles whose descriptors belong to others. While they are referenced, they are not closed. */
  foreign?: Set<TcpHandle>;
}

/** Views of the first bytes of a buffer. Often the next view is as long as the last, and a new one would take 0.1 µs. */
export class PrefixViews {
  readonly whole: Uint8Array;
  #last: Uint8Array;

  constructor(buffer: Uint8Array) {
    this.whole = this.#last = buffer;
  }

  first(length: number): Uint8Array {
    if (this.#last.length !== length) this.#last = this.whole.subarray(0, length);
    return this.#last;
  }
}

/** The size of the buffer that connections share. */
const SHARED = 64 * 1024;
/** The types of handles, for the constructors. */
export const SOCKET = 0;
export const SERVER = 1;
/** The status at the end of input, in place of a number of bytes. */
export const END_OF_INPUT = -4095;

const COMMON = ["readStart", "readStop", "useUserBuffer", "writeBuffer", "shutdown", "close"];
const LISTENING = ["bind", "listen", "ref", "unref"];
const TCP = ["bind6", "setNoDelay", "setKeepAlive", "reset", "getpeername", "getsockname"];
const DENO = ["accept", "open", "fdForIpc"];

/**
 * Returns the handles of this runtime, if they exist and have all members that are used. None of this is public API, and it
 * was rewritten more than once.
 */
function findHandles(): Handles | undefined {
  try {
    const { binding } = process as unknown as { binding(name: string): Record<string, unknown> };
    const tcp = binding("tcp_wrap");
    const pipe = binding("pipe_wrap");
    const stream = binding("stream_wrap");
    const isDeno = has(tcp.TCP, ["accept"]);
    const methods = [...COMMON, ...LISTENING, ...(isDeno ? DENO : [])];
    const isWhole = has(tcp.TCP, [...methods, ...TCP]) && has(pipe.Pipe, methods) &&
      has(stream.WriteWrap, []) && has(stream.ShutdownWrap, []) &&
      stream.streamBaseState instanceof Int32Array &&
      Number.isInteger(stream.kReadBytesOrError) && Number.isInteger(stream.kLastWriteWasAsync);
    if (!isWhole) return undefined;
    const shared = new Uint8Array(SHARED);
    return {
      Tcp: tcp.TCP,
      Pipe: pipe.Pipe,
      WriteRequest: stream.WriteWrap,
      ShutdownRequest: stream.ShutdownWrap,
      state: stream.streamBaseState,
      readCount: stream.kReadBytesOrError,
      isAsync: stream.kLastWriteWasAsync,
      reusePort: (tcp.constants as Record<string, number>).UV_TCP_REUSEPORT,
      isDeno,
      room: new PrefixViews(shared),
      chunk: new PrefixViews(shared),
    } as Handles;
  } catch { // this runtime has no such binding
    return undefined;
  }
}

function has(type: unknown, methods: readonly string[]): boolean {
  return typeof type === "function" &&
    methods.every((name) => typeof type.prototype[name] === "function");
}

/** The handles of this thread, found once. It is a property so that tests can turn them off. */
export const runtime: { handles(): Handles | undefined } = {
  handles: () => {
    const found = findHandles();
    runtime.handles = () => found;
    return found;
  },
};
