/** TLS over any connection: both sides, certificates, STARTTLS. This module: a connection over TLS. */

import { systemErrors } from "../../_internal/system_error_classes.ts";
import { closeQuietly, resetQuietly } from "../../_internal/close_quietly.ts";
import { free } from "../../_internal/free.ts";
import type { Address, Connection, InputBorrower, ProxyHeader, TlsInfo } from "../connection.ts";
import { explainLive } from "./errors.ts";
import type { TlsRecords } from "./records.ts";

/** The most that one write takes: three full records, which the TLS layer of Deno 2.9.6 encrypts at once. */
const MAX_WRITE = 48 * 1024;
/** Encrypted bytes are read into the caller's buffer, unless it is smaller than this. */
const MIN_READ = 512;
/** How many encrypted bytes are borrowed at once, at least and at most. Small records come many at a time. */
const MIN_BORROWED = 4 * 1024;
const MAX_BORROWED = 64 * 1024;

/**
 * A connection over TLS, after the handshake.
 *
 * The raw connection is read only while a read waits. If it lends its input, that is decrypted in place. Otherwise it is
 * read into the caller's buffer, where the decrypted bytes then replace the encrypted ones. So an idle connection has no
 * buffer, and at most what one raw read has brought is kept. A write resolves once the raw connection has taken all of it.
 */
export class TlsConnection implements Connection, InputBorrower {
  readonly remoteAddr: Address;
  readonly localAddr: Address;
  readonly tls: TlsInfo;
  readonly proxy?: ProxyHeader;
  readonly readLent?: (size: number, borrower: InputBorrower) => void;
  readonly #raw: Connection;
  readonly #records: TlsRecords;
  #reader: PromiseWithResolvers<number | null> | undefined;
  #buffer: Uint8Array | undefined;
  #borrower: InputBorrower | undefined;
  /** The largest number of bytes that are lent. */
  #lentSize = 0;
  /** Whether a raw read waits, and the buffer that it fills if its input is not borrowed. */
  #isReadingRaw = false;
  #rawBuffer: Uint8Array | undefined;
  #readFault: unknown;
  #hasFailed = false;
  #writer: PromiseWithResolvers<number> | undefined;
  #writeCount = 0;
  #writeFault: unknown;
  /** The encrypted bytes that are being written. */
  #output: Uint8Array | undefined;
  /** The encrypted bytes that follow. */
  #outputs: Uint8Array[] | undefined;
  /** The callbacks for the promises of raw reads and writes, which are made for the first one. */
  #readSettling: [(count: number | null) => void, (error: unknown) => void] | undefined;
  #writeSettling: [(count: number) => void, (error: unknown) => void] | undefined;
  #halfClosing: PromiseWithResolvers<void> | undefined;
  #isHalfClosed = false;
  #isClosed = false;

  /**
   * @param raw The connection under TLS.
   * @param records The TLS side, after the handshake.
   * @param tls What the handshake has negotiated.
   */
  constructor(raw: Connection, records: TlsRecords, tls: TlsInfo) {
    this.remoteAddr = raw.remoteAddr;
    this.localAddr = raw.localAddr;
    this.tls = tls;
    if (raw.proxy !== undefined) this.proxy = raw.proxy;
    if (raw.readLent !== undefined) this.readLent = this.#lend;
    this.#raw = raw;
    this.#records = records;
    this.#answer();
  }

