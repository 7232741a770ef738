import { LineLimit } from "./line_limit.ts";
import { stackOf } from "./thrown.ts";

/** At most this many errors are printed within the window (in milliseconds): strangers may cause many. */
const MAX_ERRORS = 10;
const WINDOW = 10_000;

/** Prints errors that the program does not handle, and how many of them it has left out. */
export class ErrorPrinter {
  readonly #kind: string;
  readonly #limit = new LineLimit(MAX_ERRORS, WINDOW);

  /** @param kind What the errors are, such as `errors of the hub`. */
  constructor(kind: string) {
    this.#kind = kind;
  }

  print(error: unknown): void {
    if (!this.#limit.take()) return;
    printError(error);
    this.printOmitted();
  }

  /** Prints how many were left out. */
  printOmitted(): void {
    const omitted = this.#limit.takeOmitted();
    if (omitted > 0) console.error(`${omitted} more ${this.#kind} were not printed`);
  }
}

/**
 * Observers that print the errors which none of the others handles. Otherwise, handlers would fail silently.
 *
 * @param kinds The events, and what their errors are.
 */
export function printersFor<Observer extends object>(
  observers: readonly Observer[],
  kinds: { readonly [event in keyof Observer]?: string },
): Observer[] {
  return Object.entries<string | undefined>(kinds)
    .filter(([event]) => !observers.some((one) => one[event as keyof Observer] !== undefined))
    .map(([event, kind]) => printingObserver(event, kind!) as Observer);
}

/** Prints the errors of an event, and when the server is closed how many it has left out. */
function printingObserver(event: string, kind: string): object {
  const printer = new ErrorPrinter(kind);
  return {
    [event]: (error: unknown) => printer.print(error),
    onStateChange: (state: string) => state === "closed" && printer.printOmitted(),
  };
}

/** Prints an error that the program does not handle. */
export function printError(error: unknown): void {
  console.error(stackOf(error));
}
