/** The events of a server with workers. */

import { printError } from "../_internal/error_printer.ts";
import { type Logger, withoutPlaceholders } from "../_internal/logging.ts";
import { factsOf, textOf } from "../_internal/thrown.ts";
import { logObserver, type ServerState } from "../serve/observer.ts";
import type { Address } from "../transport/connection.ts";

/**
 * Why a worker died.
 *
 * | reason | meaning |
 * |---|---|
 * | `error` | an error was not caught, or it could not listen or load its module |
 * | `memory` | its heap has reached `maxHeap` |
 * | `unresponsive` | it was busy for `workerTimeout`, or the runtime had stopped it because of a lack of memory |
 * | `exit` | its code has ended it |
 */
export type WorkerEndReason = "error" | "memory" | "unresponsive" | "exit";

/** How a worker has died. */
export interface WorkerEnd {
  /** Why. */
  reason: WorkerEndReason;
  /** The error. */
  cause: Error;
  /** How long it had served, in milliseconds; 0 if it never did. */
  duration: number;
  /** The delay before it is started again, in milliseconds; `Infinity` if it is not. */
  restartIn: number;
}

/** Observes a server with workers. Errors that it throws are reported to `onError` and have no other effect. */
export interface WorkersObserver {
  /**
   * The state of the server has changed.
   *
   * @param state The new state.
   * @param addr The address of the server.
   */
  onStateChange?(state: ServerState, addr: Address): void;
  /**
   * A worker listens.
   *
   * @param worker Its number, from 0.
   */
  onWorkerStart?(worker: number): void;
  /**
   * A worker has died. All its sessions have ended; the other workers go on.
   *
   * @param worker Its number, from 0.
   * @param end Why.
   */
  onWorkerEnd?(worker: number, end: WorkerEnd): void;
}

/** Prints how workers die, for a server without an observer. */
export const printWorkerEnds: WorkersObserver = {
  onWorkerEnd: (_worker, { cause }): void => printError(cause),
};

/** An observer that logs. */
export function logWorkers(logger: Logger): WorkersObserver {
  return {
    onStateChange: logObserver(logger).onStateChange!,
    onWorkerStart(worker): void {
      logger.debug(`worker ${worker} listens`, { worker });
    },
    onWorkerEnd(worker, { reason, cause, duration, restartIn }): void {
      const then = restartIn === Infinity ? "it stays down" : `again in ${restartIn} ms`;
      logger.error(
        `worker ${worker} died, ${reason} (${then}): ${withoutPlaceholders(textOf(cause))}`,
        { worker, reason, error: factsOf(cause), duration, restartIn },
      );
    },
  };
}
