/** One run of a worker, from the start of its thread to its end. */

import { clearTimeout, setTimeout } from "node:timers";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Address } from "../transport/connection.ts";
import { makeOpenConnections, resetConnections } from "../transport/node/open_connections.ts";
import type { FromWorker, ToWorker, WorkerFigures, WorkerStart } from "./messages.ts";
import type { WorkerEndReason } from "./observer.ts";
import { receivedError } from "./sent_error.ts";

const MIB = 1024 * 1024;
/** How long a thread that has nothing left to do may take to end, in milliseconds. */
const LEAVE_TIMEOUT = 1000;
/** How long a terminated thread may take to end, in milliseconds. */
const END_TIMEOUT = 5000;
/** The program of the thread, which has the same ending as this file when both are compiled. */
const PROGRAM = startable(
  new URL(`./thread.${import.meta.url.split(".").pop()!}`, import.meta.url),
);

/** How a run ends. Without a reason, the server in the worker was stopped by the main thread. */
export interface LifeEnd {
  readonly reason: WorkerEndReason | undefined;
  readonly cause: Error | undefined;
  /** Whether the thread cannot be ended, and keeps everything that it has open. */
  readonly isStuck?: boolean;
}

/** What a run reports. */
export interface LifeHooks {
  onListening(addr: Address): void;
  /** The worker has released a connection for which others wait. */
  onRoom(): void;
  /** The thread has ended. */
  onEnd(end: LifeEnd): void;
}

/** The start options of a thread. */
export interface LifeOptions {
  readonly start: Omit<WorkerStart, "port" | "connections">;
  readonly workerData: unknown;
  /** In bytes. */
  readonly maxHeap: number;
  /** In milliseconds. */
  readonly workerTimeout: number;
  /** Whether the thread keeps the process alive. */
  readonly isReferenced: boolean;
}

/** A thread that serves. */
export class RunningWorker {
  /** Its latest figures. */
  figures: WorkerFigures | undefined;
  readonly #hooks: LifeHooks;
  readonly #workerTimeout: number;
  readonly #thread: Worker;
  readonly #port: MessagePort;
  readonly #connections: Int32Array = makeOpenConnections();
  #end: LifeEnd | undefined;
  #hasExited = false;
  #isClosed = false;
  #isOver = false;
  #isTerminated = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isPinged = false;
  #silence = 0;

  constructor(options: LifeOptions, hooks: LifeHooks) {
    const { start, workerData, maxHeap, workerTimeout } = options;
    this.#hooks = hooks;
    this.#workerTimeout = workerTimeout;
    const { port1, port2 } = new MessageChannel();
    this.#thread = new Worker(PROGRAM, {
      workerData,
      name: `parley worker ${start.worker}`,
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(maxHeap / MIB) },
    });
    this.#thread.on("error", (error) => this.#onError(error));
    this.#thread.on("exit", (code) => {
      this.#end ??= { reason: "exit", cause: new Error(`the worker has exited with code ${code}`) };
      this.#hasExited = true;
      this.#onGone();
    });
    const message: WorkerStart = { ...start, port: port2, connections: this.#connections };
    this.#thread.postMessage(message, [port2]);
    if (!options.isReferenced) this.#thread.unref();
    this.#port = port1;
    port1.on("message", (message: FromWorker) => this.#onMessage(message));
    // Deno 2.9.6 emits "exit" as soon as terminate() is called, and cannot end a busy thread. The port of a thread is closed
    // only when the thread has ended.
    port1.on("close", () => {
      this.#isClosed = true;
      this.#onGone();
    });
    port1.unref(); // the thread itself keeps the process alive
  }

  post(message: ToWorker, transfer: MessagePort[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  /** Sends a ping, `elapsed` milliseconds after the last call. Terminates a thread that has not answered for too long. */
  ping(elapsed: number): void {
    if (this.#isPinged) {
      this.#silence += elapsed;
      if (this.#silence <= this.#workerTimeout) return;
      const cause = new Error(
        `the worker has not answered for ${this.#workerTimeout} ms (workerTimeout)`,
      );
      return this.terminate({ reason: "unresponsive", cause });
    }
    this.#isPinged = true;
    this.#silence = 0;
    this.post({ kind: "ping" });
  }

  /** Ends the thread at once, even if it is busy, if the runtime can. */
  terminate(end: LifeEnd): void {
    if (this.#isTerminated || this.#isOver) return;
    this.#isTerminated = true;
    this.#end ??= end;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onStuck(), END_TIMEOUT);
    this.#thread.terminate(); // in Deno, this may emit "exit", and so be the end
  }

  ref(): void {
    this.#thread.ref();
  }

  unref(): void {
    this.#thread.unref();
  }

  #onMessage(message: FromWorker): void {
    switch (message.kind) {
      case "listening":
        return this.#hooks.onListening(message.addr);
      case "room":
        return this.#hooks.onRoom();
      case "pong":
        this.#isPinged = false;
        this.figures = message.figures ?? this.figures;
        return;
      case "failed":
        return this.#leave({ reason: "error", cause: receivedError(message.error) });
      case "finished":
        this.figures = message.figures;
        return this.#leave({ reason: undefined, cause: undefined });
    }
  }

  /** The worker is done. Its module may have started something that keeps the thread alive. */
  #leave(end: LifeEnd): void {
    this.#end ??= end;
    this.#timer ??= setTimeout(() => this.terminate(end), LEAVE_TIMEOUT);
  }

  #onError(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    const isMemory = (cause as { code?: unknown }).code === "ERR_WORKER_OUT_OF_MEMORY";
    this.#end ??= { reason: isMemory ? "memory" : "error", cause };
  }

  #onGone(): void {
    if (!this.#hasExited || !this.#isClosed || this.#isOver) return;
    resetConnections(this.#connections);
    this.#over(this.#end!);
  }

  #onStuck(): void {
    if (!this.#isOver) this.#over({ ...this.#end!, isStuck: true });
  }

  #over(end: LifeEnd): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#port.close();
    this.#hooks.onEnd(end);
  }
}

/** In Deno, `node:worker_threads` refuses the URL of a program on the web, such as that of a package on JSR. */
function startable(program: URL): URL {
  if (program.protocol === "file:") return program;
  const code = `import ${JSON.stringify(program.href)};`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
