/** The observers of a server. */

import { printersFor } from "../_internal/error_printer.ts";
import { Observers } from "../_internal/observers.ts";
import { logObserver, type ServerObserver } from "./observer.ts";
import type { ServeOptions } from "./options.ts";

/** Makes the observers of a server from its options. */
export function observersFor(options: ServeOptions): Observers<ServerObserver> {
  return new Observers(observersOf(options), (error) => options.onError?.(error));
}

/** The `observer`, one for the `logger`, and one for errors that no other observer handles. */
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
  const printers = printersFor(observers, {
    onHandlerError: "errors of handlers",
    onAcceptError: "errors of accepting",
  });
  return [...observers, ...printers];
}
