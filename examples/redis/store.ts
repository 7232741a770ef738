/** The data of the server: keys with values of four types, and when they expire. */

import { RespError } from "@parley/tcp/codecs";

export type Hash = Map<string, string>;
export type Value = string | List | Hash | Set<string>;

const WRONG_TYPE = new RespError(
  "WRONGTYPE Operation against a key holding the wrong kind of value",
);

/** A list that grows and shrinks at both ends without moving its items: a ring buffer. */
export class List {
  #ring: (string | undefined)[] = new Array(8);
  #first = 0;
  length = 0;

  push(item: string): void {
    this.#grow();
    this.#ring[(this.#first + this.length++) & (this.#ring.length - 1)] = item;
  }

  unshift(item: string): void {
    this.#grow();
    this.#first = (this.#first - 1) & (this.#ring.length - 1);
    this.#ring[this.#first] = item;
    this.length++;
  }

  shift(): string {
    const item = this.at(0);
    this.#ring[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#ring.length - 1);
    this.length--;
    return item;
  }

  pop(): string {
    const item = this.at(--this.length);
    this.#ring[(this.#first + this.length) & (this.#ring.length - 1)] = undefined;
    return item;
  }

  at(index: number): string {
    return this.#ring[(this.#first + index) & (this.#ring.length - 1)]!;
  }

  /** Doubles the ring when it is full. Its length is a power of two. */
  #grow(): void {
    const { length } = this.#ring;
    if (this.length < length) return;
    const ring = new Array(length * 2);
    for (let i = 0; i < length; i++) ring[i] = this.at(i);
    this.#ring = ring;
    this.#first = 0;
  }
}

/** One of the numbered databases. */
export class Database {
  readonly #values = new Map<string, Value>();
  readonly #deadlines = new Map<string, number>();
  #sweep: Iterator<[string, number]> = this.#deadlines.entries();
  /** Before then, no key expires. */
  #earliest = Infinity;

  /** How many keys there are. Redis may count expired keys that it has not removed yet. */
  get size(): number {
    if (this.#earliest <= Date.now()) this.#forgetExpired();
    return this.#values.size;
  }

  /** How many keys take up memory, including expired ones. */
  get held(): number {
    return this.#values.size;
  }

  get(key: string): Value | undefined {
    if (this.#deadlines.size > 0) this.#expire(key, this.#deadlines.get(key));
    return this.#values.get(key);
  }

  /** The value of a key, which must be a string. */
  string(key: string): string | undefined {
    const value = this.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw WRONG_TYPE;
  }

  /** The value of a key, which must be of this class. */
  instance<Type extends object>(key: string, type: new () => Type): Type | undefined {
    const value = this.get(key);
    if (value === undefined || value instanceof type) return value as Type | undefined;
    throw WRONG_TYPE;
  }

  /** The same. If there is no value, an empty one is set. */
  ensure<Type extends List | Hash | Set<string>>(key: string, type: new () => Type): Type {
    let value = this.instance(key, type);
    if (value === undefined) this.set(key, value = new type());
    return value;
  }

  /** Sets the value of a key. Its time of expiry does not change. */
  set(key: string, value: Value): void {
    this.#values.set(key, value);
  }

  /** Removes a key. Returns whether it existed. */
  delete(key: string): boolean {
    const existed = this.get(key) !== undefined;
    this.#values.delete(key);
    this.#deadlines.delete(key);
    return existed;
  }

  /** When a key expires, in milliseconds since 1970. */
  deadline(key: string): number | undefined {
    return this.#deadlines.get(key);
  }

  /**
   * Sets when a key expires.
   *
   * Keys that are never read would never be found to have expired. So each new deadline also checks two others: the number
   * of expired keys stays in proportion to that of live ones, without a timer.
   */
  expireAt(key: string, deadline: number): void {
    for (let i = 0; i < 2; i++) {
      const { done, value } = this.#sweep.next();
      if (done) this.#sweep = this.#deadlines.entries();
      else this.#expire(...value as [string, number]);
    }
    this.#deadlines.set(key, deadline);
    this.#earliest = Math.min(this.#earliest, deadline);
  }

  /** Removes the deadline of a key. Returns whether it had one. */
  persist(key: string): boolean {
    return this.#deadlines.size > 0 && this.#deadlines.delete(key);
  }

  *keys(): Generator<string> {
    for (const key of this.#values.keys()) if (this.get(key) !== undefined) yield key;
  }

  clear(): void {
    this.#values.clear();
    this.#deadlines.clear();
  }

  /** Checks every deadline. That is not needed again before the next one. */
  #forgetExpired(): void {
    const now = Date.now();
    this.#earliest = Infinity;
    for (const [key, deadline] of this.#deadlines) {
      if (deadline <= now) this.#expire(key, deadline);
      else this.#earliest = Math.min(this.#earliest, deadline);
    }
  }

  #expire(key: string, deadline: number | undefined): void {
    if (deadline === undefined || deadline > Date.now()) return;
    this.#values.delete(key);
    this.#deadlines.delete(key);
  }
}
