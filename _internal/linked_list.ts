/** The place of a value in a list. */
export interface Link<T> {
  readonly value: T;
  previous: Link<T> | undefined;
  next: Link<T> | undefined;
  isListed: boolean;
}

/** A list of values in the order in which they were added. Any of them can be removed in constant time. */
export class LinkedList<T> implements Iterable<T> {
  /** How many values there are. */
  length = 0;
  #first: Link<T> | undefined;
  #last: Link<T> | undefined;

  /** The first value. */
  get first(): T | undefined {
    return this.#first?.value;
  }

  /** The last value. */
  get last(): T | undefined {
    return this.#last?.value;
  }

  /** Adds a value at the end, and returns its place. */
  push(value: T): Link<T> {
    const link: Link<T> = { value, previous: this.#last, next: undefined, isListed: true };
    if (this.#last === undefined) this.#first = link;
    else this.#last.next = link;
    this.#last = link;
    this.length++;
    return link;
  }

  /** Adds a value before all others, and returns its place. */
  unshift(value: T): Link<T> {
    const link: Link<T> = { value, previous: undefined, next: this.#first, isListed: true };
    if (this.#first === undefined) this.#last = link;
    else this.#first.previous = link;
    this.#first = link;
    this.length++;
    return link;
  }

  /** Removes and returns the first value. */
  shift(): T | undefined {
    const link = this.#first;
    if (link === undefined) return undefined;
    this.remove(link);
    return link.value;
  }

  /** Removes the value at a place of this list, if it is still there. */
  remove(link: Link<T>): void {
    if (!link.isListed) return;
    link.isListed = false;
    if (link.previous === undefined) this.#first = link.next;
    else link.previous.next = link.next;
    if (link.next === undefined) this.#last = link.previous;
    else link.next.previous = link.previous;
    link.previous = link.next = undefined; // so that a place in use does not keep others in memory
    this.length--;
  }

  /** All values, from the first, in a new array. The list may change afterwards. */
  values(): T[] {
    const values: T[] = [];
    for (let link = this.#first; link !== undefined; link = link.next) values.push(link.value);
    return values;
  }

  /** Iterates over all values, from the first. The list must not change meanwhile. */
  *[Symbol.iterator](): Generator<T, void, void> {
    for (let link = this.#first; link !== undefined; link = link.next) yield link.value;
  }
}
