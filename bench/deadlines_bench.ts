/**
 * The sweep that checks the deadlines of all sessions of a server, at most once a second.
 *
 *     deno bench bench/deadlines_bench.ts
 */

import { Session } from "../session.ts";
import { SessionGroup } from "../session/group.ts";
import { inPieces } from "./_pieces.ts";

const silent = { ...inPieces(new Uint8Array(0), 1), read: () => new Promise<null>(() => {}) };

for (const count of [100, 1000, 10_000]) {
  const group = new SessionGroup<Session>();
  for (let i = 0; i < count; i++) {
    const session = new Session(silent, {}, group);
    session.text().next();
  }
  const lives = group.members.values();
  Deno.bench({
    name: `${count} idle sessions`,
    group: "one sweep",
    baseline: count === 100,
    fn: () => {
      const now = group.now();
      for (const life of lives) life.sweep(now);
    },
  });
}
