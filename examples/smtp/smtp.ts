/** The service: a handler for `serve()`. */

import { formatAddress, type Handler, MalformedFrameError, type Session } from "@parley/tcp";
import { readMessage } from "./message.ts";
import { LastReply, replyText, SmtpError } from "./reply.ts";
import { parseCommand, parseHost, parsePath } from "./syntax.ts";

/** A message and its envelope. */
export interface Mail {
  /** The name that the client gives itself, and its address. */
  readonly client: string;
  readonly remoteAddr: string;
  /** Empty for a message that must not be answered, such as one about mail that could not be delivered. */
  readonly from: string;
  readonly to: readonly string[];
  /** The message, headers first, with a line at the top that says how it was received. */
  readonly message: Uint8Array;
}

export interface SmtpOptions {
  /** The name of the server. Default: `localhost`. */
  hostname?: string;
  /** The maximum size of a message, in bytes. Default: 10 MiB. */
  maxSize?: number;
  /** How many recipients a message may have. Default: 100, the least that is allowed (RFC 5321 §4.5.3.1.8). */
  maxRecipients?: number;
  /** Whether clients may begin TLS. The server needs `tls: { mode: "starttls", … }`. */
  starttls?: boolean;
  /** Throws an `SmtpError` if there is no such recipient. */
  verify?(recipient: string): unknown;
  /** Accepts a message. An `SmtpError` refuses it. After any other error, the client is told to try again later. */
  deliver(mail: Mail): unknown;
}

/** After this many errors, a client is disconnected. */
const MAX_ERRORS = 20;
/** A line of a command, with room for parameters (RFC 5321 §4.5.3.1.4 asks for 512 bytes). */
const MAX_LINE = 2048;

/** Receives mail. It does not relay. */
export function smtp(options: SmtpOptions): Handler {
  return async (session) => await new Conversation(session, options).run();
}

class Conversation {
  readonly #session: Session;
  readonly #options: Required<SmtpOptions>;
  #errors = 0;
  /** The name that the client gave itself, and whether by EHLO. */
  #client: string | undefined;
  #isExtended = false;
  #from: string | undefined;
  #to: string[] = [];

