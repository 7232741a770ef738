import type { Clock } from "./clock.ts";
import type { Group } from "./group.ts";
import type { Link } from "./link.ts";
import type { Member } from "./member.ts";
import { PRESENCE } from "./message.ts";
import type { HubSettings, Person } from "./options.ts";
import { Presence } from "./presence.ts";
import { decodePresence, encodePresence } from "./presence_message.ts";

/** How long changes are gathered before they are published, in milliseconds. */
const PUBLISH_DELAY = 20;
/** The size of messages with many people, in bytes, and the most that a UTF-16 unit of JSON takes in them. */
const MESSAGE_SIZE = 256 * 1024;
const MAX_WIDTH = 6;
/** A hub that has not been heard of for this many intervals has died. */
const MAX_SILENCE = 2.5;

/** What an attendance uses of its hub. */
export interface AttendanceHooks {
  onJoin(group: string, person: Person, isNew: boolean): void;
  onLeave(group: string, person: Person): void;
  onError(error: unknown): void;
}

/** Who is in the groups of a hub, in this process and in others. */
export class Attendance {
  readonly #interval: number;
  readonly #maxPeople: number;
  readonly #clock: Clock;
  readonly #link: Link | undefined;
  readonly #hooks: AttendanceHooks;
  readonly #groups = new Set<Presence>();
  readonly #due = new Set<Presence>();
  #version = 0;
  #stopPublishing: (() => void) | undefined;
  #stopBeating: (() => void) | undefined;

  constructor(
    settings: HubSettings,
    clock: Clock,
    link: Link | undefined,
    hooks: AttendanceHooks,
  ) {
    const { presenceInterval, maxNameLength, maxInfoLength } = settings;
    this.#interval = presenceInterval;
    const largest = MAX_WIDTH * (maxNameLength + maxInfoLength);
    this.#maxPeople = Math.max(1, Math.floor(MESSAGE_SIZE / largest));
    this.#clock = clock;
    this.#link = link;
    this.#hooks = hooks;
  }

  /** The presence of a group, from now on. */
  of(group: Group): Presence {
    if (group.presence !== undefined) return group.presence;
    const { name } = group;
    const presence = new Presence(this.#link?.sender ?? 0, {
      maxPeople: this.#maxPeople,
      now: () => this.#clock.now(),
      isMember: (member) => group.members.has(member as Member),
      publish: (message) => {
        try {
          this.#link?.publish(PRESENCE, name, "", encodePresence(message));
        } catch (error) { // too large for the bus
          this.#hooks.onError(error);
        }
      },
      nextVersion: () => ++this.#version,
      onDue: () => this.#onDue(presence),
      onJoin: (person, isNew) => this.#hooks.onJoin(name, person, isNew),
      onLeave: (person) => this.#hooks.onLeave(name, person),
    });
    group.presence = presence;
    if (this.#link === undefined) return presence;
    this.#groups.add(presence);
    this.#stopBeating ??= this.#clock.after(this.#interval, this.#beat);
    group.subscribed.then(() => {
      if (this.#groups.has(presence)) presence.ask();
    });
    return presence;
  }

  onMessage(group: Group, sender: number, payload: Uint8Array): void {
    try {
      this.of(group).onMessage(sender, decodePresence(payload));
    } catch (error) {
      this.#hooks.onError(error);
    }
  }

  /** A group has no members here any more. */
  end({ presence }: Group): void {
    if (presence === undefined || !this.#groups.delete(presence)) return;
    if (this.#due.delete(presence)) presence.publish(this.#isReady);
    if (this.#groups.size > 0) return;
    this.#stopBeating?.();
    this.#stopPublishing?.();
    this.#stopBeating = this.#stopPublishing = undefined;
  }

  get #isReady(): boolean {
    return this.#link!.isReady;
  }

  #onDue(presence: Presence): void {
    if (!this.#groups.has(presence)) return;
    this.#due.add(presence);
    this.#stopPublishing ??= this.#clock.after(PUBLISH_DELAY, this.#publish);
  }

  readonly #publish = (): void => {
    this.#stopPublishing = undefined;
    const due = [...this.#due];
    this.#due.clear();
    for (const presence of due) presence.publish(this.#isReady);
  };

  readonly #beat = (): void => {
    this.#stopBeating = this.#clock.after(this.#interval, this.#beat);
    const since = this.#clock.now() - MAX_SILENCE * this.#interval;
    for (const presence of this.#groups) {
      if (this.#due.delete(presence)) presence.publish(this.#isReady);
      presence.beat(this.#isReady, since);
    }
  };
}
