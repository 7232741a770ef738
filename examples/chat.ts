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

import { formatAddress, prepare, serve, type Server, type Session } from "@parley/tcp";

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;

interface Person {
  name: string;
  room: string;
  session: Session;
}

/** Serves the chat on `port`. Whoever does not read is cut off at 64 KiB of unread talk, and holds nobody up. */
export function chat(port: number): Server {
  const people = new Map<string, Person>();

  /** Tells everybody in a room. Nobody is waited for: a slow reader meets the output limit of its own session. */
  function tell(room: string, line: string): void {
    const message = prepare(`${line}\n`);
    for (const person of people.values()) {
      if (person.room === room) person.session.send(message);
    }
  }

  async function admit(session: Session): Promise<Person | undefined> {
    await session.send("What is your name?\n");
    for await (const name of session.lines({ maxLength: 100 })) {
      if (!NAME.test(name)) await session.send("A name has 1 to 20 letters or digits. Another?\n");
      else if (people.has(name)) await session.send(`${name} is here already. Another?\n`);
      else {
        const person = { name, room: "hall", session };
        people.set(name, person);
        return person;
      }
    }
  }

  function move(person: Person, room: string): void {
    const left = person.room;
    person.room = room;
    tell(left, `* ${person.name} leaves`);
    tell(room, `* ${person.name} joins ${room}`);
  }

  async function converse(person: Person): Promise<void> {
    const { session, name } = person;
    for await (const line of session.lines({ maxLength: 1000 })) {
      const [, command, argument = ""] = /^\/(\w+) ?(.*)$/.exec(line) ?? [];
      if (command === undefined) tell(person.room, `${name}: ${line}`);
      else if (command === "quit") return;
      else if (command === "join" && NAME.test(argument)) move(person, argument);
      else if (command === "who") {
        const here = [...people.values()].filter(({ room }) => room === person.room);
        await session.send(`${person.room}: ${here.map((other) => other.name).join(", ")}\n`);
      } else await session.send("I know /join ROOM, /who and /quit.\n");
    }
  }

  return serve(
    { port, highWaterMark: 16 * 1024, maxBufferedOutput: 64 * 1024 },
    async (session) => {
      const person = await admit(session);
      if (person === undefined) return;
      try {
        tell(person.room, `* ${person.name} joins ${person.room}`);
        await converse(person);
      } finally {
        people.delete(person.name);
        tell(person.room, `* ${person.name} leaves`);
      }
    },
  );
}

if (import.meta.main) {
  const server = chat(Number(Deno.args[0] ?? 1235));
  console.log(`chatting on ${formatAddress(server.addr)}`);
  await server.finished;
}
