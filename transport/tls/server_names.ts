import { lazy } from "../lazy.ts";
import { withoutBrackets } from "../../_internal/ip.ts";
import { type AltName, shortIp } from "./x509/names.ts";

/**
 * A host name or an IP address in canonical form, for comparisons: lower case, without a final dot, non-ASCII labels as
 * A-labels (RFC 5891 §4.4), IPv6 in its shortest form and without brackets. Empty if the text is neither.
 */
export function canonicalName(name: string): string {
  const address = withoutBrackets(name);
  if (lazy.net.isIP(address) !== 0) return shortIp(address).toLowerCase();
  const ascii = keyOf(lazy.url.domainToASCII(name));
  return HOST_NAME.test(ascii) ? ascii : "";
}

/** The same for a server name that may begin with `*.`. An IP address is not a server name (RFC 6066 §3). */
export function canonicalPattern(name: string): string {
  const start = name.startsWith("*.") ? "*." : "";
  const host = canonicalName(name.slice(start.length));
  return host === "" || lazy.net.isIP(host) !== 0 ? "" : start + host;
}

const HOST_NAME = /^(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*$/;

/** Whether a certificate with these names is valid for `host`, which is in canonical form (RFC 9525 §6). */
export function isFor(altNames: readonly AltName[], host: string): boolean {
  if (lazy.net.isIP(host) !== 0) {
    return altNames.some(({ kind, value }) => kind === "IP Address" && value === host);
  }
  return altNames.some(({ kind, value }) => kind === "DNS" && covers(value, host));
}

/**
 * A `*` stands for the whole first label, and at least two labels must follow it (RFC 9525 §6.3). As in OpenSSL, no
 * label may then contain an underscore, and a name with a final dot matches nothing.
 */
function covers(name: string, host: string): boolean {
  const pattern = name.toLowerCase();
  if (!WILDCARD.test(pattern)) return pattern === host;
  const [, label, rest] = /^([a-z0-9-]+)(\..*)$/.exec(host) ?? [];
  return label !== undefined && pattern.slice(1) === rest;
}

const WILDCARD = /^\*(\.[a-z0-9-]+){2,}$/;

/** Values by server name. Exact names come first, then wildcards: `*.` for any first label. */
export class ServerNames<Value> {
  readonly #values: Map<string, Value> = new Map();

  /** Adds a name, which may begin with `*.`. If it is there already, the first value stays. */
  add(name: string, value: Value): void {
    const key = keyOf(name);
    if (!this.#values.has(key)) this.#values.set(key, value);
  }

  has(name: string): boolean {
    return this.#keyFor(name) !== undefined;
  }

  get(name: string): Value | undefined {
    const key = this.#keyFor(name);
    return key === undefined ? undefined : this.#values.get(key);
  }

  #keyFor(name: string): string | undefined {
    const key = keyOf(name);
    if (this.#values.has(key)) return key;
    const wildcard = `*${key.slice(Math.max(0, key.indexOf(".")))}`;
    return this.#values.has(wildcard) ? wildcard : undefined;
  }
}

/** The form in which server names are compared. */
export function keyOf(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
