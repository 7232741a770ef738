/** What handlers keep for the next process. */

import { shown } from "../_internal/checks.ts";
import { Session } from "../session.ts";

/** The longest JSON that is kept of a session, in UTF-16 code units. */
const MAX_KEPT = 64 * 1024;

const texts: WeakMap<Session, string> = new WeakMap();

/**
 * Says that a session may be handed over, and what the handler of the next process needs to go on with it. Call it again
 * whenever that has changed. A session for which it was never called is not handed over.
 *
 * @param session The session.
 * @param state A value for JSON, of at most 65,536 characters. It is copied at once.
 * @throws {TypeError} If JSON has no such value, or `session` is something else.
 * @throws {RangeError} If it is too long.
 *
 * @example
 * ```ts
 * import { keep, kept } from "@parley/tcp/handover";
 * import { sessionPair } from "@parley/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [left, right] = sessionPair();
 * keep(left, { name: "rose" });
 * assertEquals([kept(left), kept(right)], [{ name: "rose" }, undefined]);
 * left.abort();
 * right.abort();
 * ```
 */
export function keep(session: Session, state: unknown): void {
  if (!(session instanceof Session)) {
    throw new TypeError(`session must be a Session, got ${shown(session)}`);
  }
  const text = JSON.stringify(state) as string | undefined;
  if (text === undefined) {
    throw new TypeError(`state must be a value for JSON, got ${shown(state)}`);
  }
  if (text.length > MAX_KEPT) {
    throw new RangeError(
      `state must be at most ${MAX_KEPT} characters of JSON, got ${text.length}`,
    );
  }
  texts.set(session, text);
}

/**
 * Returns what was kept of a session, by this process or the one before.
 *
 * @param session The session.
 * @returns A new copy; `undefined` for a session that was not handed over.
 *
 * @example
 * ```ts ignore
 * const { name } = kept(session) as { name: string } | undefined ?? await logIn(session);
 * ```
 */
export function kept(session: Session): unknown {
  const text = texts.get(session);
  return text === undefined ? undefined : JSON.parse(text);
}

/** What was kept, as JSON. */
export function keptText(session: Session): string | undefined {
  return texts.get(session);
}

/** Keeps what another process has kept. */
export function keepText(session: Session, text: string): void {
  texts.set(session, text);
}
