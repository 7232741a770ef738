import { connect, ConnectionRefusedError, type Reading, Session } from "../mod.ts";
import { type Arguments, integerOption, ProgramError, runProgram, UsageError } from "./program.ts";

const HELP = `Talks to the greeting service: sends names and prints the replies, then says exit.

Usage: deno run --allow-net client.ts [options] [NAME ...]

Without names, it takes them from standard input, one a line.

  --hostname HOST  address or name of the server (default 127.0.0.1)
  --port PORT      port of the server (default 1234)
  --timeout MS     longest wait for the connection and for each reply, in milliseconds (default 10000)
  --help           print this
  --version        print the version`;

/** The service reads at most so many bytes at a time, and so does this client. */
const MAX_MESSAGE = 1024;

/** The program: one conversation. */
export function main(): Promise<void> {
  return runProgram({
    help: HELP,
    options: ["hostname", "port", "timeout"],
    takesNames: true,
    run,
  });
}

async function run(args: Arguments): Promise<number> {
  const hostname = args.options["hostname"] ?? "127.0.0.1";
  const port = integerOption(args, "port", [1, 65535], 1234);
  const timeout = integerOption(args, "timeout", [1, 2 ** 31 - 1], 10_000);
  for (const name of args.names) {
    const problem = problemOf(name);
    if (problem !== undefined) throw new UsageError(problem);
  }

  const session = await dial(hostname, port, timeout);
  const conversation = new Conversation(session, timeout);
  console.log(await conversation.reply(undefined));
  const refused = args.names.length > 0
    ? await sayNames(conversation, args.names)
    : await sayLines(conversation);
  await session.send("exit").catch(() => {}); // the server may have left first, at a name that was exit
  await session.close();
  return refused ? 1 : 0;
}

async function sayNames(conversation: Conversation, names: string[]): Promise<boolean> {
  for (const name of names) if (!await conversation.say(name)) break;
  return false;
}

/** Takes names from standard input. Returns whether one of them was refused. */
async function sayLines(conversation: Conversation): Promise<boolean> {
  const isTerminal = Deno.stdin.isTerminal();
  const lines = standardInput().lines({ maxLength: 64 * 1024 });
  let refused = false;
  for (;;) {
    if (isTerminal) Deno.stdout.writeSync(new TextEncoder().encode("name: "));
    const name = await lines.read();
    if (name === undefined) break;
    if (name === "") continue;
    const problem = problemOf(name);
    if (problem !== undefined) {
      console.error(`error: ${problem}`);
      refused = !isTerminal;
    } else if (!await conversation.say(name)) break;
  }
  return refused;
}

class Conversation {
  readonly #session: Session;
  readonly #replies: Reading<string>;
  readonly #timeout: number;

  constructor(session: Session, timeout: number) {
    this.#session = session;
    this.#replies = session.text();
    this.#timeout = timeout;
  }

  /** Sends a name and prints the reply. Returns whether the server is still there. */
  async say(name: string): Promise<boolean> {
    await this.#session.send(name);
    if (name === "exit") return false;
    console.log(await this.reply(`hello, ${name}!`));
    return true;
  }

  /** One reply. TCP may split it, so while it is the beginning of what is expected, the rest is waited for. */
  async reply(expected: string | undefined): Promise<string> {
    const timer = setTimeout(() => {
      this.#session.abort(
        new ProgramError(`no reply within ${this.#timeout} ms: try a longer --timeout`),
      );
    }, this.#timeout);
    try {
      let reply = "";
      do {
        const { value, done } = await this.#replies.next();
        if (done) throw new ProgramError("the server closed the connection before it replied");
        reply += value;
      } while (
        expected !== undefined && reply.length < expected.length && expected.startsWith(reply)
      );
      return reply;
    } catch (error) {
      const { cause } = error as Error;
      throw cause instanceof ProgramError ? cause : error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What is wrong with a name, if anything is. */
function problemOf(name: string): string | undefined {
  if (name === "") return "a name must not be empty";
  const length = new TextEncoder().encode(`hello, ${name}!`).length;
  if (length <= MAX_MESSAGE) return undefined;
  const over = length - MAX_MESSAGE;
  return `a name of ${
    length - "hello, !".length
  } bytes is ${over} too long: a reply holds at most ${MAX_MESSAGE}`;
}

async function dial(hostname: string, port: number, timeout: number): Promise<Session> {
  try {
    return await connect({ hostname, port, connectTimeout: timeout, chunkSize: MAX_MESSAGE });
  } catch (error) {
    if (!(error instanceof ConnectionRefusedError)) throw error;
    throw new ProgramError(
      `${error.message}: start the server, or choose another with --hostname and --port`,
    );
  }
}

/** Standard input read as a session, for its lines with a cap. */
function standardInput(): Session {
  const nowhere = { transport: "memory", name: "standard input" } as const;
  return new Session({
    remoteAddr: nowhere,
    localAddr: nowhere,
    read: (buffer) => Deno.stdin.read(buffer),
    write: () => Promise.reject(new TypeError("standard input cannot be written")),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  }, { idleTimeout: Infinity, frameTimeout: Infinity });
}
