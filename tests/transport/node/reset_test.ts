import { assert, assertEquals, assertRejects } from "@std/assert";
import net from "node:net";
import { dial, listenNodeTcp, nodePair, placeOf, testWays } from "../../_node.ts";
import { portOf } from "../../_serving.ts";
import { Peer } from "../../_transports.ts";

testWays("A node connection tells a reset once, after what came before it", async () => {
  const listener = await listenNodeTcp();
  const accepted = listener.accept();
  const socket = net.connect(portOf(listener), "127.0.0.1");
  const near = await accepted;
  await new Promise<void>((resolve) => socket.write("hello", () => resolve()));
  assertEquals(await near.read(new Uint8Array(2)), 2);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resetAndDestroy();
  await closed;
  assertEquals(await new Peer(near).text(3), "llo");
  await assertRejects(() => near.read(new Uint8Array(2)), Deno.errors.ConnectionReset);
  assertEquals(await near.read(new Uint8Array(2)), null);
  assertEquals(await near.read(new Uint8Array(2)), null);
  near.close();
  listener.close();
});

testWays("A node connection tells a reset to whoever waits", async () => {
  const listener = await listenNodeTcp();
  const accepted = listener.accept();
  const socket = net.connect(portOf(listener), "127.0.0.1");
  socket.pause();
  const near = await accepted;
  const waiting = Promise.allSettled([
    new Peer(near).send(new Uint8Array(16 * 1024 * 1024)),
    near.read(new Uint8Array(2)),
  ]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.resetAndDestroy();
  assertReset(await waiting);
  near.close();
  listener.close();
});

testWays("A node connection that is closed with input unread resets the other side", async () => {
  const [near, far] = await nodePair();
  const waiting = Promise.allSettled([
    new Peer(far).send(new Uint8Array(16 * 1024 * 1024)),
    far.read(new Uint8Array(1)),
  ]);
  assertEquals(await near.read(new Uint8Array(1)), 1);
  near.close();
  assertReset(await waiting);
  far.close();
});

/** The system tells a reset once: to whom it does not, that is the end. */
function assertReset([sending, reading]: PromiseSettledResult<unknown>[]): void {
  assertEquals(sending!.status, "rejected");
  const told = [sending!, reading!].map((one) =>
    one.status === "rejected" ? one.reason : one.value
  );
  assert(told.some((one) => one instanceof Deno.errors.ConnectionReset), String(told));
  for (const one of told) if (!(one instanceof Error)) assertEquals(one, null);
}

testWays(
  "A listener by node:net outlives clients that reset before they are accepted",
  async () => {
    const listener = await listenNodeTcp();
    for (let i = 0; i < 5; i++) {
      const socket = net.connect(portOf(listener), "127.0.0.1");
      await new Promise((resolve) => socket.once("connect", resolve));
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.resetAndDestroy();
      await closed;
    }
    const client = await dial(placeOf(listener.addr));
    await client.write(Uint8Array.of(42));
    const buffer = new Uint8Array(1);
    while (buffer[0] === 0) {
      try {
        const connection = await listener.accept();
        await connection.read(buffer).catch(() => {});
        connection.close();
      } catch (error) {
        if (!(error instanceof Deno.errors.NotConnected)) throw error;
      }
    }
    assertEquals(buffer[0], 42);
    client.close();
    listener.close();
  },
);
