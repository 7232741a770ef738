import { LineLimit } from "../_internal/line_limit.ts";
import { printError } from "../serve/observer.ts";

/** Errors are printed at most once within this time, in milliseconds: another process may cause many. */
const WINDOW = 1_000;

/** Makes what prints the errors of a hub that the program does not handle, and how many it has left out. */
export function errorPrinter(): (error: unknown) => void {
  const limit = new LineLimit(1, WINDOW);
  return (error) => {
    if (!limit.take()) return;
    const omitted = limit.takeOmitted();
    printError(error);
    if (omitted > 0) printError(`${omitted} more errors of the hub were not printed`);
  };
}
