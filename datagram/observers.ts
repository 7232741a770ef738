import { printingObserver } from "../_internal/error_printer.ts";
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
  const hasOnError = options.onError !== undefined;
  for (
    const [event, kind] of [
      ["onHandlerError", "errors of handlers"],
      ["onReceiveError", "errors of receiving"],
    ] as const
  ) {
    const isHandled = observers.some((one) => one[event] !== undefined);
    if (hasOnError) observers.push({ [event]: (error: unknown) => options.onError!(error) });
    else if (!isHandled) observers.push(printingObserver(event, kind));
  }
  return new Observers(observers, (error) => options.onError?.(error));
}
