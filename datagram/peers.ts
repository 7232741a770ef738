/** What a server knows of addresses: which may send, how often, and which are proven. */

import type { Address } from "../_internal/address.ts";
import { checkInteger } from "../_internal/checks.ts";
import { resolveRate } from "../_internal/token_bucket.ts";
import { blockOf, CidrList, ipOf } from "../serve/cidr.ts";
import { SessionRates } from "../serve/session_rates.ts";
import type { DatagramDropReason } from "./observer.ts";
import type { ServeDatagramsOptions } from "./options.ts";

/** Checks who may send, and how often. */
export class Admission {
  /** Whether every datagram is let in. */
  readonly isOpen: boolean;
  readonly #allow: CidrList | undefined;
  readonly #deny: CidrList | undefined;
  readonly #rates: SessionRates | undefined;
  readonly #ipv6PrefixLength: number;

  constructor(options: ServeDatagramsOptions<unknown, unknown>) {
    const { allow, deny, messageRate, ipv6PrefixLength = 64 } = options;
    this.#allow = allow === undefined ? undefined : new CidrList("allow", allow);
    this.#deny = deny === undefined ? undefined : new CidrList("deny", deny);
    this.#ipv6PrefixLength = checkInteger("ipv6PrefixLength", ipv6PrefixLength, 1, 128);
    this.#rates = messageRate === undefined ? undefined : new SessionRates({
      ...resolveRate("messageRate", messageRate, 2 ** 30),
      waits: false,
    });
    this.isOpen = allow === undefined && deny === undefined && messageRate === undefined;
  }

  /** Why a datagram is dropped, if it is. Otherwise, it counts for the rate of its sender. */
  judge(from: Address): DatagramDropReason | undefined {
    const ip = ipOf(from);
    if (ip === undefined) return; // a Unix socket, whose permissions decide
    if (this.#deny?.includesIp(ip) || this.#allow?.includesIp(ip) === false) return "denied";
    if (this.#rates === undefined) return;
    const block = blockOf(ip, ip.length === 4 ? 32 : this.#ipv6PrefixLength);
    return this.#rates.take(block) === undefined ? "rate" : undefined;
  }
}

/** How many proven senders are remembered: 10 MB at most. */
const MAX_PROVEN = 65_536;

/**
 * The senders that have shown that they receive at their address. The one that was proven first is forgotten if there are
 * too many: no one gets in here with a forged address, so forged datagrams cannot push others out.
 */
export class ProvenPeers {
  readonly #lasts: number;
  readonly #max: number;
  /** When each was proven, by `performance.now()`, in that order. */
  readonly #since: Map<string, number> = new Map();

  /** @param lasts How long a sender remains proven, in milliseconds. */
  constructor(lasts: number, max: number = MAX_PROVEN) {
    this.#lasts = lasts;
    this.#max = max;
  }

  get size(): number {
    return this.#since.size;
  }

  add(from: Address): void {
    const now = performance.now();
    const key = keyOf(from);
    this.#since.delete(key);
    for (const [other, since] of this.#since) {
      if (this.#since.size < this.#max && now - since < this.#lasts) break;
      this.#since.delete(other);
    }
    this.#since.set(key, now);
  }

  has(from: Address): boolean {
    if (from.transport !== "udp") return true; // only an IP address can be forged
    if (this.#since.size === 0) return false;
    const since = this.#since.get(keyOf(from));
    return since !== undefined && performance.now() - since < this.#lasts;
  }
}

function keyOf(from: Address): string {
  return "hostname" in from ? `${from.hostname} ${from.port}` : "";
}
