import { attempt } from "./attempt.ts";

/** Some observers of one thing. None of them can harm it, nor the others. */
export class Observers<Observer extends object> {
  readonly #observers: readonly Observer[];
  readonly #onError: (error: unknown) => unknown;

  /** @param onError Is given what an observer throws. */
  constructor(observers: readonly Observer[], onError: (error: unknown) => unknown) {
    this.#observers = observers;
    this.#onError = onError;
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
        // Whoever is told of errors may fail too: then there is nobody left to tell.
        (error) => attempt(() => this.#onError(error), () => {}),
      );
    }
  }
}
