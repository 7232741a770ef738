import type { Person } from "./options.ts";
import { People, type Source } from "./people.ts";
import type { PresenceMessage } from "./presence_message.ts";

/** What the presence of a group uses of its hub. */
export interface PresenceHooks {
  /** How many people a message contains at most, so that it is not too large. */
  readonly maxPeople: number;
  now(): number;
  /** Whether a member of this process is in the group. */
  isMember(member: object): boolean;
  /** Publishes to the group. */
  publish(message: PresenceMessage): void;
  /** A version that this hub has not had before. */
  nextVersion(): number;
  /** There is something to publish soon. */
  onDue(): void;
  onJoin(person: Person, isNew: boolean): void;
  onLeave(person: Person): void;
}

/** The people of another hub. */
interface Remote {
  version: number;
  people: Source;
  heardAt: number;
  /** What has arrived of `all`. */
  arriving: Source | undefined;
}

/** Who is in one group, over all processes. */
export class Presence {
  readonly people: People = new People();
  readonly #hooks: PresenceHooks;
  /** 0 without a bus. */
  readonly #sender: number;
  readonly #local: Source = new Map();
  /** By which member each person is here, and how many members are the same person. */
  readonly #ids = new Map<object, string>();
  readonly #members = new Map<string, number>();
  readonly #remotes = new Map<number, Remote>();
  /** The version that the others know, and what has changed since. */
  #version = 0;
  #joined = new Map<string, Person>();
  #left = new Set<string>();
  #isAllDue = false;
  /** Hubs to ask for all their people. 0 stands for each hub. */
  #asking = new Set<number>();

  constructor(sender: number, hooks: PresenceHooks) {
    this.#sender = sender;
    this.#hooks = hooks;
  }

