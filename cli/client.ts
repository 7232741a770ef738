import {
  connect,
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  formatAddress,
  FrameTooLargeError,
  type Reading,
  Session,
} from "../mod.ts";
import { withoutLineEnd } from "./services/greeting.ts";
import {
  type Arguments,
  integerOption,
  printLine,
  ProgramError,
  runProgram,
  UsageError,
  writeAll,
} from "./program.ts";

const HELP = `Talks to the greeting service: sends names, prints the replies, then says exit.

Usage: deno run --allow-net client.ts [options] [NAME ...]

Without names, it takes them from standard input, one a line.
After --, a name may begin with a dash.

  --hostname HOST  name or address of the server (default 127.0.0.1)
  --port PORT      port of the server (default 1234)
  --timeout MS     longest wait for the connection and for each reply,
                   in milliseconds (default 10000)
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
  const names = args.names.map(withoutLineEnd);
  for (const name of names) {
    const problem = problemOf(name);
    if (problem !== undefined) throw new UsageError(problem);
  }

  const conversation = new Conversation(await dial(hostname, port, timeout), timeout);
  try {
    printLine(await conversation.reply("welcome!"));
    let code = 0;
    for await (const name of names.length > 0 ? names : typedNames(conversation)) {
      if (name === "exit") break;
      const problem = problemOf(name);
      if (problem === undefined) printLine(await conversation.say(name));
      else {
        console.error(`error: ${problem}`);
        if (!Deno.stdin.isTerminal()) code = 1; // a person has seen it and can try again
      }
    }
    return code;
  } finally {
    await conversation.end();
  }
}

/** The lines of standard input. */
async function* typedNames(conversation: Conversation): AsyncIterable<string> {
  const prompt = (text: string) => {
    if (Deno.stdin.isTerminal()) writeAll(Deno.stderr, text);
  };
  const lines = standardInput().lines();
  try {
    for (;;) {
      prompt("name: ");
      const name = await Promise.race([lines.read(), conversation.loss()]);
      if (name === undefined) break;
      if (name !== "") yield name;
    }
    prompt("\n");
  } catch (error) {
    prompt("\n");
    if (!(error instanceof FrameTooLargeError)) throw error;
    throw new ProgramError(`a line of over ${error.limit} bytes is too long for a name`);
  }
}

/** What is said to the server, and what it replies. */
class Conversation {
  readonly #session: Session;
  readonly #replies: Reading<string>;
  readonly #timeout: number;
  /** One reading always waits, so that it shows at once if the server leaves. */
  #next: Promise<IteratorResult<string, undefined>>;

  constructor(session: Session, timeout: number) {
    this.#session = session;
    this.#replies = session.text();
    this.#timeout = timeout;
    this.#next = this.#listen();
  }

  /** Sends a name and gives the reply. */
  async say(name: string): Promise<string> {
    await this.#session.send(name).catch(() => {}); // a server that is gone shows in what is read
    return await this.reply(`hello, ${name}!`);
  }

  /** One reply. TCP may split it, so while it is the beginning of what is expected, the rest is waited for. */
  async reply(expected: string): Promise<string> {
    const timer = setTimeout(() => {
      const problem = `no reply within ${this.#timeout} ms: try a longer --timeout`;
      this.#session.abort(new ProgramError(problem));
    }, this.#timeout);
    try {
      let reply = "";
      do {
        reply += await this.#heard();
        this.#next = this.#listen();
      } while (reply.length < expected.length && expected.startsWith(reply));
      return withoutLineEnd(reply); // other servers may send one
    } finally {
      clearTimeout(timer);
    }
  }

  /** Rejects when the server leaves while it has nothing to reply to. Never resolves. */
  async loss(): Promise<never> {
    await this.#heard();
    return await new Promise<never>(() => {}); // it spoke unasked: that counts as the next reply
  }

  async end(): Promise<void> {
    await this.#session.send("exit").catch(() => {}); // the server may have left first
    await this.#session.close();
  }

  #listen(): Promise<IteratorResult<string, undefined>> {
    const next = this.#replies.next();
    next.catch(() => {}); // whoever waits for it next is told
    return next;
  }

  async #heard(): Promise<string> {
    let problem = "the server closed the connection";
    try {
      const { value, done } = await this.#next;
      if (!done) return value;
    } catch (error) {
      const { cause, message } = error as Error;
      if (cause instanceof ProgramError) throw cause;
      problem = `the connection was lost: ${cause instanceof Error ? cause.message : message}`;
    }
    const address = formatAddress(this.#session.remoteAddr);
    throw new ProgramError(`${problem}: see whether the server at ${address} still runs`);
  }
}

/** What is wrong with a name, if anything is. */
function problemOf(name: string): string | undefined {
  if (name === "") return "a name must not be empty";
  const length = new TextEncoder().encode(name).length;
  const limit = MAX_MESSAGE - "hello, !".length;
  if (length <= limit) return undefined;
  return `a name must have at most ${limit} bytes, so that its reply fits in ${MAX_MESSAGE}, got ${length}`;
}

async function dial(hostname: string, port: number, timeout: number): Promise<Session> {
  try {
    return await connect({
      hostname,
      port,
      connectTimeout: timeout,
      closeTimeout: 1_000, // there is nothing more to come from the server
      idleTimeout: Infinity, // people think; the server has a limit of its own
      chunkSize: MAX_MESSAGE,
    });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (error instanceof ConnectTimeoutError) {
      throw new ProgramError(
        `cannot connect to ${error.address}: no answer within ${timeout} ms: try a longer --timeout`,
      );
    }
    const hint = error instanceof ConnectionRefusedError
      ? "start the server, or choose another with --hostname and --port"
      : "choose another server with --hostname and --port";
    throw new ProgramError(`${error.message}: ${hint}`);
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
