import type { Person } from "./options.ts";

/** The people of one process in a group, by id. */
export type Source = Map<string, Person>;

/** Who is in a group over all processes: what the people of each process add up to. */
export class People implements Iterable<Person> {
  /** People by id, with the number of sources that have them. */
  readonly #all = new Map<string, { person: Person; sources: number }>();

  *[Symbol.iterator](): Generator<Person, void, void> {
    for (const { person } of this.#all.values()) yield person;
  }

  get(id: string): Person | undefined {
    return this.#all.get(id)?.person;
  }

  /** Adds a person to a source, or replaces it there. Returns whether it was in no source. */
  put(source: Source, person: Person): boolean {
    const known = this.#all.get(person.id);
    if (known === undefined) this.#all.set(person.id, { person, sources: 1 });
    else {
      if (!source.has(person.id)) known.sources++;
      known.person = person;
    }
    source.set(person.id, person);
    return known === undefined;
  }

  /** Removes a person from a source, if it is there. Returns whether it is in no other source then. */
  take(source: Source, id: string): boolean {
    if (!source.delete(id)) return false;
    const known = this.#all.get(id)!;
    if (--known.sources > 0) return false;
    return this.#all.delete(id);
  }
}
