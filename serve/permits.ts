/** Counts permits by key, up to a limit for each. Keys without a permit take no memory. */
export class Permits {
  readonly #limit: number;
  readonly #held: Map<string, number> = new Map();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many keys have a permit. */
  get size(): number {
    return this.#held.size;
  }

  /** Takes a permit. Returns whether the limit allows it. */
  take(key: string): boolean {
    const held = this.#held.get(key) ?? 0;
    if (held >= this.#limit) return false;
    this.#held.set(key, held + 1);
    return true;
  }

  /** Returns a permit. */
  release(key: string): void {
    const held = this.#held.get(key)!;
    if (held > 1) this.#held.set(key, held - 1);
    else this.#held.delete(key);
  }
}
