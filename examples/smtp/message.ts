import type { Session } from "@parley/tcp";
import { delimited } from "@parley/tcp/codecs";
import { LastReply, SmtpError } from "./reply.ts";

const [LF, CR, DOT] = [0x0a, 0x0d, 0x2e];
const CRLF = new Uint8Array([CR, LF]);

/**
 * Reads the text of a message, up to a line with nothing but a dot (RFC 5321 §4.1.1.4). It is bytes and not text, because
 * with 8BITMIME it may be in any character set. `undefined` if the client has left before the end.
 */
export async function readMessage(
  session: Session,
  maxSize: number,
): Promise<Uint8Array | undefined> {
  const message = new Message(maxSize);
  const lines = session.frames(delimited("\r\n", { onTooLong: () => message.isTooLong = true }));
  for (;;) {
    const line = await lines.read(); // not a loop, which would end with a drain
    if (line === undefined) return undefined;
    if (line.includes(LF) || line.includes(CR)) {
      // If one program takes a bare LF for the end of a line and the next one does not, mail can be smuggled in
      // (CVE-2023-51764).
      throw new LastReply(500, "lines must end with CR LF, and have neither by itself");
    }
    if (line.length === 1 && line[0] === DOT) break;
    message.add(line[0] === DOT ? line.subarray(1) : line);
  }
  if (message.isTooLong) throw new SmtpError(552, `a message has at most ${maxSize} bytes`);
  return message.bytes;
}

/** Bytes in one piece. In a list of lines, empty lines would take a hundred times their size. */
class Message {
  isTooLong = false;
  readonly #maxSize: number;
  #bytes = new Uint8Array(4096);
  #size = 0;

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  /** Adds a line with its end. The rest of a message that is too long is read but not kept. */
  add(line: Uint8Array): void {
    const size = this.#size + line.length + CRLF.length;
    this.isTooLong ||= size > this.#maxSize;
    if (this.isTooLong) return;
    if (size > this.#bytes.length) {
      const room = Math.max(size, Math.min(this.#maxSize, 2 * this.#bytes.length));
      this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(room));
    }
    this.#bytes.set(line, this.#size);
    this.#bytes.set(CRLF, size - CRLF.length);
    this.#size = size;
  }
}
