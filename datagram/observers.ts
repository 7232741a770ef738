import { printersFor } from "../_internal/error_printer.ts";
import { Observers } from "../_internal/observers.ts";
import { type DatagramObserver, logDatagramObserver } from "./observer.ts";
import type { ServeDatagramsOptions } from "./options.ts";

/** Makes the observers of a server: `observer`, one for the `logger`, and one for errors that no other handles. */
export function observersFor(
  options: ServeDatagramsOptions<unknown, unknown>,
): Observers<DatagramObserver> {
  const { observer, logger } = options;
  const observers: DatagramObserver[] = [];
  if (observer !== undefined) observers.push(observer);
  if (logger !== undefined) observers.push(logDatagramObserver(logger));
  if (options.onError !== undefined) {
    const onError = (error: unknown) => options.onError!(error);
    observers.push({ onHandlerError: onError, onReceiveError: onError });
  }
  const printers = printersFor(observers, {
    onHandlerError: "errors of handlers",
    onReceiveError: "errors of receiving",
  });
  return new Observers([...observers, ...printers], (error) => options.onError?.(error));
}
