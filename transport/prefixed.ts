import type { Address, Connection, ProxyHeader, TlsInfo } from "./connection.ts";

/** A connection whose first input was read by somebody else, who hands it on. */
export class PrefixedConnection implements Connection {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly tls?: TlsInfo;
  readonly proxy?: ProxyHeader;
  readonly reset?: () => void;
  readonly #inner: Connection;
  /** What comes before the input of the connection itself; a promise while the read of it is still outstanding. */
  #prefix: Uint8Array | Promise<Uint8Array> | undefined;

  constructor(inner: Connection, prefix: Uint8Array | Promise<Uint8Array> | undefined) {
    this.#inner = inner;
    this.remoteAddr = inner.remoteAddr;
    this.localAddr = inner.localAddr;
    if (inner.tls !== undefined) this.tls = inner.tls;
    if (inner.proxy !== undefined) this.proxy = inner.proxy;
    if (inner.reset !== undefined) this.reset = () => inner.reset!();
    this.#prefix = prefix;
    if (prefix instanceof Promise) prefix.catch(() => {}); // the next read reports it
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#prefix === undefined ? this.#inner.read(buffer) : this.#replay(buffer);
  }

  write(data: Uint8Array): Promise<number> {
    return this.#inner.write(data);
  }

  closeWrite(): Promise<void> {
    return this.#inner.closeWrite();
  }

  close(): void {
    this.#inner.close();
  }

  setNoDelay(noDelay?: boolean): void {
    this.#inner.setNoDelay?.(noDelay);
  }

  setKeepAlive(keepAlive?: boolean | number): void {
    this.#inner.setKeepAlive?.(keepAlive);
  }

  async #replay(buffer: Uint8Array): Promise<number | null> {
    const prefix = await this.#prefix!;
    const count = Math.min(prefix.length, buffer.length);
    buffer.set(prefix.subarray(0, count));
    this.#prefix = count < prefix.length ? prefix.subarray(count) : undefined;
    // Nothing came if the read met the end of input, which the connection tells again.
    return count > 0 ? count : await this.#inner.read(buffer);
  }
}
