import {
  FrameTooLargeError,
  type Handler,
  prepare,
  printable,
  type Session,
} from "../../../mod.ts";

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;
/** How many names a message to everyone contains. Further ones are only counted. */
const MAX_NAMES = 20;

/** One room where people with names send lines to each other. No one waits for a member that does not read. */
export function chat(): Handler {
  const room = new Room();
  return async (session) => {
    try {
      await visit(room, session);
    } catch (error) {
      if (error instanceof FrameTooLargeError) {
        session.send(`A line has at most ${error.limit} bytes. Good-bye!\n`);
      }
      throw error;
    }
  };
}

async function visit(room: Room, session: Session): Promise<void> {
  const name = await admit(room, session);
  if (name === undefined) return;
  try {
    for await (const line of session.lines({ maxLength: 1000 })) {
      room.say(name, line.split("\t").map(printable).join("\t"));
    }
  } finally {
    room.leave(name);
  }
}

/** Admits a person under the first valid name. */
async function admit(room: Room, session: Session): Promise<string | undefined> {
  await session.send("What is your name?\n");
  for await (const name of session.lines({ maxLength: 100 })) {
    if (!NAME.test(name)) {
      await session.send("A name has 1 to 20 letters, digits, - or _. Another?\n");
    } else if (room.enter(name, session)) return name;
    else await session.send(`${name} is here already. Another?\n`);
  }
}

/**
 * The members of the room. All arrivals and departures within one turn of the event loop are announced in one message:
 * with one message each, a thousand people who leave together would cause a million messages.
 */
class Room {
  readonly #people = new Map<string, Session>();
  /** Members that have not been announced yet. */
  readonly #arrived = new Set<string>();
  #left: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Adds a member. Returns whether the name was free. */
  enter(name: string, session: Session): boolean {
    if (this.#people.has(name)) return false;
    this.#people.set(name, session);
    this.#arrived.add(name);
    this.#tellSoon();
    return true;
  }

  leave(name: string): void {
    const isDraining = this.#people.get(name)!.draining.aborted;
    this.#people.delete(name);
    if (this.#people.size === 0) this.#clearNews();
    else if (!this.#arrived.delete(name) && !isDraining) { // everyone leaves then
      this.#left.push(name);
      this.#tellSoon();
    }
  }

  say(name: string, line: string): void {
    if (this.#timer !== undefined) this.#tell();
    const message = prepare(`${name}: ${line}\n`);
    for (const [other, session] of this.#people) {
      if (other !== name) session.send(message);
    }
  }

  #tellSoon(): void {
    this.#timer ??= setTimeout(() => this.#tell());
  }

  /** Announces arrivals and departures to the old members, and the members to the new ones. */
  #tell(): void {
    const news = prepare(sentence(this.#left, "leave") + sentence([...this.#arrived], "join"));
    for (const [name, session] of this.#people) {
      if (this.#arrived.has(name)) session.send(this.#welcome(name));
      else if (news.byteLength > 0) session.send(news); // a new member may have left again
    }
    this.#clearNews();
  }

  #clearNews(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#arrived.clear();
    this.#left = [];
  }

  #welcome(name: string): string {
    const others = this.#people.keys().filter((other) => other !== name);
    return `* with you: ${listed(others, this.#people.size - 1) || "nobody"}\n`;
  }
}

function sentence(names: readonly string[], verb: "join" | "leave"): string {
  if (names.length === 0) return "";
  return `* ${listed(names, names.length)} ${names.length > 1 ? verb : `${verb}s`}\n`;
}

/** Lists the first names, and how many more there are. */
function listed(names: Iterable<string>, count: number): string {
  const named = Iterator.from(names).take(MAX_NAMES).toArray().join(", ");
  return count > MAX_NAMES ? `${named} and ${count - MAX_NAMES} more` : named;
}
