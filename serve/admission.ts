/** Admission: what happens to a connection between the accept and its session. */

import { blockOf, CidrList, ipOf } from "./cidr.ts";
import { checkInteger, checkOneOf } from "../_internal/checks.ts";
import { closeQuietly } from "../_internal/close_quietly.ts";
import { LinkedList } from "../_internal/linked_list.ts";
import { type Limits, limitValues, OwnLimits } from "./limits.ts";
import { PeerLeft } from "../_internal/peer_left.ts";
import type { Refusal, RefusalReason } from "./observer.ts";
import type { ServeOptions } from "./options.ts";
import { type Connection, normalizeAddress } from "../transport/connection.ts";
import { setSocketOptions, type SocketOptions } from "../transport/socket_options.ts";

/** A step, such as TLS, that a connection must pass before it becomes a session. */
export interface Stage {
  /** Why a connection that fails is refused, unless its peer has left before it has sent anything. */
  readonly reason: RefusalReason;
  /**
   * Processes a connection. If the address of the peer changes, the new one is checked, too.
   *
   * @param connection The connection. If the server stops, it is closed, and this must settle soon.
   * @returns The connection to continue with, over the same descriptor.
   */
  run(connection: Connection): Promise<Connection>;
  /** Whether a connection stands for others, so that its own address is not checked. */
  isProxy?(connection: Connection): boolean;
}

/** A connection that passes through the stages. */
interface PendingConnection {
  connection: Connection;
  /** The error that ran out of descriptors: the connection is refused whatever the stages decide. */
  exhaustion?: unknown;
  /** Ends the wait for a rate, while there is one. */
  endWait?: (() => void) | undefined;
  /** The server has stopped, and the connection is not to become a session. */
  isDropped: boolean;
}

/** Room for one connection, held from the accept until its descriptor is free. */
export interface Permit {
  /** What it counts as in `maxSessionsPerAddress`. */
  block: string | undefined;
  /** What it has counted as in `sessionRate`, and how long it has to wait for that, in milliseconds. */
  ratedBlock: string | undefined;
  delay: number;
}

/** What an admission asks its server, and reports to it. */
export interface AdmissionHooks {
  /** A connection may become a session. The server must release its permit. */
  onAdmission(connection: Connection, permit: Permit): void;
  /** A connection was refused and is closed. */
  onRefusal(refusal: Refusal): void;
  /** A refused connection has released its permit. */
  onRelease(): void;
  /** Whether connections that have passed all stages must wait. */
  isSuspended(): boolean;
  /** Resolves when that may have changed. */
  nextChange(): Promise<void>;
}

/**
 * Checks and counts accepted connections, and runs their stages.
 *
 * Without stages, a connection is admitted within the call, without a promise.
 */
export class Admission {
  /** How many connections were refused, by reason. */
  readonly refusals: Record<RefusalReason, number> = noRefusals();
  /** How many connections had to wait for `sessionRate`. */
  waits = 0;
  readonly #hooks: AdmissionHooks;
  readonly #stages: readonly Stage[];
  readonly #limits: Limits;
  readonly #limitsAddresses: boolean;
  readonly #waits: boolean;
  readonly #allow: CidrList | undefined;
  readonly #deny: CidrList | undefined;
  readonly #limitsRate: boolean;
  readonly #ipv6PrefixLength: number;
  readonly #socketOptions: SocketOptions;
  readonly #pending: LinkedList<PendingConnection> = new LinkedList();
  #count = 0;
  #isDraining = false;
  #isClosed = false;

  /** @param limits Where connections are counted: with those of other workers, or alone. */
  constructor(
    options: ServeOptions,
    hooks: AdmissionHooks,
    stages: readonly Stage[],
    limits: Limits = new OwnLimits(limitValues(options)),
  ) {
    const { allow, deny, overload = "wait", maxSessionsPerAddress = Infinity } = options;
    checkOneOf("overload", overload, ["wait", "refuse"]);
    this.#waits = overload === "wait";
    this.#limits = limits;
    this.#limitsAddresses = maxSessionsPerAddress !== Infinity;
    this.#allow = allow === undefined ? undefined : new CidrList("allow", allow);
    this.#deny = deny === undefined ? undefined : new CidrList("deny", deny);
    const { ipv6PrefixLength = 64, sessionRate } = options;
    this.#limitsRate = sessionRate !== undefined;
    this.#ipv6PrefixLength = checkInteger("ipv6PrefixLength", ipv6PrefixLength, 1, 128);
    const { noDelay = true, keepAlive = false } = options;
    this.#socketOptions = { noDelay, keepAlive };
    this.#hooks = hooks;
    this.#stages = stages;
  }