  get held(): number {
    let held = this.#records.held + (this.#raw.held ?? 0);
    if (this.#output !== undefined) held += this.#output.buffer.byteLength;
    for (const { buffer } of this.#outputs ?? []) held += buffer.byteLength;
    return held;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    const misuse = this.#misuse();
    if (misuse !== undefined) return Promise.reject(misuse);
    const { promise } = this.#reader = Promise.withResolvers();
    this.#buffer = buffer;
    if (this.#canSettle) this.#settleRead();
    else this.#readRaw();
    return promise;
  }

  #lend(size: number, borrower: InputBorrower): void {
    const misuse = this.#misuse();
    if (misuse !== undefined) return queueMicrotask(() => borrower.onEnd(misuse));
    this.#borrower = borrower;
    this.#lentSize = size;
    if (this.#canSettle) queueMicrotask(() => this.#settleRead());
    else this.#readRaw();
  }

  write(data: Uint8Array): Promise<number> {
    const taken = this.writeNow(data);
    return typeof taken === "number" ? Promise.resolve(taken) : taken;
  }

  writeNow(data: Uint8Array): number | Promise<number> {
    if (this.#isClosed) return Promise.reject(new systemErrors.BadResource(CLOSED));
    if (this.#writer !== undefined) {
      return Promise.reject(new systemErrors.Busy("a write waits already"));
    }
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    if (this.#halfClosing !== undefined) {
      return Promise.reject(new systemErrors.BrokenPipe("cannot write after closeWrite()"));
    }
    if (data.length === 0) return 0;
    const chunk = data.length > MAX_WRITE ? data.subarray(0, MAX_WRITE) : data;
    const encrypted = this.#records.send(chunk);
    // Once the keys of TLS 1.2 are used up, the layer encrypts nothing and sends close_notify.
    const isUsedUp = encrypted.length <= chunk.length;
    this.#send(encrypted);
    if (isUsedUp) {
      this.#failWrites(new systemErrors.ConnectionAborted("the keys of TLS are used up"));
    }
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    if (this.#output === undefined) return chunk.length;
    this.#writeCount = chunk.length;
    this.#writer = Promise.withResolvers();
    return this.#writer.promise;
  }

  /** Sends close_notify (RFC 8446 §6.1), then half-closes the raw connection. */
  closeWrite(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new systemErrors.BadResource(CLOSED));
    if (this.#halfClosing !== undefined) return this.#halfClosing.promise;
    if (this.#writeFault !== undefined) return Promise.reject(this.#writeFault);
    const { promise } = this.#halfClosing = Promise.withResolvers();
    this.#send(this.#records.end());
    if (this.#output === undefined && this.#writeFault === undefined) this.#onAllWritten();
    return promise;
  }

  /** Sends no close_notify. Without `closeWrite()` before, the peer can tell that data may be missing. */
  close(): void {
    this.#close(closeQuietly);
  }

  /** Closes, and resets the raw connection if it can. */
  reset(): void {
    this.#close(resetQuietly);
  }

  #close(closeRaw: (raw: Connection) => void): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#records.destroy();
    closeRaw(this.#raw);
    this.#settleClosed();
  }

  setNoDelay(noDelay?: boolean): void {
    this.#raw.setNoDelay?.(noDelay);
  }

  setKeepAlive(keepAlive?: boolean | number): void {
    this.#raw.setKeepAlive?.(keepAlive);
  }

  /** Why a read cannot begin, if it cannot. */
  #misuse(): Error | undefined {
    if (this.#isClosed) return new systemErrors.BadResource(CLOSED);
    if (this.#reader !== undefined || this.#borrower !== undefined) {
      return new systemErrors.Busy("a read waits already");
    }
  }

  /** Whether there is data, an error or the end for a read. */
  get #canSettle(): boolean {
    return this.#records.hasPlaintext || this.#hasFailed || this.#records.hasEnded;
  }

  /** Settles the read that waits, if there is one. */
  #settleRead(): void {
    const reader = this.#reader;
    const borrower = this.#borrower;
    if (this.#isClosed) return; // close() settles it
    const buffer = this.#buffer;
    this.#reader = this.#buffer = this.#borrower = undefined;
    if (this.#records.hasPlaintext) {
      if (borrower !== undefined) {
        borrower.onInput(this.#records.lend(this.#lentSize));
        this.#records.release();
      } else reader?.resolve(this.#records.take(buffer!));
      return;
    }
    const fault = this.#readFault;
    this.#readFault = undefined;
    if (borrower !== undefined) borrower.onEnd(fault);
    else if (fault === undefined) reader?.resolve(null);
    else reader?.reject(fault);
  }

  #readRaw(): void {
    const raw = this.#raw;
    const buffer = this.#buffer;
    const size = buffer?.length ?? this.#lentSize;
    this.#isReadingRaw = true;
    try {
      if (raw.readLent !== undefined) {
        raw.readLent(Math.min(Math.max(size, MIN_BORROWED), MAX_BORROWED), this);
        return;
      }
      this.#rawBuffer = size < MIN_READ ? new Uint8Array(MIN_READ) : buffer!;
      this.#readSettling ??= [(count) => this.#onRead(count), (error) => this.onEnd(error)];
      raw.read(this.#rawBuffer).then(this.#readSettling[0], this.#readSettling[1]);
    } catch (error) {
      this.onEnd(error);
    }
  }

  #onRead(count: number | null): void {
    const buffer = this.#rawBuffer!;
    this.#rawBuffer = undefined;
    if (count === null) this.onEnd();
    else this.onInput(buffer.subarray(0, count));
  }

  /** Called by the raw connection, with encrypted bytes. */
  onInput(encrypted: Uint8Array): void {
    this.#isReadingRaw = false;
    if (this.#isClosed) return this.#settleClosed();
    this.#records.receive(encrypted);
    // An answer to what came with data can wait for the next output. It is a change of keys (RFC 8446 §4.6.3).
    const { hasPlaintext, hasEnded, fault } = this.#records;
    if (!hasPlaintext || hasEnded || fault !== undefined) this.#answer();
    if (this.#canSettle) this.#settleRead();
    else this.#readRaw();
  }

  /** Called by the raw connection, at the end of its input. */
  onEnd(error: unknown = new systemErrors.UnexpectedEof(CUT)): void {
    this.#isReadingRaw = false;
    this.#rawBuffer = undefined;
    if (this.#isClosed) return this.#settleClosed();
    this.#failReads(error);
    this.#settleRead();
  }

  /** Sends what TLS requires, such as an alert, and fails if TLS has failed. */
  #answer(): void {
    this.#send(this.#records.drain());
    const { fault } = this.#records;
    if (fault === undefined) return;
    const error = explainLive(this.remoteAddr, fault);
    this.#failReads(error);
    this.#failWrites(error);
  }

  /** Fails reads, after those that take the data that came before. */
  #failReads(error: unknown): void {
    this.#hasFailed = true;
    this.#readFault = error;
  }

  /** Writes encrypted bytes, after those that are being written. */
  #send(encrypted: Uint8Array): void {
    if (encrypted.length === 0 || this.#writeFault !== undefined) return;
    if (this.#output === undefined) this.#write(encrypted);
    else (this.#outputs ??= []).push(encrypted);
  }

  /** Writes. If the raw connection takes all bytes at once, `#output` is `undefined` after it. */
  #write(bytes: Uint8Array): void {
    const raw = this.#raw;
    let rest = bytes;
    try {
      for (;;) {
        const taken = raw.writeNow === undefined ? raw.write(rest) : raw.writeNow(rest);
        if (typeof taken !== "number") {
          this.#output = rest;
          this.#writeSettling ??= [
            (count) => this.#onWritten(count),
            (error) => this.#onWriteError(error),
          ];
          taken.then(this.#writeSettling[0], this.#writeSettling[1]);
          return;
        }
        if (taken === rest.length) return free(bytes);
        if (taken === 0) throw noBytes();
        rest = rest.subarray(taken);
      }
    } catch (error) {
      this.#onWriteError(error);
    }
  }

  #onWritten(count: number): void {
    const bytes = this.#output!;
    this.#output = undefined;
    if (this.#isClosed || count === bytes.length) free(bytes);
    if (this.#isClosed) return this.#settleClosed();
    if (count === 0) return this.#onWriteError(noBytes());
    if (count < bytes.length) this.#write(bytes.subarray(count));
    while (this.#output === undefined && this.#outputs !== undefined) {
      const next = this.#outputs.shift();
      if (next === undefined) this.#outputs = undefined;
      else this.#write(next);
    }
    if (this.#output === undefined) this.#onAllWritten();
  }

  #onAllWritten(): void {
    this.#writer?.resolve(this.#writeCount);
    this.#writer = undefined;
    if (this.#halfClosing !== undefined) this.#halfClose(this.#halfClosing);
  }

  #onWriteError(error: unknown): void {
    if (this.#output !== undefined) free(this.#output);
    this.#output = this.#outputs = undefined;
    if (this.#isClosed) return this.#settleClosed();
    this.#failWrites(error);
  }

  #failWrites(error: unknown): void {
    this.#writeFault ??= error;
    this.#writer?.reject(error);
    this.#writer = undefined;
    if (!this.#isHalfClosed) this.#halfClosing?.reject(error);
  }

  #halfClose({ resolve, reject }: PromiseWithResolvers<void>): void {
    if (this.#isHalfClosed) return;
    this.#isHalfClosed = true;
    this.#raw.closeWrite().then(resolve, reject);
  }

  /** Settles what waits, once the connection is closed and no raw operation holds the descriptor any more. */
  #settleClosed(): void {
    if (this.#isReadingRaw || this.#output !== undefined) return;
    const error = new systemErrors.Interrupted("the connection was closed");
    const borrower = this.#borrower;
    this.#borrower = undefined;
    if (borrower !== undefined) queueMicrotask(() => borrower.onEnd(error));
    this.#reader?.reject(error);
    this.#writer?.reject(error);
    if (!this.#isHalfClosed) this.#halfClosing?.reject(error);
  }
}

function noBytes(): Error {
  return new systemErrors.WriteZero("the connection took no bytes");
}

const CLOSED = "the connection is closed";
export const CUT = "the connection was cut: it ended without close_notify (RFC 8446 §6.1)";
