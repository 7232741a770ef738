/** What `serveWorkers()` makes of its options. */

import { checkDuration, checkInteger, shown } from "../_internal/checks.ts";
import { Admission, type AdmissionHooks } from "../serve/admission.ts";
import { DEFAULT_BUFFER_MEMORY, MIN_BUFFER_MEMORY } from "../serve/memory.ts";
import type { ServeOptions } from "../serve/options.ts";
import { stagesOf } from "../serve/stages.ts";
import { noStats } from "../serve/stats.ts";
import { resolveSessionOptions } from "../session/options.ts";
import type { TlsAcceptor } from "../transport/tls/server.ts";
import { logWorkers, printWorkerEnds, type WorkersObserver } from "./observer.ts";
import { checkSendable, MAIN_OPTIONS, MAX_WORKERS, type ServeWorkersOptions } from "./options.ts";

export function moduleUrl(module: unknown): string {
  if (module instanceof URL) return module.href;
  if (typeof module !== "string") {
    throw new TypeError(`module must be a URL, got ${shown(module)}`);
  }
  if (URL.canParse(module)) return module;
  throw new TypeError(
    `module must be an absolute URL such as import.meta.resolve("./service.ts"), got ${
      JSON.stringify(module)
    }`,
  );
}

export function workerCount({ workers = "auto" }: ServeWorkersOptions): number {
  if (workers !== "auto") return workers;
  return Math.min(MAX_WORKERS, globalThis.navigator?.hardwareConcurrency ?? 1);
}

/** The options that workers get, as they are now. */
export function sentOptions(options: ServeWorkersOptions): Record<string, unknown> {
  const entries = Object.entries(options).filter(([name, value]) =>
    value !== undefined && !Object.hasOwn(MAIN_OPTIONS, name)
  );
  for (const [name, value] of entries) checkSendable(name, value);
  return structuredClone(Object.fromEntries(entries));
}

/** The part of `maxBufferMemory` for each worker, so that together they never hold more. */
export function memoryShare({ maxBufferMemory }: ServeWorkersOptions, workers: number): number {
  if (maxBufferMemory === undefined) {
    return Math.max(MIN_BUFFER_MEMORY, Math.floor(DEFAULT_BUFFER_MEMORY / workers));
  }
  if (maxBufferMemory === Infinity) return Infinity;
  checkInteger("maxBufferMemory", maxBufferMemory, workers * MIN_BUFFER_MEMORY, 2 ** 50);
  return Math.floor(maxBufferMemory / workers);
}

/** Throws the errors that the servers in the workers would throw. */
export function checkServing(options: ServeWorkersOptions, tls: TlsAcceptor | undefined): void {
  const served = options as ServeOptions;
  resolveSessionOptions(served);
  checkDuration("shutdownTimeout", served.shutdownTimeout ?? Infinity);
  new Admission(served, {} as AdmissionHooks, stagesOf(served, tls, noStats()));
}

/** The observers of a server. If none is told how workers die, one prints it. */
export function observersOf({ observer, logger, onError }: ServeWorkersOptions): WorkersObserver[] {
  const observers: WorkersObserver[] = [];
  if (observer !== undefined) observers.push(observer);
  if (logger !== undefined) observers.push(logWorkers(logger));
  if (onError !== undefined) observers.push({ onWorkerEnd: (_, { cause }) => onError(cause) });
  if (!observers.some(({ onWorkerEnd }) => onWorkerEnd !== undefined)) {
    observers.push(printWorkerEnds);
  }
  return observers;
}