  constructor(session: Session, options: SmtpOptions) {
    this.#session = session;
    this.#options = {
      hostname: "localhost",
      maxSize: 10 * 1024 * 1024,
      maxRecipients: 100,
      starttls: false,
      verify: () => {},
      ...options,
    };
  }

  async run(): Promise<void> {
    const { hostname } = this.#options;
    this.#session.goodbye = (reason) =>
      replyText(421, `${hostname} ${reason === "drain" ? "is shutting down" : "has timed out"}`);
    await this.#reply(220, `${hostname} ESMTP`);
    const lines = this.#session.lines({
      ending: "\r\n",
      strict: true,
      maxLength: MAX_LINE,
      onTooLong: () => this.#refuseLongLine(),
    });
    try {
      for await (const line of lines) await this.#answer(line);
    } catch (error) {
      if (error instanceof LastReply) await this.#reply(error.code, error.message);
      else if (error instanceof MalformedFrameError) {
        await this.#reply(500, `lines must end with CR LF: ${error.message}`);
      } else throw error;
    }
  }

  async #answer(line: string): Promise<void> {
    const [verb, argument] = parseCommand(line);
    try {
      await this.#execute(verb, argument);
    } catch (error) {
      if (error instanceof LastReply || !(error instanceof SmtpError)) throw error;
      await this.#refuse(error);
    }
  }

  async #execute(verb: string, argument: string): Promise<void> {
    const { hostname } = this.#options;
    switch (verb) {
      case "HELO":
        this.#meet(argument, false);
        return await this.#reply(250, hostname);
      case "EHLO":
        this.#meet(argument, true);
        return await this.#reply(250, hostname, ...this.#extensions());
      case "STARTTLS":
        return await this.#startTls();
      case "MAIL":
        return await this.#mail(argument);
      case "RCPT":
        return await this.#recipient(argument);
      case "DATA":
        return await this.#data();
      case "RSET":
        this.#reset();
        return await this.#reply(250, "OK");
      case "NOOP":
        return await this.#reply(250, "OK");
      case "VRFY":
        return await this.#reply(252, "send it, and see");
      case "QUIT":
        throw new LastReply(221, `${hostname} closes the connection`);
      default:
        throw new SmtpError(500, "there is no such command");
    }
  }

  #meet(argument: string, isExtended: boolean): void {
    this.#client = parseHost(argument);
    this.#isExtended = isExtended;
    this.#reset();
  }

  #extensions(): string[] {
    const { maxSize, starttls } = this.#options;
    const canStartTls = starttls && this.#session.tls === undefined;
    return ["PIPELINING", `SIZE ${maxSize}`, "8BITMIME", ...(canStartTls ? ["STARTTLS"] : [])];
  }

  /** Begins TLS. After that, earlier commands are forgotten (RFC 3207 §4.2). */
  async #startTls(): Promise<void> {
    const session = this.#session;
    if (!this.#options.starttls) throw new SmtpError(502, "there is no TLS here");
    if (session.tls !== undefined) throw new SmtpError(503, "this is TLS already");
    await this.#reply(220, "go ahead");
    await session.upgradeTls(); // fails if anything came unencrypted after the command
    this.#client = undefined;
    this.#reset();
  }

  async #mail(argument: string): Promise<void> {
    if (this.#client === undefined) throw new SmtpError(503, "say EHLO first");
    if (this.#from !== undefined) throw new SmtpError(503, "one message at a time");
    const { maxSize } = this.#options;
    const [address, parameters] = parsePath(argument, "FROM:");
    for (const [name, value] of parameters) {
      if (name === "SIZE" && /^\d{1,20}$/.test(value)) { // RFC 1870 §6.1: it need not be sent, then
        if (Number(value) > maxSize) {
          throw new SmtpError(552, `a message has at most ${maxSize} bytes`);
        }
      } else if (name !== "BODY" || !/^(7BIT|8BITMIME)$/i.test(value)) {
        throw new SmtpError(555, `${name} is not understood`);
      }
    }
    this.#from = address;
    await this.#reply(250, "OK");
  }

  async #recipient(argument: string): Promise<void> {
    const { maxRecipients, verify } = this.#options;
    if (this.#from === undefined) throw new SmtpError(503, "say MAIL first");
    const [address, [parameter]] = parsePath(argument, "TO:");
    if (parameter !== undefined) throw new SmtpError(555, `${parameter[0]} is not understood`);
    if (address === "") throw new SmtpError(501, "there is no address");
    if (this.#to.length >= maxRecipients) {
      throw new SmtpError(452, `a message has at most ${maxRecipients} recipients`);
    }
    await verify(address);
    this.#to.push(address);
    await this.#reply(250, "OK");
  }

  async #data(): Promise<void> {
    if (this.#from === undefined) throw new SmtpError(503, "say MAIL first");
    if (this.#to.length === 0) throw new SmtpError(554, "nobody is to receive it");
    const [from, to] = [this.#from, this.#to];
    this.#reset();
    await this.#reply(354, "end with a dot on a line by itself");
    const text = await readMessage(this.#session, this.#options.maxSize);
    if (text === undefined) return; // the client is gone; the message may be incomplete
    const remoteAddr = formatAddress(this.#session.remoteAddr);
    const mail = {
      client: this.#client!,
      remoteAddr,
      from,
      to,
      message: this.#traced(text, remoteAddr),
    };
    try {
      await this.#options.deliver(mail);
    } catch (error) {
      if (!(error instanceof SmtpError)) await this.#reply(451, "try again later");
      throw error; // ends the session, and is reported to `onError`
    }
    await this.#reply(250, "OK");
  }

  /** A message with a line at the top that says how it was received (RFC 5321 §4.4). */
  #traced(text: Uint8Array, remoteAddr: string): Uint8Array {
    const protocol = `${this.#isExtended ? "E" : ""}SMTP${this.#session.tls ? "S" : ""}`;
    const date = new Date().toUTCString().replace("GMT", "+0000");
    const line = `Received: from ${this.#client} (${remoteAddr})\r\n` +
      `\tby ${this.#options.hostname} with ${protocol}; ${date}\r\n`;
    const message = new Uint8Array(line.length + text.length);
    new TextEncoder().encodeInto(line, message);
    message.set(text, line.length);
    return message;
  }

  #reset(): void {
    this.#from = undefined;
    this.#to = [];
  }

  /** Refuses a line that was too long and is dropped. */
  #refuseLongLine(): void {
    this.#session.send(replyText(500, `a line has at most ${MAX_LINE} bytes`));
    this.#countError();
  }

  async #refuse({ code, message }: SmtpError): Promise<void> {
    await this.#reply(code, message);
    this.#countError();
  }

  #countError(): void {
    if (++this.#errors >= MAX_ERRORS) throw new LastReply(421, "too many errors");
  }

  async #reply(code: number, ...lines: string[]): Promise<void> {
    await this.#session.send(replyText(code, ...lines));
  }
}
