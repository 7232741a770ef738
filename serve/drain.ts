/** How a server ends its sessions when it drains. */

import type { Lifecycle } from "../session/lifecycle.ts";

/** The longest interval between the ends of two sessions, in milliseconds. A few sessions are not worth a longer wait. */
const MAX_INTERVAL = 100;

/**
 * Asks all sessions to end, and ends those that are left when `timeout` milliseconds have passed.
 *
 * If it is spread, both are done for one session after the other, and each session has the same time in between: at least
 * half of `timeout`. So the clients do not all reconnect at once, and a session is served until it is its turn.
 *
 * @returns A function that stops this.
 */
export function drainSessions(
  sessions: Iterable<Lifecycle>,
  timeout: number,
  isSpread: boolean,
): () => void {
  const lives = [...sessions];
  const interval = isSpread ? Math.min(MAX_INTERVAL, timeout / 2 / lives.length) : 0;
  const last = timeout - interval * lives.length;
  const stops = [inTurn(lives, 0, interval, (life) => life.reader.drain())];
  if (last < Infinity) stops.push(inTurn(lives, last, interval, (life) => life.expire("drain")));
  return () => {
    for (const stop of stops) stop();
  };
}

/** Calls `each` for each item, the first one after `delay`, and the others in intervals. Returns a function that stops it. */
function inTurn<Item>(
  items: readonly Item[],
  delay: number,
  interval: number,
  each: (item: Item) => void,
): () => void {
  const start = performance.now() + delay;
  let next = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const step = (): void => {
    const elapsed = performance.now() - start;
    while (next < items.length && next * interval <= elapsed) each(items[next++]!);
    if (next < items.length) timer = setTimeout(step, Math.ceil(next * interval - elapsed));
  };
  if (delay === 0) step();
  else timer = setTimeout(step, delay);
  return () => clearTimeout(timer);
}
