/** Who is told what happens in a server. */

import { Observers } from "../_internal/observers.ts";
import { logObserver, printErrors, type ServerObserver } from "./observer.ts";
import type { ServeOptions } from "./options.ts";

/** The observers of one server: those that its options name. */
export function observersFor(options: ServeOptions): Observers<ServerObserver> {
  return new Observers(observersOf(options), (error) => options.onError?.(error));
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
