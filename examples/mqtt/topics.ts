/** Topic names, and topic filters with wildcards (§4.7). */

import { MalformedFrameError } from "@parley/tcp/codecs";

/** Limits of names and filters, in levels and in characters. */
const MAX_LEVELS = 64;
const MAX_LENGTH = 1024;

/** Checks the topic name of a message, which has no wildcards. */
export function checkTopic(topic: string, offset: number): string {
  checkName(topic, offset);
  if (!topic.includes("#") && !topic.includes("+")) return topic;
  throw new MalformedFrameError("a wildcard in the name of a topic", offset);
}

/** Checks a filter: a wildcard must be a whole level, and `#` the last one. */
export function checkFilter(filter: string, offset: number): string {
  checkName(filter, offset);
  const levels = filter.split("/");
  const isValid = levels.every((level, at) =>
    level === "+" || (level === "#" && at === levels.length - 1) || !/[+#]/.test(level)
  );
  if (isValid) return filter;
  throw new MalformedFrameError("a wildcard within a level, or # before the last", offset);
}

function checkName(name: string, offset: number): void {
  if (name === "") throw new MalformedFrameError("the name of a topic is empty", offset);
  if (name.length > MAX_LENGTH) {
    throw new MalformedFrameError(`a topic has at most ${MAX_LENGTH} characters`, offset);
  }
  let levels = 1;
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) levels++;
  if (levels <= MAX_LEVELS) return;
  throw new MalformedFrameError(`a topic has at most ${MAX_LEVELS} levels`, offset);
}

type Visit<Key, Value> = (key: Key, value: Value) => void;

/** Values by filter and key, such as the QoS of each subscriber. It is a tree of topic levels. */
export class TopicTree<Key, Value> {
  readonly #values = new Map<Key, Value>();
  readonly #children = new Map<string, TopicTree<Key, Value>>();

  get isEmpty(): boolean {
    return this.#values.size + this.#children.size === 0;
  }

  set(filter: string, key: Key, value: Value): void {
    this.#set(filter.split("/"), 0, key, value);
  }

  delete(filter: string, key: Key): void {
    this.#delete(filter.split("/"), 0, key);
  }

  /** Calls `visit` for the values of all filters that match. */
  match(topic: string, visit: Visit<Key, Value>): void {
    // A wildcard at the first level does not match names that begin with $ (§4.7.2).
    this.#match(topic.split("/"), 0, visit, !topic.startsWith("$"));
  }

  #set(levels: readonly string[], at: number, key: Key, value: Value): void {
    if (at === levels.length) return void this.#values.set(key, value);
    const level = levels[at]!;
    let child = this.#children.get(level);
    if (child === undefined) this.#children.set(level, child = new TopicTree());
    child.#set(levels, at + 1, key, value);
  }

  #delete(levels: readonly string[], at: number, key: Key): void {
    if (at === levels.length) return void this.#values.delete(key);
    const child = this.#children.get(levels[at]!);
    if (child === undefined) return;
    child.#delete(levels, at + 1, key);
    if (child.isEmpty) this.#children.delete(levels[at]!);
  }

  #match(levels: readonly string[], at: number, visit: Visit<Key, Value>, wildcards = true): void {
    if (wildcards) this.#children.get("#")?.visit(visit);
    if (at === levels.length) return this.visit(visit);
    for (const level of wildcards ? ["+", levels[at]!] : [levels[at]!]) {
      const child = this.#children.get(level);
      if (child !== undefined) child.#match(levels, at + 1, visit);
    }
  }

  /** Calls `visit` for the values of this filter. */
  visit(visit: Visit<Key, Value>): void {
    for (const [key, value] of this.#values) visit(key, value);
  }
}
