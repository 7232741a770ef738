interface Slot<Value> {
  value: Value | undefined;
}

/**
 * A map for values that come and go all the time.
 *
 * As entries come and go, V8 replaces the table of a `Map`. Once the map is in the old part of the heap, so are its next
 * tables, and the dead ones keep what they referred to until the whole heap is collected. Here, they refer to slots that
 * are used again and again. Keys should be small.
 */
export class SlotMap<Key extends string | number | bigint, Value> {
  readonly #slots = new Map<unknown, Slot<Value>>();
  readonly #free: Slot<Value>[] = [];

  get(key: unknown): Value | undefined {
    return this.#slots.get(key)?.value;
  }

  /** Sets the value of a key that has none. */
  add(key: Key, value: Value): void {
    const slot = this.#free.pop() ?? { value: undefined };
    slot.value = value;
    this.#slots.set(key, slot);
  }

  delete(key: Key): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    slot.value = undefined;
    this.#free.push(slot);
  }

  *values(): Generator<Value> {
    for (const { value } of this.#slots.values()) yield value!;
  }
}
