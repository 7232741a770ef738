// How to test a handler without sockets and without permissions.
//
//     deno test examples/greeting_test.ts

import type { Session } from "@parley/tcp";
import { converse } from "@parley/tcp/testing";
import { assertEquals } from "@std/assert";

/** The service under test. */
async function greet(session: Session): Promise<void> {
  await session.send("welcome!\n");
  for await (const name of session.lines({ maxLength: 100 })) {
    if (name === "exit") break;
    await session.send(`hello, ${name}!\n`);
  }
}

Deno.test("greet() welcomes, greets each name, and ends at exit", async () => {
  const { end, error } = await converse(greet, async (peer) => {
    await peer.expect("welcome!\n");
    await peer.send("rose\nthink\n");
    await peer.expect("hello, rose!\nhello, think!\n");
    await peer.send("exit\n");
    await peer.expectEnd();
  });
  assertEquals([end.reason, error], ["local", undefined]);
});

Deno.test("greet() does not mind how its input is cut", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    await converse(greet, async (peer) => {
      await peer.send("rose\nthink\nexit\n");
      await peer.expect("welcome!\nhello, rose!\nhello, think!\n");
      await peer.expectEnd();
    }, { network: { seed, chop: 3 } });
  }
});

Deno.test("greet() is not at fault when its client vanishes in the middle of a name", async () => {
  const { end, error } = await converse(greet, async (peer) => {
    await peer.send("ro");
    await peer.expect("welcome!\n");
  }, { network: { resetAfter: 2 } });
  assertEquals([end.reason, error], ["peer", undefined]);
});

Deno.test("greet() ends a client that sends a name without an end", async () => {
  const { end } = await converse(greet, async (peer) => {
    await peer.send("x".repeat(1000));
    await peer.expect("welcome!\n");
    await peer.expectEnd();
  });
  assertEquals(end.reason, "limit");
});

Deno.test("greet() ends a client that does not read", async () => {
  const { end } = await converse(greet, async (peer) => {
    await peer.send("rose\n");
    await peer.expect("welcome!\n");
    await peer.expectReset(); // the handler was not done
  }, { network: { blockAfter: 9 }, session: { writeTimeout: 50 } });
  assertEquals(end.reason, "write-stalled");
});
