import { assert } from "@std/assert";
import { disturb, type Disturbance } from "../../../testing/disturb.ts";
import { TlsHandshakeError } from "../../../errors.ts";
import type { Connection } from "../../../transport/connection.ts";
import { memoryPair } from "../../../transport/memory.ts";
import { beginHandshake, closeBoth, overTls } from "../../_tls.ts";
import { Peer } from "../../_transports.ts";

const calm = {
  chop: Infinity,
  delay: 0,
  stallAfter: Infinity,
  truncateAfter: Infinity,
  resetAfter: Infinity,
  blockAfter: Infinity,
};

/** Goes through a handshake and an exchange; gives what failed, as far as it got. */
async function exchange(pair: [Connection, Connection]): Promise<unknown[]> {
  const both = beginHandshake(pair);
  const settled = await Promise.allSettled([both.server, both.client]);
  const failures: unknown[] = [];
  const open: Connection[] = [];
  for (const [i, side] of settled.entries()) {
    if (side.status === "fulfilled") open.push(side.value);
    else {
      assert(side.reason instanceof TlsHandshakeError, Deno.inspect(side.reason));
      failures.push(side.reason);
      pair[1 - i]!.closeWrite().catch(() => {}); // for the other, which may be done already
    }
  }
  const talks = open.map(async (connection) => {
    const peer = new Peer(connection);
    try {
      await peer.send("hello");
      await peer.text(5);
      await connection.closeWrite();
      await peer.countToEnd();
    } catch (error) {
      failures.push(error);
      connection.close();
    }
  });
  await Promise.all(talks);
  closeBoth(...open);
  return failures;
}

for (const way of ["truncateAfter", "resetAfter"] as const) {
  for (const side of ["server", "client"] as const) {
    const does = way === "truncateAfter" ? "ends" : "is reset";
    Deno.test(
      `TLS withstands that the connection of a ${side} ${does}, wherever`,
      overTls,
      async () => {
        let failed = 0;
        let rounds = 0;
        for (let after = 0; after < 2600; after += after < 100 ? 7 : 43) {
          const [near, far] = memoryPair();
          const how: Disturbance = { ...calm, seed: after, chop: 500, [way]: after };
          const pair: [Connection, Connection] = side === "server"
            ? [disturb(near, how), far]
            : [near, disturb(far, how)];
          const failures = await exchange(pair);
          rounds++;
          if (failures.length > 0) failed++;
        }
        assert(failed > 10 && failed < rounds, `${failed} of ${rounds} failed`);
      },
    );
  }
}
