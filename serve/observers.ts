/** Who is told what happens in a server. */

import { attempt } from "../_internal/attempt.ts";
import { logObserver, printErrors, type ServerObserver } from "./observer.ts";
import type { ServeOptions } from "./options.ts";

/** The observers of one server. None of them can harm it, nor the others. */
export class Observers {
  readonly #observers: ServerObserver[];
  readonly #onError: (error: unknown) => unknown;

  constructor(options: ServeOptions) {
    this.#observers = observersOf(options);
    this.#onError = (error) => options.onError?.(error);
  }

  tell<Event extends keyof ServerObserver>(
    event: Event,
    ...args: Parameters<Required<ServerObserver>[Event]>
  ): void {
    for (const observer of this.#observers) {
      attempt(
        () =>
          (observer[event] as ((...args: unknown[]) => unknown) | undefined)?.call(
            observer,
            ...args,
          ),
        // Whoever is told of errors may fail too: then there is nobody left to tell.
        (error) => attempt(() => this.#onError(error), () => {}),
      );
    }
  }
}

/** The observer that is given, the logger's, and one for the errors that nobody else is told of. */
function observersOf(options: ServeOptions): ServerObserver[] {
  const { observer, logger } = options;
  const observers: ServerObserver[] = [];
  if (observer !== undefined) observers.push(observer);
  if (logger !== undefined) observers.push(logObserver(logger));
  if (options.onError !== undefined) {
    observers.push({
      onHandlerError: (error, session) => options.onError!(error, session),
      onAcceptError: (error) => options.onError!(error),
    });
  }
  for (const event of ["onHandlerError", "onAcceptError"] as const) {
    if (!observers.some((one) => one[event] !== undefined)) {
      observers.push({ [event]: printErrors[event] });
    }
  }
  return observers;
}
