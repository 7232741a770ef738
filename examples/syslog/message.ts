// Messages of syslog, in the format of RFC 5424 or the older one of RFC 3164.

/** A message of syslog. */
export interface SyslogMessage {
  /** What sent it, by number (RFC 5424 §6.2.1): 0 is the kernel, 1 a user's program, 16 to 23 are local. */
  facility: number;
  /** How severe it is, from 0 (emergency) to 7 (debug). */
  severity: number;
  /** The rest: for RFC 5424, without the version. */
  text: string;
  /** The host, the program and the text by itself, in the format of RFC 5424. */
  host?: string;
  program?: string;
  message?: string;
}

const PRIORITY = /^<(0|[1-9]\d{0,2})>(.*)$/s;
/** VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG] (RFC 5424 §6) */
const RFC5424 = /^1 \S+ (\S+) (\S+) \S+ \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: (.*))?$/s;

/** Parses a message; `undefined` if it is none. */
export function parseSyslog(line: string): SyslogMessage | undefined {
  const [, priority, text] = PRIORITY.exec(line) ?? [];
  const number = Number(priority);
  if (text === undefined || !(number <= 191)) return;
  const parsed: SyslogMessage = { facility: number >> 3, severity: number & 7, text };
  const [, host, program, message] = RFC5424.exec(text) ?? [];
  if (host === undefined || program === undefined) return parsed;
  return { ...parsed, host, program, message: (message ?? "").replace(/^\ufeff/, "") };
}
