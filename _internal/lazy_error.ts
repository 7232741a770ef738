/** An error that is made when somebody gets it, and then stays the same. To make one takes 8 µs in Deno, with its stack. */
export class LazyError {
  readonly #make: () => Error;
  #error: Error | undefined;

  constructor(make: () => Error) {
    this.#make = make;
  }

  get error(): Error {
    return this.#error ??= this.#make();
  }

  /** Whether somebody has got that error. */
  is(error: unknown): boolean {
    return this.#error !== undefined && this.#error === error;
  }
}
