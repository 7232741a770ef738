import { ConnectError } from "../errors.ts";
import { SessionGroup } from "../session/group.ts";
import { insideOf } from "../session/inside.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import type { Session } from "../session.ts";
import { connectWithin } from "./connect.ts";
import type { SessionPoolSettings } from "./pool_options.ts";
import { PooledSession } from "./pooled_session.ts";
import { withinSetUp } from "./set_up.ts";
import type { Target } from "./targets.ts";

/** How long an address that could not be dialled is tried last, in milliseconds. */
const TRIED_LAST = 5_000;

/** An address that a pool dials. */
class PoolAddress {
  readonly target: Target;
  /** A group for each address, since the group has the host for TLS. */
  readonly group: SessionGroup<Session> = new SessionGroup();
  /** How many sessions there are, including the one that is being dialled. */
  sessions = 0;
  failedAt = -Infinity;

  constructor(target: Target) {
    this.target = target;
  }
}

/** The addresses that a pool dials: the one with the fewest sessions first. */
export class PoolAddresses {
  /** How often an address was dialled, and how often that has failed. */
  readonly counts = { dials: 0, dialErrors: 0 };
  readonly #addresses: readonly PoolAddress[];
  readonly #addressOf = new WeakMap<PooledSession, PoolAddress>();

  constructor(targets: readonly Target[]) {
    this.#addresses = targets.map((target) => new PoolAddress(target));
  }

  /** Dials one address after the other until there is a session that is set up. Throws the last error. */
  async dial(settings: SessionPoolSettings, signal: AbortSignal): Promise<PooledSession> {
    let failure: unknown;
    for (const address of this.#inOrder()) {
      address.sessions++;
      this.counts.dials++;
      try {
        const pooled = await this.#dial(address, settings, signal);
        this.#addressOf.set(pooled, address);
        return pooled;
      } catch (error) {
        address.sessions--;
        this.counts.dialErrors++;
        signal.throwIfAborted();
        address.failedAt = performance.now();
        failure = error;
      }
    }
    throw failure;
  }

  /** A session has ended. */
  onEnd(pooled: PooledSession): void {
    this.#addressOf.get(pooled)!.sessions--;
  }

  #inOrder(): PoolAddress[] {
    const since = performance.now() - TRIED_LAST;
    const rank = ({ failedAt }: PoolAddress) => failedAt > since ? 1 : 0;
    return this.#addresses.toSorted((a, b) => rank(a) - rank(b) || a.sessions - b.sessions);
  }

  async #dial(
    { target: { options, address }, group }: PoolAddress,
    { setUp, setUpTimeout }: SessionPoolSettings,
    signal: AbortSignal,
  ): Promise<PooledSession> {
    const session = await connectWithin(group, { ...options, signal });
    const { life } = insideOf(session);
    if (setUp !== undefined) {
      const onAbort = () => session.abort(signal.reason);
      signal.addEventListener("abort", onAbort);
      try {
        await withinSetUp(session, setUp, { address, timeout: setUpTimeout, what: "set-up" });
        checkReady(life, address);
      } catch (error) {
        session.abort(error);
        throw error;
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    }
    return new PooledSession(session, life, address);
  }
}

/** Throws if a session cannot be lent after its set-up. Another dial would probably have the same result. */
function checkReady(life: Lifecycle, address: string): void {
  if (life.canBeHandedOver) return;
  const { unread } = life.reader.input;
  const problem = unread > 0
    ? `${unread} bytes are unread`
    : "it has ended, or one of its readings waits";
  throw new ConnectError(address, `the session cannot be used after setUp: ${problem}`);
}
