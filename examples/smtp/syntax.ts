/** The syntax of commands (RFC 5321 §4.1). */

import { SmtpError } from "./reply.ts";

/** A path in angle brackets, whose local part may be quoted, and parameters after it. */
const PATH = /^<((?:"(?:[^"\\]|\\.)*"|[^<>\s"])*)>(?: +(\S.*))?$/;
/** A domain or an address in brackets, as a client gives it for its name. */
const HOST = /^[\w.:\[\]-]{1,255}$/;
const MAX_PATH = 254;

/** Splits a line into its verb, in upper case, and what follows. */
export function parseCommand(line: string): [verb: string, argument: string] {
  const [, verb = "", argument = ""] = /^(\S*) *(.*)$/.exec(line.trimEnd())!;
  return [verb.toUpperCase(), argument];
}

/** The name that a client gives itself. */
export function parseHost(argument: string): string {
  if (HOST.test(argument)) return argument;
  throw new SmtpError(501, "a host name must follow");
}

/** The argument of MAIL or RCPT: an address, and parameters by name in upper case. */
export function parsePath(
  argument: string,
  prefix: "FROM:" | "TO:",
): [address: string, parameters: Map<string, string>] {
  const path = argument.slice(prefix.length).trimStart();
  const match = PATH.exec(path);
  if (!argument.toUpperCase().startsWith(prefix) || match === null) {
    throw new SmtpError(501, `${prefix}<address> must follow`);
  }
  const address = match[1]!.replace(/^@[^:]*:/, ""); // a source route is ignored (RFC 5321 §3.3)
  if (address.length > MAX_PATH) throw new SmtpError(501, "the address is too long");
  const parameters = new Map<string, string>();
  for (const parameter of match[2]?.split(/ +/) ?? []) {
    const [name, ...value] = parameter.split("=");
    parameters.set(name!.toUpperCase(), value.join("="));
  }
  return [address, parameters];
}
