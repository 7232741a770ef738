/** The reply to a command that is refused. The functions that deliver mail may throw it, too. */
export class SmtpError extends Error {
  override readonly name: string = "SmtpError";
  /** 400 to 499: the client may try again later. 500 to 599: it must not. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The last reply of a session. */
export class LastReply extends SmtpError {
  override readonly name = "LastReply";
}

/** A reply of one line or more (RFC 5321 §4.2.1). */
export function replyText(code: number, ...lines: string[]): string {
  const last = lines.length - 1;
  return lines.map((line, at) => `${code}${at === last ? " " : "-"}${line}\r\n`).join("");
}