  /** A member of this process says who it is. */
  enter(member: object, person: Person): void {
    const before = this.#ids.get(member);
    if (before !== undefined && before !== person.id) {
      this.leave(member); // which calls onLeave(), where it may leave the group, or say again who it is
      if (this.#ids.has(member) || !this.#hooks.isMember(member)) return;
    }
    if (before !== person.id) {
      this.#ids.set(member, person.id);
      this.#members.set(person.id, (this.#members.get(person.id) ?? 0) + 1);
    }
    const isNew = this.people.put(this.#local, person);
    this.#note(person.id, person);
    if (isNew) this.#hooks.onJoin(person, true);
  }

  /** A member of this process leaves the group. */
  leave(member: object): void {
    const id = this.#ids.get(member);
    if (id === undefined) return;
    this.#ids.delete(member);
    const members = this.#members.get(id)! - 1;
    if (members > 0) return void this.#members.set(id, members);
    this.#members.delete(id);
    const person = this.#local.get(id)!;
    const isGone = this.people.take(this.#local, id);
    this.#note(id, undefined);
    if (isGone) this.#hooks.onLeave(person);
  }

  /** Notes a change for the other hubs. Without a bus, there are none. */
  #note(id: string, person: Person | undefined): void {
    if (this.#sender === 0) return;
    this.#joined.delete(id);
    this.#left.delete(id);
    if (person === undefined) this.#left.add(id);
    else this.#joined.set(id, person);
    this.#hooks.onDue();
  }

  /** Asks a hub for all its people, or each hub. */
  ask(sender = 0): void {
    this.#asking.add(sender);
    this.#hooks.onDue();
  }

  /** Publishes what is due. If the bus is away, the others ask later. */
  publish(isReady: boolean): void {
    const [joined, left] = [[...this.#joined.values()], [...this.#left]];
    this.#joined.clear();
    this.#left.clear();
    const changes = joined.length + left.length;
    const isLarge = changes > this.#hooks.maxPeople && changes >= this.#local.size;
    // First the changes, even if all people follow: those who know the version before learn who is new.
    if (isReady && !isLarge) this.#publishChanges(joined, left);
    else if (changes > 0) this.#version = this.#hooks.nextVersion();
    if (!isReady) return;
    if (this.#isAllDue || isLarge) this.#publishAll();
    if (this.#asking.has(0)) this.#hooks.publish({ kind: "ask" });
    else for (const of of this.#asking) this.#hooks.publish({ kind: "ask", of });
    this.#asking.clear();
  }

  /** Tells the others that nothing has changed, and forgets those that have not been heard of since a time. */
  beat(isReady: boolean, since: number): void {
    if (isReady && this.#local.size > 0) {
      this.#hooks.publish({ kind: "beat", version: this.#version, count: this.#local.size });
    }
    for (const [sender, { heardAt, people }] of this.#remotes) {
      if (heardAt >= since) continue;
      this.#remotes.delete(sender);
      for (const person of [...people.values()]) this.#remove(people, person.id);
    }
  }

  onMessage(sender: number, message: PresenceMessage): void {
    if (message.kind === "ask") {
      if (message.of !== undefined && message.of !== this.#sender) return;
      this.#isAllDue = this.#local.size > 0;
      return this.#hooks.onDue();
    }
    const known = this.#remotes.get(sender);
    if (known !== undefined) known.heardAt = this.#hooks.now();
    if (message.kind === "all") return this.#onAll(sender, message);
    if (message.kind === "beat") {
      const isSame = known?.version === message.version && known.people.size === message.count;
      if (!isSame) this.ask(sender);
      return;
    }
    const isWhole = known === undefined && message.joined.length === message.count;
    if (!isWhole && known?.version !== message.from) return this.ask(sender);
    const remote = known ?? this.#meet(sender);
    remote.version = message.version;
    for (const person of message.joined) this.#add(remote.people, person, true);
    for (const id of message.left) this.#remove(remote.people, id);
    if (remote.people.size === 0) this.#remotes.delete(sender);
  }

  #onAll(sender: number, message: PresenceMessage & { kind: "all" }): void {
    const isKnown = this.#remotes.has(sender);
    if (!isKnown && !message.isFirst) return this.ask(sender);
    const remote = this.#remotes.get(sender) ?? this.#meet(sender);
    if (message.isFirst) remote.arriving = new Map();
    if (remote.arriving === undefined) return;
    for (const person of message.joined) remote.arriving.set(person.id, person);
    if (remote.arriving.size < message.count) return;
    const { arriving, people } = remote;
    remote.arriving = undefined;
    // If there is no version yet, these people were there before they became known here.
    const isNew = remote.version > 0;
    remote.version = message.version;
    for (const id of [...people.keys()]) if (!arriving.has(id)) this.#remove(people, id);
    for (const person of arriving.values()) this.#add(people, person, isNew);
    if (people.size === 0) this.#remotes.delete(sender);
  }

  #meet(sender: number): Remote {
    const remote: Remote = {
      ...{ version: 0, people: new Map(), heardAt: this.#hooks.now(), arriving: undefined },
    };
    this.#remotes.set(sender, remote);
    return remote;
  }

  /** In several messages if there are many: to tell all people instead would cost more the more people there are. */
  #publishChanges(joined: readonly Person[], left: readonly string[]): void {
    const { maxPeople } = this.#hooks;
    for (let at = 0; at < joined.length + left.length; at += maxPeople) {
      const end = at + maxPeople;
      const from = this.#version;
      this.#version = this.#hooks.nextVersion();
      this.#hooks.publish({
        ...{ kind: "change", version: this.#version, from, count: this.#local.size },
        joined: joined.slice(at, end),
        left: left.slice(Math.max(0, at - joined.length), Math.max(0, end - joined.length)),
      });
    }
  }

  #publishAll(): void {
    this.#isAllDue = false;
    const all = [...this.#local.values()];
    const { maxPeople } = this.#hooks;
    for (let at = 0; at === 0 || at < all.length; at += maxPeople) {
      this.#hooks.publish({
        ...{ kind: "all", version: this.#version, count: all.length, isFirst: at === 0 },
        joined: all.slice(at, at + maxPeople),
      });
    }
  }

  #add(source: Source, person: Person, isNew: boolean): void {
    if (this.people.put(source, person)) this.#hooks.onJoin(person, isNew);
  }

  #remove(source: Source, id: string): void {
    const person = source.get(id);
    if (person !== undefined && this.people.take(source, id)) this.#hooks.onLeave(person);
  }
}
