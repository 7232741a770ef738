import { closeSync, lstatSync, openSync, renameSync, rmSync, write as writeTo } from "node:fs";
import { concat } from "../_internal/concat.ts";
import { fileHeader, type Packet, packetBlock, statisticsBlock } from "./pcapng.ts";

const APPLICATION = "Parley";
const ABOUT = "What Parley's sessions have read and written: the bytes are those of the " +
  "connections, within TLS where there is TLS; the headers of IP and TCP are made up";
/** Only the owner may read what clients send. */
const MODE = 0o600;

/** Limits of a file. All sizes are in bytes. */
export interface FileLimits {
  maxFileSize: number;
  maxFiles: number;
  maxQueue: number;
}

/** What was written, and what was not. */
export interface FileStats {
  packets: number;
  bytesWritten: number;
  droppedPackets: number;
  files: number;
}

/**
 * Writes packets into a file, and begins a new one when it is full.
 *
 * Packets wait in a queue while the file is written. What finds it full is dropped, so that a slow disk makes nobody wait.
 */
export class CaptureFile {
  readonly stats: FileStats = { packets: 0, bytesWritten: 0, droppedPackets: 0, files: 0 };
  readonly #path: string;
  readonly #limits: FileLimits;
  readonly #onError: (error: unknown) => void;
  /** Wall clock minus `performance.now()`, so that times never go back. */
  readonly #epoch: number = Date.now() - performance.now();
  #descriptor: number;
  /** The size of the current file. */
  #size = 0;
  #queue: Uint8Array[] = [];
  /** How many bytes are in the queue or being written. */
  #waiting = 0;
  #writing: Promise<void> | undefined;
  #isClosed = false;

  /**
   * Opens the file. Existing ones are renamed, as when it is full.
   *
   * @param onError Called once if the file cannot be written. Nothing more is written then.
   */
  constructor(path: string, limits: FileLimits, onError: (error: unknown) => void) {
    this.#path = path;
    this.#limits = limits;
    this.#onError = onError;
    this.#descriptor = this.#open();
  }

  /** Writes a packet, soon. Returns whether there is room for it. */
  write(packet: Omit<Packet, "time">): boolean {
    if (this.#isClosed) return false;
    const most = packet.headers.length + packet.payload.length;
    if (this.#waiting + most > this.#limits.maxQueue) {
      this.stats.droppedPackets++;
      return false;
    }
    this.stats.packets++;
    this.#push(packetBlock({ ...packet, time: this.#now() }));
    return true;
  }

  /** Writes what is in the queue, and closes the file. */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      const { packets, droppedPackets } = this.stats;
      const all = packets + droppedPackets;
      this.#push(statisticsBlock(this.#now(), all, droppedPackets));
      this.#isClosed = true;
    }
    await this.#writing;
    if (this.#descriptor !== -1) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  #now(): number {
    return Math.round((this.#epoch + performance.now()) * 1000);
  }

  #push(block: Uint8Array): void {
    this.#queue.push(block);
    this.#waiting += block.length;
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#queue.length > 0) await this.#writeSome();
    } catch (error) {
      this.#isClosed = true;
      this.#queue = [];
      this.#onError(error);
    }
    this.#writing = undefined;
  }

  /** Writes the blocks that fit into the file; at least one, if it is a new file. */
  async #writeSome(): Promise<void> {
    const { maxFileSize } = this.#limits;
    if (this.#size + this.#queue[0]!.length > maxFileSize && this.#size > 0) {
      closeSync(this.#descriptor);
      this.#descriptor = -1;
      this.#descriptor = this.#open();
    }
    let room = maxFileSize - this.#size;
    let count = 0;
    do room -= this.#queue[count++]!.length; while (
      count < this.#queue.length && this.#queue[count]!.length <= room
    );
    const bytes = concat(this.#queue.splice(0, count));
    for (let rest = bytes; rest.length > 0;) {
      const written = await writeSome(this.#descriptor, rest);
      rest = rest.subarray(written);
    }
    this.#size += bytes.length;
    this.#waiting -= bytes.length;
    this.stats.bytesWritten += bytes.length;
  }

  /** Makes room for a new file, and begins it. */
  #open(): number {
    const { maxFiles } = this.#limits;
    for (let n = maxFiles - 1; n >= 0; n--) {
      const name = nameOf(this.#path, n);
      const found = lstatSync(name, { throwIfNoEntry: false });
      if (found === undefined) continue;
      if (!found.isFile()) throw new Error(`${name} is not a regular file`);
      if (n === maxFiles - 1) rmSync(name);
      else renameSync(name, nameOf(this.#path, n + 1));
    }
    // `x` fails if there is a file: nobody may have put a link there that leads elsewhere.
    const descriptor = openSync(this.#path, "wx", MODE);
    this.stats.files++;
    this.#size = 0;
    this.#queue.unshift(fileHeader(APPLICATION, ABOUT));
    this.#waiting += this.#queue[0]!.length;
    return descriptor;
  }
}

/** The name of a file that was full `n` files ago. */
function nameOf(path: string, n: number): string {
  return n === 0 ? path : `${path}.${n}`;
}

function writeSome(descriptor: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    writeTo(
      descriptor,
      bytes,
      (error, written) => error === null ? resolve(written) : reject(error),
    );
  });
}
