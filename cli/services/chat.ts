import { type Handler, prepare, type Session } from "../../mod.ts";

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;
/** What would move the cursor in other people's terminals, or worse. */
const CONTROL = /[^\P{Cc}\t]/gu;

/** One room, where people say lines to each other under a name. Nobody waits for who does not read. */
export function chat(): Handler {
  const people = new Map<string, Session>();

  function tellOthers(name: string, line: string): void {
    const message = prepare(`${line}\n`);
    for (const [other, session] of people) {
      if (other !== name) session.send(message);
    }
  }

  /** Takes a person in, under the first name that will do. */
  async function admit(session: Session): Promise<string | undefined> {
    await session.send("What is your name?\n");
    for await (const name of session.lines({ maxLength: 100 })) {
      if (!NAME.test(name)) {
        await session.send("A name has 1 to 20 letters, digits, - or _. Another?\n");
      } else if (people.has(name)) await session.send(`${name} is here already. Another?\n`);
      else {
        const here = [...people.keys()].join(", ") || "nobody";
        people.set(name, session);
        session.send(`* with you: ${here}\n`);
        return name;
      }
    }
  }

  return async (session) => {
    const name = await admit(session);
    if (name === undefined) return;
    try {
      tellOthers(name, `* ${name} joins`);
      for await (const line of session.lines({ maxLength: 1000 })) {
        tellOthers(name, `${name}: ${line.replace(CONTROL, "?")}`);
      }
    } finally {
      people.delete(name);
      tellOthers(name, `* ${name} leaves`);
    }
  };
}
