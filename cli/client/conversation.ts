import { formatAddress, type Reading, type Session, SessionEndedError } from "../../mod.ts";
import { withoutLineEnd } from "../server/services/greeting.ts";
import { ProgramError } from "../program.ts";
import { silenceOf } from "./silence.ts";
import { isTlsAlert, mayWantTls } from "./tls_hint.ts";

/** The service reads at most this many bytes at a time, and so does this client. */
export const MAX_MESSAGE = 1024;

/** The connection cannot be used any more. A new one may work. */
export class LostError extends ProgramError {}

/** A conversation with the greeting service. */
export class Conversation {
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

  /** Sends a name and returns the reply. */
  async say(name: string): Promise<string> {
    await this.#session.send(name).catch(() => {}); // a lost server is noticed by the next read
    return await this.reply(`hello, ${name}!`);
  }

  /** Reads one reply. TCP may split it, so this waits for the rest of a reply that is incomplete. */
  async reply(expected: string): Promise<string> {
    const onTimeout = () => {
      const problem = `no reply within ${this.#timeout} ms: try a longer --timeout`;
      this.#session.abort(new LostError(problem + this.#tlsHint));
    };
    const timer = this.#timeout < Infinity ? setTimeout(onTimeout, this.#timeout) : undefined;
    try {
      let reply = "";
      do {
        reply += await this.#heard();
        this.#next = this.#listen();
      } while (reply.length < expected.length && expected.startsWith(reply));
      if (isTlsAlert(this.#session, reply)) {
        throw new ProgramError(`${this.#server} speaks TLS: try --tls`);
      }
      return withoutLineEnd(reply); // other servers may send one
    } finally {
      clearTimeout(timer);
    }
  }

  /** Rejects if the server leaves while there is nothing to reply to. Never resolves. */
  async loss(): Promise<never> {
    await this.#heard();
    return await new Promise<never>(() => {}); // unexpected data counts as the next reply
  }

  /** Ends the conversation. The caller closes the session. */
  async sayExit(): Promise<void> {
    await this.#session.send("exit").catch(() => {}); // the server may have left first
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  get #server(): string {
    return `the server at ${formatAddress(this.#session.remoteAddr)}`;
  }

  get #tlsHint(): string {
    return mayWantTls(this.#session) ? ", or try --tls" : "";
  }

  #listen(): Promise<IteratorResult<string, undefined>> {
    const next = this.#replies.next();
    next.catch(() => {}); // the next wait reports it
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
      const silence = error instanceof SessionEndedError && silenceOf(error, this.#session);
      if (silence) throw new LostError(silence);
      problem = `the connection was lost: ${cause instanceof Error ? cause.message : message}`;
    }
    throw new LostError(`${problem}: see whether ${this.#server} still runs${this.#tlsHint}`);
  }
}
