import type { Address, Connection, InputBorrower, ProxyHeader, TlsInfo } from "./connection.ts";

/** A connection whose first input was read already, and is replayed. */
export class PrefixedConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly tls?: TlsInfo;
  readonly proxy?: ProxyHeader;
  readonly reset?: () => void;
  readonly readLent?: (size: number, borrower: InputBorrower) => void;
  readonly writeNow?: (data: Uint8Array) => number | Promise<number>;
  /** The connection below. */
  protected readonly inner: Connection;
  /** What comes before the input of the connection itself; a promise while the read of it is still outstanding. */
  #prefix: Uint8Array | Promise<Uint8Array> | undefined;

  constructor(inner: Connection, prefix: Uint8Array | Promise<Uint8Array> | undefined) {
    this.inner = inner;
    this.remoteAddr = inner.remoteAddr;
    this.localAddr = inner.localAddr;
    if (inner.tls !== undefined) this.tls = inner.tls;
    if (inner.proxy !== undefined) this.proxy = inner.proxy;
    if (inner.reset !== undefined) this.reset = () => inner.reset!();
    const { readLent, writeNow } = inner;
    if (readLent !== undefined) {
      this.readLent = (size, borrower) =>
        this.#prefix === undefined
          ? readLent.call(inner, size, borrower)
          : void this.#lend(size, borrower);
    }
    if (writeNow !== undefined) this.writeNow = (data) => writeNow.call(inner, data);
    this.#prefix = prefix;
    if (prefix instanceof Promise) prefix.catch(() => {}); // the next read reports it
  }

  get held(): number {
    const prefix = this.#prefix instanceof Uint8Array ? this.#prefix.length : 0;
    return prefix + (this.inner.held ?? 0);
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#prefix === undefined ? this.inner.read(buffer) : this.#replay(buffer);
  }

  write(data: Uint8Array): Promise<number> {
    return this.inner.write(data);
  }

  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }

  close(): void {
    this.inner.close();
  }

  setNoDelay(noDelay?: boolean): void {
    this.inner.setNoDelay?.(noDelay);
  }

  setKeepAlive(keepAlive?: boolean | number): void {
    this.inner.setKeepAlive?.(keepAlive);
  }

  async #replay(buffer: Uint8Array): Promise<number | null> {
    const bytes = await this.#take(buffer.length);
    buffer.set(bytes);
    // The prefix is empty if its read met the end of input, which the connection reports again.
    return bytes.length > 0 ? bytes.length : await this.inner.read(buffer);
  }

  async #lend(size: number, borrower: InputBorrower): Promise<void> {
    let bytes;
    try {
      bytes = await this.#take(size);
    } catch (error) {
      return borrower.onEnd(error);
    }
    if (bytes.length > 0) borrower.onInput(bytes);
    else this.inner.readLent!(size, borrower);
  }

  /** Takes up to `size` bytes of the prefix. */
  async #take(size: number): Promise<Uint8Array> {
    const prefix = await this.#prefix!;
    this.#prefix = size < prefix.length ? prefix.subarray(size) : undefined;
    return prefix.subarray(0, size);
  }
}
