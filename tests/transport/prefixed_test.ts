import { assertEquals, assertRejects } from "@std/assert";
import type { InputBorrower } from "../../transport/connection.ts";
import { PrefixedConnection } from "../../transport/prefixed.ts";
import { nodePair, testWays } from "../_node.ts";
import { Peer } from "../_transports.ts";

/** What one call of `readLent()` comes to. */
function lent(connection: PrefixedConnection, size: number): Promise<number[] | null> {
  return new Promise((resolve, reject) => {
    const borrower: InputBorrower = {
      onInput: (bytes) => resolve([...bytes]),
      onEnd: (error) => error === undefined ? resolve(null) : reject(error),
    };
    connection.readLent!(size, borrower);
  });
}

testWays("PrefixedConnection lends its prefix first, where the other one lends", async () => {
  for (const prefix of [Uint8Array.of(1, 2, 3), Promise.resolve(Uint8Array.of(1, 2, 3))]) {
    const [near, far] = await nodePair();
    const connection = new PrefixedConnection(near, prefix);
    assertEquals(await lent(connection, 2), [1, 2]);
    assertEquals(await lent(connection, 2), [3]);
    await new Peer(far).send(Uint8Array.of(4, 5));
    assertEquals(await lent(connection, 10), [4, 5]);
    assertEquals(connection.writeNow!(Uint8Array.of(6)), 1);
    assertEquals([...await new Peer(far).bytes(1)], [6]);
    await far.closeWrite();
    assertEquals(await lent(connection, 10), null);
    assertEquals(await lent(connection, 10), null);
    connection.close();
    await assertRejects(() => lent(connection, 10), Deno.errors.BadResource);
    far.close();
  }
});

testWays("PrefixedConnection tells a borrower what its prefix has failed with", async () => {
  const [near, far] = await nodePair();
  const connection = new PrefixedConnection(near, Promise.reject(new Error("lost")));
  await assertRejects(() => lent(connection, 2), Error, "lost");
  near.close();
  far.close();
});
