import { attempt } from "./attempt.ts";

/** Calls several observers. An error of one affects neither the others nor the caller. */
export class Observers<Observer extends object> {
  #observers: readonly Observer[];
  readonly #onError: (error: unknown) => unknown;

  /** @param onError Called with what an observer throws. */
  constructor(observers: readonly Observer[], onError: (error: unknown) => unknown) {
    this.#observers = observers;
    this.#onError = onError;
  }

  /** Adds an observer, and returns the function that removes it. */
  add(observer: Observer): () => void {
    this.#observers = [...this.#observers, observer]; // a new array, since an event may be passing through the old one
    return () => this.#observers = this.#observers.filter((one) => one !== observer);
  }

  tell<Event extends keyof Observer>(
    event: Event,
    ...args: Parameters<Extract<Required<Observer>[Event], (...args: never[]) => unknown>>
  ): void {
    for (const observer of this.#observers) {
      attempt(
        () =>
          (observer[event] as ((...args: unknown[]) => unknown) | undefined)?.call(
            observer,
            ...args,
          ),
        // If onError() itself fails, there is no one left to report it to.
        (error) => attempt(() => this.#onError(error), () => {}),
      );
    }
  }
}
