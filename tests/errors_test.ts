import { assertEquals } from "@std/assert";
import { type EndReason, SessionEndedError } from "../errors.ts";
import { Session } from "../session.ts";
import { memoryPair } from "../transport/memory.ts";

Deno.test("SessionEndedError says what a reason means, and which option is behind it", () => {
  const cases: [EndReason, unknown, string][] = [
    ["peer", undefined, "peer"],
    ["local", undefined, "local"],
    ["idle", undefined, "idle (no byte passed within idleTimeout)"],
    ["lifetime", undefined, "lifetime (maxLifetime is over)"],
    ["idle", new Error("a cause"), "idle (Error: a cause)"], // which says more
    ["error", "text", "error (text)"],
  ];
  for (const [reason, cause, says] of cases) {
    const error = new SessionEndedError(reason, { cause });
    assertEquals([error.reason, error.message], [reason, `session ended: ${says}`]);
  }
});

Deno.test("A reading tells which deadline has ended its session", async () => {
  const [near, far] = memoryPair();
  const peer = new Session(far);
  const session = new Session(near, { frameTimeout: 20 });
  await peer.send("half a line");
  const error = await session.readLine().catch((error) => error);
  assertEquals(
    error.message,
    "session ended: frame-stalled (the peer did not complete a frame within frameTimeout)",
  );
  peer.abort();
  await session.closed;
});
