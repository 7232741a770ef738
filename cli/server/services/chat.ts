import {
  FrameTooLargeError,
  type Handler,
  type Logger,
  prepare,
  printable,
  type Session,
} from "../../../mod.ts";
import { type Bus, Hub } from "../../../hub/mod.ts";

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;
/** How many names a message to everyone contains. Further ones are only counted. */
const MAX_NAMES = 20;
/** The group of the hub. */
const ROOM = "room";
/** How long the first person in this process waits to hear of those in others, in milliseconds. */
const SEARCH = 100;
/** Errors of the bus are logged at most once within this time, in milliseconds: another process may cause many. */
const LOG_INTERVAL = 1_000;

/**
 * One room where people with names send lines to each other, over all processes of the bus. No one waits for a member that
 * does not read. Errors of the bus are logged.
 */
export function chat(bus?: Bus, logger?: Logger): Handler {
  const room = new Room(bus, logger);
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
      room.say(name, line.split("\t").map(printable).join("\t"), session);
    }
  } finally {
    room.leave(session);
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
  readonly #hub: Hub;
  readonly #isShared: boolean;
  /** Members in this process who do not know yet who is here. */
  readonly #newcomers = new Map<Session, string>();
  /** Members who have not been announced yet. */
  readonly #arrived = new Set<string>();
  readonly #left = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(bus: Bus | undefined, logger: Logger | undefined) {
    this.#isShared = bus !== undefined;
    this.#hub = new Hub({
      bus,
      onJoin: (_, { id }) => this.#onJoin(id),
      onLeave: (_, { id }) => this.#onLeave(id),
      ...(logger !== undefined && { onError: logging(logger) }),
    });
  }

  /** Adds a member. Returns whether the name was free. */
  enter(name: string, session: Session): boolean {
    if (this.#hub.person(ROOM, name) !== undefined) return false;
    this.#newcomers.set(session, name);
    this.#hub.join(ROOM, session, { id: name });
    return true;
  }

  leave(session: Session): void {
    this.#newcomers.delete(session);
    this.#hub.leave(ROOM, session);
  }

  say(name: string, line: string, session: Session): void {
    if (this.#timer !== undefined) this.#tell();
    this.#hub.publish(ROOM, `${name}: ${line}\n`, { except: session });
  }

  #onJoin(name: string): void {
    if (!this.#left.delete(name)) this.#arrived.add(name);
    this.#tellSoon();
  }

  #onLeave(name: string): void {
    const [other] = this.#hub.members(ROOM);
    if (other === undefined) this.#clearNews();
    else if (!this.#arrived.delete(name) && !other.draining.aborted) { // everyone leaves then
      this.#left.add(name);
      this.#tellSoon();
    }
  }

  #tellSoon(): void {
    const isAlone = this.#isShared && this.#hub.size(ROOM) <= this.#newcomers.size;
    this.#timer ??= setTimeout(() => this.#tell(), isAlone ? SEARCH : 0);
  }

  /** Announces arrivals and departures to the old members, and the members to the new ones. */
  #tell(): void {
    const news = prepare(sentence(this.#left, "leave") + sentence(this.#arrived, "join"));
    for (const session of this.#hub.members(ROOM)) {
      const name = this.#newcomers.get(session);
      if (name !== undefined) session.send(this.#welcome(name));
      else if (news.byteLength > 0) session.send(news); // a new member may have left again
    }
    this.#clearNews();
  }

  #clearNews(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#newcomers.clear();
    this.#arrived.clear();
    this.#left.clear();
  }

  #welcome(name: string): string {
    const others = [...this.#hub.people(ROOM)].map(({ id }) => id).filter((id) => id !== name);
    return `* with you: ${listed(others, others.length) || "nobody"}\n`;
  }
}

/** Makes what logs the errors of the hub, and how many it has left out. */
function logging(logger: Logger): (error: unknown) => void {
  let loggedAt = -Infinity;
  let omitted = 0;
  return (error) => {
    const now = performance.now();
    if (now - loggedAt < LOG_INTERVAL) return void omitted++;
    const problem = printable(error instanceof Error ? error.message : String(error));
    const more = omitted === 0 ? "" : `; ${omitted} more errors were not logged`;
    logger.error(`the room has failed: ${problem}${more}`, {
      problem,
      ...(omitted > 0 && { omitted }),
    });
    loggedAt = now;
    omitted = 0;
  };
}

function sentence(names: ReadonlySet<string>, verb: "join" | "leave"): string {
  if (names.size === 0) return "";
  return `* ${listed(names, names.size)} ${names.size > 1 ? verb : `${verb}s`}\n`;
}

/** Lists the first names, and how many more there are. */
function listed(names: Iterable<string>, count: number): string {
  const named = Iterator.from(names).take(MAX_NAMES).toArray().join(", ");
  return count > MAX_NAMES ? `${named} and ${count - MAX_NAMES} more` : named;
}