  /** How many connections hold a permit: sessions and pending connections. */
  get count(): number {
    return this.#count;
  }

  /** Whether a connection would have to wait for room. */
  get mustWait(): boolean {
    return this.#waits && this.#limits.isFull;
  }

  /**
   * Admits or refuses a connection that was just accepted. A refused one is closed before anything else happens.
   *
   * @returns `false` if it has to wait for room. That happens only where another worker has taken the last place.
   */
  admit(connection: Connection): boolean {
    const isTaken = this.#limits.take();
    if (!isTaken && this.#waits) return false;
    const permit: Permit = { block: undefined, ratedBlock: undefined, delay: 0 };
    const reason = this.#judge(connection, permit) ?? (isTaken ? undefined : "maxSessions");
    if (reason !== undefined) {
      this.#reject(connection, permit, reason, isTaken);
      return true;
    }
    this.#count++;
    setSocketOptions(connection, this.#socketOptions);
    if (this.#stages.length === 0 && permit.delay === 0) {
      this.#hooks.onAdmission(connection, permit);
    } else this.#runStages(connection, permit);
    return true;
  }

  /** Admits a connection that another process has served. It has passed the stages and the rate there, and does not wait. */
  adopt(connection: Connection): Permit | undefined {
    if (this.#isClosed) return void closeQuietly(connection);
    const isTaken = this.#limits.take();
    const permit: Permit = { block: undefined, ratedBlock: undefined, delay: 0 };
    const reason = this.#judge(connection, permit, true) ?? (isTaken ? undefined : "maxSessions");
    if (reason !== undefined) return void this.#reject(connection, permit, reason, isTaken);
    this.#count++;
    setSocketOptions(connection, this.#socketOptions);
    return permit;
  }

  /** Releases a permit, to be called once for each. The permit may be left out if it has no block. */
  release(permit: Permit | undefined): void {
    this.#count--;
    this.#limits.release();
    if (permit !== undefined) this.#releaseBlock(permit);
  }

  /** Closes those that wait for a rate, now or later. The others go on: their clients have been accepted. */
  drain(): void {
    this.#isDraining = true;
    for (const pending of this.#pending.values()) if (pending.endWait !== undefined) drop(pending);
  }

  /** Closes the pending connections, and those to come. */
  close(): void {
    this.#isClosed = true;
    for (const pending of this.#pending.values()) drop(pending);
  }

  /** Refuses the newest pending connection, to free its descriptor. Returns whether there was one. */
  shed(cause: unknown): boolean {
    const pending = this.#pending.last;
    if (pending === undefined) return false;
    pending.exhaustion = cause;
    closeQuietly(pending.connection);
    return true;
  }

  async #runStages(connection: Connection, permit: Permit): Promise<void> {
    const pending: PendingConnection = { connection, isDropped: this.#isClosed };
    const place = this.#pending.push(pending);
    let reason: RefusalReason | undefined;
    let cause: unknown;
    if (permit.delay > 0) await this.#wait(pending, permit);
    for (const stage of pending.isDropped ? [] : this.#stages) {
      try {
        pending.connection = await stage.run(pending.connection);
        reason = this.#judge(pending.connection, permit);
      } catch (error) {
        reason = error instanceof Error && error.cause instanceof PeerLeft ? "left" : stage.reason;
        cause = error;
      }
      if (reason === undefined && permit.delay > 0) await this.#wait(pending, permit);
      if (reason !== undefined || pending.isDropped) break;
    }
    while (
      reason === undefined && pending.exhaustion === undefined && this.#hooks.isSuspended()
    ) await this.#hooks.nextChange();
    this.#pending.remove(place);
    if (pending.exhaustion !== undefined) [reason, cause] = ["descriptors", pending.exhaustion];
    if (reason === undefined && !pending.isDropped) {
      return this.#hooks.onAdmission(pending.connection, permit);
    }
    this.release(permit);
    // A connection that this side has closed is not refused.
    if (pending.isDropped) closeQuietly(pending.connection);
    else this.#refuse(pending.connection, reason!, cause);
    this.#hooks.onRelease();
  }

  /**
   * Returns why an address is refused, if it is. Otherwise the permit counts for its block. For a proxy that has not
   * sent its header yet, only `deny` is checked: it stands for many clients, whose addresses are not its own.
   */
  #judge(
    connection: Connection,
    permit: Permit,
    isKnown = false,
  ): RefusalReason | undefined {
    if (
      this.#allow === undefined && this.#deny === undefined && !this.#limitsAddresses &&
      !this.#limitsRate
    ) {
      return;
    }
    const { remoteAddr } = connection;
    const ip = ipOf(remoteAddr);
    if (this.#stages.some((stage) => stage.isProxy?.(connection))) {
      return ip !== undefined && this.#deny?.includesIp(ip) ? "denied" : undefined;
    }
    if (ip === undefined) {
      // A Unix socket has its own permissions. A host name that is not an IP address is in no list.
      return this.#allow !== undefined && "hostname" in remoteAddr ? "denied" : undefined;
    }
    if (this.#deny?.includesIp(ip) || this.#allow?.includesIp(ip) === false) return "denied";
    if (!this.#limitsAddresses && !this.#limitsRate) return;
    const block = blockOf(ip, ip.length === 4 ? 32 : this.#ipv6PrefixLength);
    return this.#takeBlock(permit, block) ??
      (isKnown ? undefined : this.#takeRate(permit, block));
  }

  #takeBlock(permit: Permit, block: string): RefusalReason | undefined {
    if (!this.#limitsAddresses || permit.block === block) return;
    if (!this.#limits.takeBlock(block)) return "maxSessionsPerAddress";
    this.#releaseBlock(permit);
    permit.block = block;
  }

  #takeRate(permit: Permit, block: string): RefusalReason | undefined {
    if (!this.#limitsRate || permit.ratedBlock === block) return;
    const delay = this.#limits.takeRate(block);
    if (delay === undefined) return "sessionRate";
    permit.ratedBlock = block;
    permit.delay = delay;
  }

  /** Waits as long as the rate of the address asks for, or until the server stops. */
  async #wait(pending: PendingConnection, permit: Permit): Promise<void> {
    if (this.#isDraining) return drop(pending);
    const { delay } = permit;
    permit.delay = 0;
    this.waits++;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.ceil(delay));
    pending.endWait = resolve;
    await promise;
    pending.endWait = undefined;
    clearTimeout(timer);
  }

  #releaseBlock(permit: Permit): void {
    if (permit.block !== undefined) this.#limits.releaseBlock(permit.block);
    permit.block = undefined;
  }

  /** Refuses a connection that holds no permit yet. */
  #reject(connection: Connection, permit: Permit, reason: RefusalReason, isTaken: boolean): void {
    this.#releaseBlock(permit);
    if (isTaken) this.#limits.release();
    this.#refuse(connection, reason);
  }

  #refuse(connection: Connection, reason: RefusalReason, cause?: unknown): void {
    this.refusals[reason]++;
    closeQuietly(connection);
    this.#hooks.onRefusal({
      remoteAddr: normalizeAddress(connection.remoteAddr),
      reason,
      ...(cause !== undefined && { cause }),
    });
  }
}

/** Closes a pending connection, because the server has stopped. */
function drop(pending: PendingConnection): void {
  pending.isDropped = true;
  pending.endWait?.();
  closeQuietly(pending.connection);
}

/** Counts of refusals, all 0. */
export function noRefusals(): Record<RefusalReason, number> {
  return {
    maxSessions: 0,
    maxSessionsPerAddress: 0,
    sessionRate: 0,
    denied: 0,
    untrusted: 0,
    "proxy-header": 0,
    handshake: 0,
    left: 0,
    descriptors: 0,
  };
}
