// A chat: named people in rooms, over lines, in one process or many.
//
//     deno run --allow-net examples/chat.ts
//     deno run --allow-net --allow-read examples/chat.ts 1235 4    on port 1235, in 4 threads
//     deno run --allow-net examples/chat.ts 1235 nats://127.0.0.1:4222    with all others at this NATS server
//     deno run --allow-net examples/chat.ts 1235 nats://127.0.0.1:4222 history    and the last lines of a room
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
  type Handler,
  prepare,
  printable,
  serve,
  type ServeOptions,
  type Server,
  type Session,
} from "@parley/tcp";
import { type Bus, Hub, natsBus } from "@parley/tcp/hub";
import { serveWorkers, type ServiceOptions, workerBus } from "@parley/tcp/workers";
import { connectToNats, openHistory } from "./nats.ts";

const NAME = /^[\p{L}\p{N}_-]{1,20}$/u;
/** How many names a message contains. Further people are only counted. */
const MAX_NAMES = 20;
/** The group of all people, in whatever room. It is no name of a room. */
const EVERYONE = "*";
/** How many of the last lines of a room someone who comes gets, if the bus keeps them. */
const LAST_LINES = 10;

/** Who has come into a room and left it, and is not announced yet. */
interface News {
  readonly joined: Set<string>;
  readonly left: Set<string>;
  readonly timer: ReturnType<typeof setTimeout>;
}

/**
 * People who read each other's messages, in all processes of the bus. No one waits for a slow reader: the output limit of
 * its session ends it.
 *
 * All arrivals and departures within one turn of the event loop are announced in one message. With one message each, a
 * thousand people who leave together would cause a million messages.
 */
class Rooms {
  readonly #hub: Hub;
  readonly #last: { last?: number };
  readonly #news = new Map<string, News>();

  constructor(bus: Bus | undefined) {
    this.#last = bus?.history === undefined ? {} : { last: LAST_LINES };
    this.#hub = new Hub({
      bus,
      onJoin: (room, { id }, isNew) => isNew && this.#onJoin(room, id),
      onLeave: (room, { id }) => this.#onLeave(room, id),
    });
  }

  /** Lets someone into the hall. Returns whether the name was free. */
  admit(name: string, session: Session): boolean {
    if (this.#hub.person(EVERYONE, name) !== undefined) return false;
    this.#hub.join(EVERYONE, session, { id: name });
    this.#hub.join("hall", session, { id: name, ...this.#last });
    return true;
  }

  move(name: string, session: Session, from: string, to: string): void {
    this.#hub.leave(from, session);
    this.#hub.join(to, session, { id: name, ...this.#last });
  }

  dismiss(session: Session): void {
    this.#hub.leaveAll(session);
  }

  close(): Promise<void> {
    return this.#hub.close();
  }

  people(room: string): Set<string> {
    return new Set([...this.#hub.people(room)].map(({ id }) => id));
  }

  say(room: string, line: string): void {
    this.#announce(room); // the speaker must be announced first
    this.#hub.publish(room, `${line}\n`);
  }

  #onJoin(room: string, name: string): void {
    if (room === EVERYONE) return;
    const { joined, left } = this.#newsOf(room);
    if (!left.delete(name)) joined.add(name);
  }

  #onLeave(room: string, name: string): void {
    if (room === EVERYONE) return;
    const [other] = this.#hub.members(room);
    if (other === undefined) return this.#forget(room);
    if (this.#news.get(room)?.joined.delete(name)) return;
    if (!other.draining.aborted) this.#newsOf(room).left.add(name); // otherwise, everyone leaves
  }

  #newsOf(room: string): News {
    let news = this.#news.get(room);
    if (news === undefined) {
      const timer = setTimeout(() => this.#announce(room));
      this.#news.set(room, news = { joined: new Set(), left: new Set(), timer });
    }
    return news;
  }

  /** Tells the people of this process. Each process has the same news. */
  #announce(room: string): void {
    const news = this.#news.get(room);
    if (news === undefined) return;
    this.#forget(room);
    const left = news.left.size > 1 ? "leave" : "leaves";
    const joined = news.joined.size > 1 ? `join ${room}` : `joins ${room}`;
    let text = "";
    if (news.left.size > 0) text += `* ${listed(news.left)} ${left}\n`;
    if (news.joined.size > 0) text += `* ${listed(news.joined)} ${joined}\n`;
    if (text === "") return;
    const message = prepare(text);
    for (const session of this.#hub.members(room)) session.send(message);
  }

  #forget(room: string): void {
    clearTimeout(this.#news.get(room)?.timer);
    this.#news.delete(room);
  }
}

/** A client that does not read is disconnected at 64 KiB of unsent output. */
export const options: ServiceOptions = {
  highWaterMark: 16 * 1024,
  maxBufferedOutput: 64 * 1024,
};

/** Makes the handler of a chat. */
function chatHandler(rooms: Rooms): Handler {
  async function admit(session: Session): Promise<string | undefined> {
    await session.send("What is your name?\n");
    for await (const name of session.lines({ maxLength: 100 })) {
      if (!NAME.test(name)) await session.send("A name has 1 to 20 letters or digits. Another?\n");
      else if (rooms.admit(name, session)) return name;
      else await session.send(`${name} is here already. Another?\n`);
    }
  }

  async function converse(name: string, session: Session): Promise<void> {
    let room = "hall";
    for await (const line of session.lines({ maxLength: 1000 })) {
      const [, command, argument = ""] = /^\/(\w+) ?(.*)$/.exec(line) ?? [];
      if (command === undefined) {
        rooms.say(room, `${name}: ${line.split("\t").map(printable).join("\t")}`);
      } else if (command === "quit") return;
      else if (command === "join" && NAME.test(argument)) {
        rooms.move(name, session, room, argument);
        room = argument;
      } else if (command === "who") {
        await session.send(`${room}: ${listed(rooms.people(room))}\n`);
      } else await session.send("I know /join ROOM, /who and /quit.\n");
    }
  }

  return async (session) => {
    try {
      const name = await admit(session);
      if (name !== undefined) await converse(name, session);
    } catch (error) {
      if (error instanceof FrameTooLargeError) {
        session.send(`A line has at most ${error.limit} bytes. Good-bye!\n`);
      }
      throw error;
    } finally {
      rooms.dismiss(session);
    }
  };
}

/** Serves the chat, with the processes of `bus` if there is one. */
export function chat({ bus, ...own }: ServeOptions & { bus?: Bus | undefined }): Server {
  const rooms = new Rooms(bus);
  const server = serve({ ...options, ...own }, chatHandler(rooms));
  server.finished.then(() => rooms.close());
  return server;
}

/** What a worker serves. Its rooms end with it. */
export default chatHandler(new Rooms(workerBus())) satisfies Handler as Handler;

function listed(names: ReadonlySet<string>): string {
  const named = Iterator.from(names).take(MAX_NAMES).toArray().join(", ");
  return names.size > MAX_NAMES ? `${named} and ${names.size - MAX_NAMES} more` : named;
}

if (import.meta.main && workerBus() === undefined) {
  const [port = "1235", others = "1", kept] = Deno.args;
  const nats = others.startsWith("nats://") ? await connectToNats(others) : undefined;
  const history = nats && kept === "history" ? await openHistory(nats) : undefined;
  const where = { port: Number(port) };
  const workers = Number(others);
  const server = workers > 1
    ? serveWorkers(import.meta.url, { ...where, workers })
    : chat({ ...where, bus: nats && natsBus(nats, { history }) });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  console.log(`chatting on ${formatAddress(await server.listening)}`);
  await server.finished;
  await nats?.close();
}
