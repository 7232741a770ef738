import { SessionGroup } from "../session/group.ts";
import type { Session } from "../session.ts";
import { connectWithin } from "./connect.ts";
import type { SessionPoolSettings } from "./pool_options.ts";
import { Pooled } from "./pooled.ts";
import { withinSetUp } from "./set_up.ts";
import type { Target } from "./targets.ts";

/** For so many milliseconds, a place that could not be dialled is the last to be tried. */
const DISTRUST = 5_000;

/** One place that a pool dials. */
class Place {
  readonly target: Target;
  /** Of its own, since it knows the host that TLS is for. */
  readonly group: SessionGroup<Session> = new SessionGroup();
  /** How many sessions it has, that which is being dialled included. */
  sessions = 0;
  failedAt = -Infinity;

  constructor(target: Target) {
    this.target = target;
  }
}

/** The places that a pool dials: the one with the fewest sessions first. */
export class Places {
  readonly #places: readonly Place[];
  readonly #placeOf = new WeakMap<Pooled, Place>();

  constructor(targets: readonly Target[]) {
    this.#places = targets.map((target) => new Place(target));
  }

  /** Dials one place after the other until there is a session that is set up. Throws what the last has failed with. */
  async dial(settings: SessionPoolSettings, signal: AbortSignal): Promise<Pooled> {
    let failure: unknown;
    for (const place of this.#inOrder()) {
      place.sessions++;
      try {
        return await this.#dial(place, settings, signal);
      } catch (error) {
        place.sessions--;
        signal.throwIfAborted();
        place.failedAt = performance.now();
        failure = error;
      }
    }
    throw failure;
  }

  /** A session has ended. */
  onEnd(pooled: Pooled): void {
    this.#placeOf.get(pooled)!.sessions--;
  }

  #inOrder(): Place[] {
    const trustedSince = performance.now() - DISTRUST;
    const rank = ({ failedAt }: Place) => failedAt > trustedSince ? 1 : 0;
    return this.#places.toSorted((a, b) => rank(a) - rank(b) || a.sessions - b.sessions);
  }

  async #dial(
    place: Place,
    { setUp, setUpTimeout }: SessionPoolSettings,
    signal: AbortSignal,
  ): Promise<Pooled> {
    const { options, address } = place.target;
    const session = await connectWithin(place.group, { ...options, signal });
    const life = place.group.members.get(session)!; // which it has joined in this very turn
    if (setUp !== undefined) {
      const onAbort = () => session.abort(signal.reason);
      signal.addEventListener("abort", onAbort);
      try {
        await withinSetUp(session, setUp, { address, timeout: setUpTimeout, what: "set-up" });
      } catch (error) {
        session.abort(error);
        throw error;
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    }
    const pooled = new Pooled(session, life, address);
    this.#placeOf.set(pooled, place);
    return pooled;
  }
}
