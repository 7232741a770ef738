/** The number of this thread, if it is a worker. */
let number: number | undefined;

/** Notes the number of this thread, before its module is loaded. */
export function setWorkerNumber(worker: number): void {
  number = worker;
}

/**
 * The number of the worker in which a module of `serveWorkers()` is loaded: the one that `stats()`, metrics, the observer
 * and the admin server have. A worker that is started in the place of one that has died has the same number. So a module
 * can name its log lines, or a file of its own, by it.
 *
 * @returns The number, from 0. `undefined` if this thread is not a worker of `serveWorkers()`.
 *
 * @example
 * ```ts ignore
 * // service.ts
 * import type { Session } from "@parley/tcp";
 * import { workerNumber } from "@parley/tcp/workers";
 *
 * export default async function greet(session: Session) {
 *   console.log(`session ${session.id} of worker ${workerNumber()}`);
 *   await session.send("welcome!\n");
 * }
 * ```
 */
export function workerNumber(): number | undefined {
  return number;
}
