import process from "node:process";

/** One end of a stream below the streams of `node:net`: what is used of it, the same in Deno 2.9 and Node. */
export interface StreamHandle {
  /** Called when something has come, which is in the buffer of `useUserBuffer()`. */
  onread: (this: StreamHandle) => void;
  /** The owner of the input: our own field. */
  reader: { onInput(): void };
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** Writes what can be written at once, and the rest by itself. */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  shutdown(request: Request): number;
  close(callback?: () => void): void;
  ref(): void;
  unref(): void;
  /** Deno's: a new descriptor of the same socket, and the use of one. */
  fdForIpc?(): number;
  open?(descriptor: number): number;
}

/** A handle of TCP. */
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
  /** Deno leaves it to the listener to take a connection; Node has done so before it calls back. */
  accept?(client: StreamHandle): number;
}

/** A handle of TCP that is to listen. */
export interface TcpListenHandle extends ListenHandle, TcpHandle {
  bind(address: string, port: number, flags: number): number;
  bind6(address: string, port: number, flags: number): number;
  /** Deno's, where `bind()` takes no flags. */
  bindWithFlags?(address: string, port: number, flags: number): number;
}

/** A handle of a Unix socket that is to listen. */
export interface PipeListenHandle extends ListenHandle {
  bind(path: string): number;
}

/** What `getpeername()` fills in. */
export interface SocketName {
  address?: string;
  port?: number;
}

/** Something that a handle is asked for, and tells the end of. */
export interface Request {
  oncomplete: (this: this, status: number) => void;
}

/** A write that is waited for: our own fields. */
export interface WriteRequest extends Request {
  writer?: { onWritten(status: number): void } | undefined;
  /** Node does not copy what it has not written yet. */
  bytes?: Uint8Array | undefined;
}

/** What handles are made of. */
export interface Handles {
  readonly Tcp: new (type: number) => TcpListenHandle;
  readonly Pipe: new (type: number) => PipeListenHandle;
  readonly WriteRequest: new () => WriteRequest;
  readonly ShutdownRequest: new () => Request;
  /** Where handles leave figures for their callbacks. */
  readonly state: Int32Array;
  /** Where in it: the number of bytes read, or the status; and whether the last write has to be waited for. */
  readonly readCount: number;
  readonly isAsync: number;
  /** Whether these are Deno's, which differ in some points. */
  readonly isDeno: boolean;
  /** The flag of SO_REUSEPORT, where it can be had. */
  readonly reusePort: number | undefined;
  /** The beginning of the one buffer that input is read into which is lent, or which comes while no read waits. */
  readonly room: Beginning;
  /** The same, for what was read. */
  readonly chunk: Beginning;
  /** A request is used up only by a write that has to be waited for. */
  spareRequest: WriteRequest | undefined;
}

/** Views of the beginning of a buffer. Often the next is as long as the last, and a new one would take 0.1 µs. */
export class Beginning {
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
/** The types of handles, as the constructors take them. */
export const SOCKET = 0;
export const SERVER = 1;
/** What a handle gives in place of a count at the end of input. */
export const END_OF_INPUT = -4095;

const COMMON = ["readStart", "readStop", "useUserBuffer", "writeBuffer", "shutdown", "close"];
const LISTENING = ["bind", "listen", "ref", "unref"];
const TCP = ["bind6", "setNoDelay", "setKeepAlive", "reset", "getpeername", "getsockname"];
const DENO = ["accept", "open", "fdForIpc"];

/**
 * The handles of this runtime, where they can be had and have all that is used of them: none of this is public, and
 * it was rewritten more than once.
 */
function look(): Handles | undefined {
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
      room: new Beginning(shared),
      chunk: new Beginning(shared),
    } as Handles;
  } catch { // there is no such thing
    return undefined;
  }
}

function has(type: unknown, methods: readonly string[]): boolean {
  return typeof type === "function" &&
    methods.every((name) => typeof type.prototype[name] === "function");
}

/** The handles of this thread, looked for once. A property, so that tests can do without. */
export const runtime: { handles(): Handles | undefined } = {
  handles: () => {
    const found = look();
    runtime.handles = () => found;
    return found;
  },
};
