// A chat: named people in rooms, over lines.
//
//     deno run --allow-net examples/chat.ts
//
// Then, in several terminals, type `nc 127.0.0.1 1235`, a name, and:
//
//     /join garden     go to another room
//     /who             see who is here
//     anything else    say it to the room
//     /quit            leave

import {
  formatAddress,
  FrameTooLargeError,
  prepare,
  printable,
  serve,
  type ServeOptions,
  type Server,
  type Session,
} from "@parley/tcp";

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;
/** How many names a message contains. Further people are only counted. */
const MAX_NAMES = 20;

/**
 * People who read each other's messages. No one waits for a slow reader: the output limit of its session ends it.
 *
 * All arrivals and departures within one turn of the event loop are announced in one message. With one message each, a
 * thousand people who leave together would cause a million messages.
 */
class Room {
  readonly name: string;
  readonly people = new Map<string, Session>();
  readonly #joined = new Set<string>();
  readonly #left = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  enter(name: string, session: Session): void {
    this.people.set(name, session);
    this.#joined.add(name);
    this.#announceSoon();
  }

  leave(name: string): void {
    const isDraining = this.people.get(name)!.draining.aborted;
    this.people.delete(name);
    if (this.people.size === 0) this.#forget();
    else if (!this.#joined.delete(name) && !isDraining) { // everyone leaves then
      this.#left.add(name);
      this.#announceSoon();
    }
  }

  say(line: string): void {
    if (this.#timer !== undefined) this.#announce(); // the speaker must be announced first
    this.#tell(`${line}\n`);
  }

  #announceSoon(): void {
    this.#timer ??= setTimeout(() => this.#announce());
  }

  #announce(): void {
    const { name } = this;
    const left = this.#left.size > 1 ? "leave" : "leaves";
    const joined = this.#joined.size > 1 ? `join ${name}` : `joins ${name}`;
    let news = "";
    if (this.#left.size > 0) news += `* ${listed(this.#left)} ${left}\n`;
    if (this.#joined.size > 0) news += `* ${listed(this.#joined)} ${joined}\n`;
    if (news !== "") this.#tell(news);
    this.#forget();
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#joined.clear();
    this.#left.clear();
  }

  #tell(text: string): void {
    const message = prepare(text);
    for (const session of this.people.values()) session.send(message);
  }
}

interface Person {
  name: string;
  room: Room;
  session: Session;
}

/** Serves the chat. A client that does not read is disconnected at 64 KiB of unsent output. */
export function chat(options: ServeOptions): Server {
  const names = new Set<string>();
  const rooms = new Map<string, Room>();

  function enter(roomName: string, name: string, session: Session): Room {
    const room = rooms.get(roomName) ?? new Room(roomName);
    rooms.set(roomName, room);
    room.enter(name, session);
    return room;
  }

  function leave({ name, room }: Person): void {
    room.leave(name);
    if (room.people.size === 0) rooms.delete(room.name);
  }

  async function admit(session: Session): Promise<Person | undefined> {
    await session.send("What is your name?\n");
    for await (const name of session.lines({ maxLength: 100 })) {
      if (!NAME.test(name)) await session.send("A name has 1 to 20 letters or digits. Another?\n");
      else if (names.has(name)) await session.send(`${name} is here already. Another?\n`);
      else {
        names.add(name);
        return { name, room: enter("hall", name, session), session };
      }
    }
  }

  async function converse(person: Person): Promise<void> {
    const { session, name } = person;
    for await (const line of session.lines({ maxLength: 1000 })) {
      const { room } = person;
      const [, command, argument = ""] = /^\/(\w+) ?(.*)$/.exec(line) ?? [];
      if (command === undefined) room.say(`${name}: ${line.split("\t").map(printable).join("\t")}`);
      else if (command === "quit") return;
      else if (command === "join" && NAME.test(argument)) {
        leave(person);
        person.room = enter(argument, name, session);
      } else if (command === "who") {
        await session.send(`${room.name}: ${listed(room.people)}\n`);
      } else await session.send("I know /join ROOM, /who and /quit.\n");
    }
  }

  async function visit(session: Session): Promise<void> {
    const person = await admit(session);
    if (person === undefined) return;
    try {
      await converse(person);
    } finally {
      leave(person);
      names.delete(person.name);
    }
  }

  return serve(
    { highWaterMark: 16 * 1024, maxBufferedOutput: 64 * 1024, ...options },
    async (session) => {
      try {
        await visit(session);
      } catch (error) {
        if (error instanceof FrameTooLargeError) {
          session.send(`A line has at most ${error.limit} bytes. Good-bye!\n`);
        }
        throw error;
      }
    },
  );
}

function listed(names: { size: number; keys(): Iterable<string> }): string {
  const named = Iterator.from(names.keys()).take(MAX_NAMES).toArray().join(", ");
  return names.size > MAX_NAMES ? `${named} and ${names.size - MAX_NAMES} more` : named;
}

if (import.meta.main) {
  const server = chat({ port: Number(Deno.args[0] ?? 1235) });
  console.log(`chatting on ${formatAddress(server.addr)}`);
  await server.finished;
}
