/** Counts what is held under each key, up to a limit. A key that nothing is held under is not kept. */
export class Permits {
  readonly #limit: number;
  readonly #held: Map<string, number> = new Map();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many keys something is held under. */
  get size(): number {
    return this.#held.size;
  }

  /** Takes one more, unless that would pass the limit. */
  take(key: string): boolean {
    const held = this.#held.get(key) ?? 0;
    if (held >= this.#limit) return false;
    this.#held.set(key, held + 1);
    return true;
  }

  /** Gives back one that was taken. */
  release(key: string): void {
    const held = this.#held.get(key)!;
    if (held > 1) this.#held.set(key, held - 1);
    else this.#held.delete(key);
  }
}
