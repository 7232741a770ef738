import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import type { Connection } from "../../../transport/connection.ts";
import { memoryPair } from "../../../transport/memory.ts";
import { nodePair, testWays } from "../../_node.ts";
import { assertNoDescriptorLeft, overNetCounting } from "../../_serving.ts";
import { closeBoth, Lending, overTls, tlsOver, tlsPair } from "../../_tls.ts";
import { isPending, pattern, Peer } from "../../_transports.ts";

/** TLS over a connection in memory whose server end lends. */
async function lendingPair(): Promise<
  { server: Connection; client: Connection; farRaw: Connection }
> {
  const [near, farRaw] = memoryPair({ capacity: 2 ** 20 });
  const [server, client] = await tlsOver([new Lending(near), farRaw]);
  return { server, client, farRaw };
}

/** What one call of `readLent()` comes to. */
function lent(connection: Connection, size: number): Promise<Uint8Array | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
  let isLater = false;
  connection.readLent!(size, {
    onInput: (bytes) => {
      assert(isLater && bytes.length > 0 && bytes.length <= size);
      resolve(bytes.slice());
    },
    onEnd: (error) => {
      assert(isLater);
      if (error === undefined) resolve(null);
      else reject(error);
    },
  });
  isLater = true;
  return promise;
}

Deno.test("TlsConnection lends only over a connection that lends", overTls, async () => {
  const [server, client] = await tlsPair();
  assertEquals(server.readLent, undefined);
  closeBoth(server, client);
});

Deno.test("TlsConnection.readLent() lends several records at once", overTls, async () => {
  const { server, client } = await lendingPair();
  for (const word of ["one", "two", "three"]) await new Peer(client).send(word);
  assertEquals(new TextDecoder().decode((await lent(server, 100))!), "onetwothree");
  for (const word of ["one", "two", "three"]) await new Peer(client).send(word);
  const pieces: string[] = [];
  for (const size of [2, 5, 3, 9]) {
    pieces.push(new TextDecoder().decode((await lent(server, size))!));
  }
  assertEquals(pieces, ["on", "etwot", "hre", "e"]);
  closeBoth(server, client);
});

testWays("TLS carries all that is read by turns with and without lending", async () => {
  const [server, client] = await tlsOver(await nodePair());
  const all = pattern(600_000);
  const sending = (async () => {
    for (let at = 0, length = 1; at < all.length; at += length, length = length * 5 % 40_009) {
      await new Peer(client).send(all.subarray(at, at + length));
    }
  })();
  const got = new Uint8Array(all.length);
  let have = 0;
  for (let size = 1; have < got.length; size = size * 3 % 70_001) {
    const bytes = (await lent(server, size))!;
    got.set(bytes, have);
    have += bytes.length;
    if (have === got.length) break;
    const buffer = new Uint8Array(size);
    const count = (await server.read(buffer))!;
    got.set(buffer.subarray(0, count), have);
    have += count;
  }
  assertEquals(got, all);
  await sending;
  await client.closeWrite();
  assertEquals(await lent(server, 9), null);
  assertEquals(await server.read(new Uint8Array(9)), null);
  closeBoth(server, client);
});

testWays("TlsConnection.writeNow() waits for a peer that does not read", async () => {
  const [server, client] = await tlsOver(await nodePair());
  assertEquals(server.writeNow!(Uint8Array.of(1, 2, 3)), 3);
  let sent = 3;
  let taken = server.writeNow!(new Uint8Array(48 * 1024));
  for (; typeof taken === "number"; taken = server.writeNow!(new Uint8Array(48 * 1024))) {
    sent += taken;
    if (sent > 2 ** 26) throw new Error("nothing holds the writer back");
  }
  await assertRejects(
    () => Promise.resolve(server.writeNow!(Uint8Array.of(4))),
    Deno.errors.Busy,
  );
  const closing = server.closeWrite();
  assert(await isPending(closing));
  const counting = new Peer(client).countToEnd();
  sent += await taken;
  await closing;
  assertEquals(await counting, sent);
  closeBoth(server, client);
});

Deno.test("TlsConnection.readLent() counts as a read that waits", overTls, async () => {
  const { server, client } = await lendingPair();
  const waiting = lent(server, 4);
  await assertRejects(() => lent(server, 4), Deno.errors.Busy);
  await assertRejects(() => server.read(new Uint8Array(4)), Deno.errors.Busy);
  await new Peer(client).send("rose");
  assertEquals((await waiting)!.length, 4);
  const reading = server.read(new Uint8Array(4));
  await assertRejects(() => lent(server, 4), Deno.errors.Busy);
  await new Peer(client).send("rose");
  assertEquals(await reading, 4);
  closeBoth(server, client);
  await assertRejects(() => lent(server, 4), Deno.errors.BadResource);
});

Deno.test(
  "TlsConnection.readLent() reports a cut once, after what came before",
  overTls,
  async () => {
    const { server, client, farRaw } = await lendingPair();
    await new Peer(client).send("half");
    await farRaw.closeWrite();
    assertEquals((await lent(server, 9))!.length, 4);
    await assertRejects(() => lent(server, 9), Deno.errors.UnexpectedEof, "without close_notify");
    assertEquals(await lent(server, 9), null);
    closeBoth(server, client);
  },
);

for (const isThere of [false, true]) {
  const what = isThere ? "input is about to be lent" : "it waits for input";
  Deno.test(`TlsConnection.close() makes readLent() fail while ${what}`, overTls, async () => {
    const { server, client } = await lendingPair();
    if (isThere) {
      await new Peer(client).send("rose");
      assertEquals((await lent(server, 1))!.length, 1);
    }
    const told = Promise.withResolvers<unknown>();
    let isLater = false;
    server.readLent!(9, {
      onInput: () => told.reject(new Error("it is closed")),
      onEnd: (error) => isLater ? told.resolve(error) : told.reject(new Error("within close()")),
    });
    server.close();
    isLater = true;
    assertInstanceOf(await told.promise, Deno.errors.Interrupted);
    client.close();
  });
}

Deno.test(
  "TlsConnection.close() settles readLent() once the raw read is over",
  overTls,
  async () => {
    const [near, far] = memoryPair();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const raw = new Lending(near);
    const [server, client] = await tlsOver([raw, far]);
    raw.readLent = (_size, borrower) => void held.then(() => borrower.onEnd());
    const waiting = lent(server, 9);
    server.close();
    assert(await isPending(waiting));
    release();
    await assertRejects(() => waiting, Deno.errors.Interrupted);
    client.close();
  },
);

Deno.test("TLS over connections that lend leaves no descriptor", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    for (let i = 0; i < 10; i++) {
      const [server, client] = await tlsOver(await nodePair());
      const waiting = lent(server, 9);
      assertEquals(client.writeNow!(pattern(9)), 9);
      assertEquals(await waiting, pattern(9));
      const cut = lent(server, 9).catch(() => {});
      closeBoth(server, client);
      await cut;
    }
  });
});
