/** The conversation with the greeting service, from the welcome to the exit. */

import { FrameTooLargeError, printable, type ReconnectingClient, type Session } from "../../mod.ts";
import { dial, dialError, dialOptions } from "./dial.ts";
import type { Plan } from "./options.ts";
import { reconnecting } from "./reconnecting.ts";
import { Conversation, LostError, MAX_MESSAGE } from "./conversation.ts";
import { withoutLineEnd } from "../server/services/greeting.ts";
import { standardInput } from "./standard_input.ts";
import { printLine, ProgramError, UsageError } from "../program.ts";
import { stdin, stdout } from "../standard_streams.ts";
import { say, standardError } from "../standard_error.ts";

/** Sends each name after the reply to the last one, and prints the replies. By default, it reads names from standard input. */
export async function greet(plan: Plan, args: readonly string[]): Promise<number> {
  const names = args.map(withoutLineEnd);
  checkNames(names);

  const caller = new Caller(plan);
  try {
    show(await caller.arrive());
    let code = 0;
    for await (const name of names.length > 0 ? names : typedNames(caller)) {
      if (name === "exit") break;
      if (isAnswerable(name)) show(await caller.say(name));
      else if (!stdin.isTerminal()) code = 1; // at a terminal, the user can try again
    }
    return code;
  } finally {
    await caller.end();
  }
}

/** Throws if names cannot all be said. */
export function checkNames(names: readonly string[]): void {
  for (const name of names) {
    const problem = problemOf(name);
    if (problem !== undefined) throw new UsageError(problem);
  }
  const end = names.indexOf("exit");
  if (end !== -1 && end < names.length - 1) {
    const unsaid = JSON.stringify(names[end + 1]);
    throw new UsageError(`exit ends the conversation: ${unsaid} cannot follow it`);
  }
}

/** Prints a reply. On a terminal, control characters of the server are escaped. */
export function show(reply: string): void {
  const isTerminal = stdout.isTerminal();
  printLine(isTerminal ? reply.split(/\r?\n/).map(printable).join("\n") : reply);
}

/** Has one conversation, or, if the plan says to reconnect, one after the other. */
class Caller {
  readonly #plan: Plan;
  readonly #dial: () => Promise<Session>;
  readonly #client: ReconnectingClient | undefined;
  #conversation: Conversation | undefined;
  #arriving: Promise<string> | undefined;

  constructor(plan: Plan) {
    this.#plan = plan;
    const options = dialOptions(plan, { chunkSize: MAX_MESSAGE });
    const client = this.#client = plan.reconnect ? reconnecting(options, plan) : undefined;
    this.#dial = async () =>
      client === undefined ? await dial(options, plan) : await sessionOf(client);
  }

  /** Dials, and returns the welcome. Calls during a dial get the same one. */
  arrive(): Promise<string> {
    return this.#arriving ??= this.#arrive().finally(() => this.#arriving = undefined);
  }

  /** Sends a name until there is a reply. */
  async say(name: string): Promise<string> {
    for (;;) {
      await this.#arriving;
      try {
        return await this.#conversation!.say(name);
      } catch (error) {
        this.#unlessLost(error);
        await this.arrive();
      }
    }
  }

  /** Rejects if the server leaves for good while there is nothing to reply to. Never resolves. */
  async loss(): Promise<never> {
    for (;;) {
      await this.#arriving;
      const conversation = this.#conversation!;
      try {
        return await conversation.loss();
      } catch (error) {
        this.#unlessLost(error);
        if (conversation === this.#conversation) await this.arrive();
      }
    }
  }

  async end(): Promise<void> {
    if (this.#arriving === undefined) await this.#conversation?.sayExit();
    else this.#arriving.catch(() => {}); // it is not awaited any more
    await (this.#client ?? this.#conversation)?.close();
  }

  async #arrive(): Promise<string> {
    for (;;) {
      try {
        this.#conversation = new Conversation(await this.#session(), this.#plan.timeout);
        return await this.#conversation.reply("welcome!");
      } catch (error) {
        this.#unlessLost(error);
      }
    }
  }

  async #session(): Promise<Session> {
    try {
      return await this.#dial();
    } catch (error) {
      throw dialError(error, this.#plan);
    }
  }

  #unlessLost(error: unknown): void {
    if (this.#client === undefined || !(error instanceof LostError)) throw error;
  }
}

/** The next session of a client that reconnects. */
async function sessionOf(client: ReconnectingClient): Promise<Session> {
  const { value } = await client.next();
  if (value === undefined) throw new ProgramError("the client was closed");
  return value;
}

/** The lines of standard input. */
async function* typedNames(caller: Caller): AsyncIterable<string> {
  const prompt = (text: string) => {
    if (stdin.isTerminal()) standardError.push(text);
  };
  const lines = standardInput().lines();
  try {
    for (;;) {
      prompt("name: ");
      const name = await Promise.race([lines.read(), caller.loss()]);
      if (name === undefined) break;
      if (name !== "") yield name;
    }
    prompt("\n");
  } catch (error) {
    prompt("\n");
    if (error instanceof FrameTooLargeError) {
      throw new ProgramError(`a line of over ${error.limit} bytes is too long for a name`);
    }
    const { cause } = error as Error; // of the end of standard input, as a session reports it
    throw cause instanceof ProgramError ? cause : error;
  }
}

/** Whether a name can be said. Otherwise, it tells the user why not. */
export function isAnswerable(name: string): boolean {
  const problem = problemOf(name);
  if (problem !== undefined) say(`error: ${problem}`);
  return problem === undefined;
}

/** What is wrong with a name; `undefined` if nothing is. */
function problemOf(name: string): string | undefined {
  if (name === "") return "a name must not be empty";
  const length = new TextEncoder().encode(name).length;
  const limit = MAX_MESSAGE - "hello, !".length;
  if (length <= limit) return undefined;
  return `a name must have at most ${limit} bytes, so that its reply fits in ${MAX_MESSAGE}, got ${length}`;
}
