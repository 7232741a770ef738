import net from "node:net";
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import type { Connection } from "../../../transport/connection.ts";
import { dial, nodePair, placeOf, testWays } from "../../_node.ts";
import { listenNode } from "../../../transport/node/listen.ts";
import { runtime } from "../../../transport/node/handles.ts";
import { SocketConnection } from "../../../transport/node/socket_connection.ts";
import { assertNoDescriptorLeft, overNet, overNetCounting, until } from "../../_serving.ts";
import { isPending, pattern, Peer } from "../../_transports.ts";

const MIB = 1024 * 1024;

/** Writes until the other side takes nothing more, and returns how much that was. */
async function fill(connection: Connection): Promise<{ taken: number; last: Promise<number> }> {
  const piece = new Uint8Array(64 * 1024);
  for (let taken = 0;;) {
    const last = connection.write(piece);
    if (await isPending(last)) return { taken, last };
    taken += await last;
    assert(taken < 64 * MIB, "nothing holds the writer back");
  }
}

testWays("A node connection carries bytes both ways, whatever the size of the reads", async () => {
  const [near, far] = await nodePair();
  const all = pattern(300_000);
  for (const size of [1, 7, 1000, 1024, 5000, 65536, 200_000]) {
    const sending = new Peer(near).send(size < 100 ? all.subarray(0, 2000) : all);
    const expected = size < 100 ? all.subarray(0, 2000) : all;
    const got = new Uint8Array(expected.length);
    const buffer = new Uint8Array(size);
    for (let have = 0; have < got.length;) {
      const count = await far.read(buffer);
      got.set(buffer.subarray(0, count!), have);
      have += count!;
    }
    await sending;
    assertEquals(got, expected);
  }
  near.close();
  far.close();
});

testWays("A node connection keeps what comes while nobody reads, and not much of it", async () => {
  const [near, far] = await nodePair();
  await far.write(Uint8Array.of(1));
  assertEquals(await near.read(new Uint8Array(10)), 1); // from now on it listens for more
  const { taken, last } = await fill(far);
  const peer = new Peer(near);
  assertEquals((await peer.bytes(taken)).length, taken);
  await last;
  near.close();
  far.close();
});

testWays("A node connection tells what it holds of a write that waits", async () => {
  const [near, far] = await nodePair();
  assertEquals(near.held, 0);
  const { taken, last } = await fill(near);
  assert(near.held! > 0, "it holds nothing");
  await new Peer(far).bytes(taken);
  await last;
  assertEquals(near.held, 0);
  near.close();
  far.close();
});

testWays("A node connection lends the reader's buffer to nobody between two reads", async () => {
  const [near, far] = await nodePair();
  const buffer = new Uint8Array(8);
  await far.write(pattern(8));
  assertEquals(await near.read(buffer), 8);
  await far.write(new Uint8Array(8).fill(255));
  await new Promise((resolve) => setTimeout(resolve, 20)); // it comes, and nobody waits for it
  assertEquals(buffer, pattern(8));
  assertEquals(await near.read(buffer), 8);
  assertEquals(buffer, new Uint8Array(8).fill(255));
  near.close();
  far.close();
});

testWays("A node connection lets one read and one write wait", async () => {
  const [near, far] = await nodePair();
  const reading = near.read(new Uint8Array(1));
  await assertRejects(() => near.read(new Uint8Array(1)), Deno.errors.Busy, "a read waits");
  const { last } = await fill(near);
  await assertRejects(() => near.write(new Uint8Array(1)), Deno.errors.Busy, "a write waits");
  near.close();
  await assertRejects(() => reading, Deno.errors.Interrupted);
  await assertRejects(() => last, Deno.errors.Interrupted);
  for (const use of [() => near.read(new Uint8Array(1)), () => near.write(new Uint8Array(1))]) {
    await assertRejects(use, Deno.errors.BadResource, "the connection is closed");
  }
  await assertRejects(() => near.closeWrite(), Deno.errors.BadResource);
  near.close();
  far.close();
});

testWays("A node connection tells the end of input again and again", async (way) => {
  const [near, far] = await nodePair();
  await far.write(pattern(5));
  await far.closeWrite();
  const buffer = new Uint8Array(3);
  assertEquals(await near.read(buffer), 3);
  assertEquals(await near.read(buffer), 2);
  for (let i = 0; i < 3; i++) assertEquals(await near.read(buffer), null);
  if (way === "handle") await sendAfterEnd(near, far);
  near.close();
  await assertRejects(() => far.write(new Uint8Array(1)), Deno.errors.BrokenPipe, "closeWrite");
  far.close();
});

/** More than the system holds: writes wait while the peer has half-closed. */
async function sendAfterEnd(near: Connection, far: Connection): Promise<void> {
  const all = pattern(12 * MIB);
  const sending = new Peer(near).send(all).then(() => near.closeWrite());
  await new Promise((resolve) => setTimeout(resolve, 50));
  const got = await new Peer(far).bytes(all.length);
  assert(got.every((byte, i) => byte === all[i]));
  assertEquals(await far.read(new Uint8Array(1)), null);
  await sending;
}

testWays("A node connection writes on when the peer half-closes meanwhile", async (way) => {
  if (way === "public") return; // see SocketConnection
  const [near, far] = await nodePair();
  const all = pattern(12 * MIB);
  const reading = near.read(new Uint8Array(10)); // so that the end of input is seen
  const sending = new Peer(near).send(all);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await far.closeWrite();
  assertEquals(await reading, null);
  const got = await new Peer(far).bytes(all.length);
  assert(got.every((byte, i) => byte === all[i]));
  await sending;
  near.close();
  far.close();
});

testWays("A node connection of which both sides send more than fits gets through", async () => {
  const [near, far] = await nodePair();
  const all = pattern(8 * MIB);
  const peers = [new Peer(near), new Peer(far)];
  const sent = peers.map((peer) => peer.send(all));
  const got = await Promise.all(peers.map((peer) => peer.bytes(all.length)));
  await Promise.all(sent);
  for (const bytes of got) assert(bytes.every((byte, i) => byte === all[i]));
  near.close();
  far.close();
});

Deno.test("Node connections leave no descriptor", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    for (let i = 0; i < 20; i++) {
      const [near, far] = await nodePair();
      near.setNoDelay?.(false);
      near.setKeepAlive?.(true);
      await far.write(pattern(100));
      near.close();
      far.close();
    }
  });
});

testWays("A node connection lends what comes, and what came before it was asked", async () => {
  const [near, far] = await nodePair();
  const ask = (size: number): Promise<number[] | null> =>
    new Promise((resolve, reject) =>
      near.readLent!(size, {
        onInput: (bytes) => resolve([...bytes]),
        onEnd: (error) => error === undefined ? resolve(null) : reject(error),
      })
    );
  const waiting = ask(4);
  await assertRejects(() => ask(4), Deno.errors.Busy);
  await assertRejects(() => near.read(new Uint8Array(1)), Deno.errors.Busy);
  await far.write(Uint8Array.of(1, 2, 3));
  assertEquals(await waiting, [1, 2, 3]);
  await far.write(Uint8Array.of(4, 5, 6, 7, 8, 9));
  await new Promise((resolve) => setTimeout(resolve, 20)); // it comes, and nobody waits for it
  assertEquals(await ask(2), [4, 5]);
  assertEquals(await near.read(new Uint8Array(1)), 1);
  const rest: number[] = [];
  while (rest.length < 3) rest.push(...await ask(4) ?? []);
  assertEquals(rest, [7, 8, 9]);
  await far.closeWrite();
  let end = await ask(4);
  while (end !== null) end = await ask(4);
  assertEquals(await near.read(new Uint8Array(1)), null);
  near.close();
  far.close();
});

testWays("A node connection tells who is to be lent input that it is closed", async () => {
  const [near, far] = await nodePair();
  const told = Promise.withResolvers<unknown>();
  near.readLent!(10, { onInput: () => {}, onEnd: told.resolve });
  near.close();
  assertInstanceOf(await told.promise, Deno.errors.Interrupted);
  far.close();
});

Deno.test(
  "A node connection gives a reader no more than it wants, where a handle has one buffer for all",
  overNet,
  async () => {
    const { handles } = runtime;
    const own = handles()!;
    let given = 0;
    const { useUserBuffer } = own.Tcp.prototype;
    own.Tcp.prototype.useUserBuffer = function (buffer: Uint8Array): void {
      given++;
      useUserBuffer.call(this, buffer);
    };
    runtime.handles = () => ({ ...own, isDeno: false }); // as in Node
    try {
      const [near, far] = await nodePair();
      const all = pattern(300_000);
      const sending = new Peer(far).send(all);
      const got: number[] = [];
      for (let size = 1; got.length < all.length; size = size * 3 % 70_001) {
        const lent = Promise.withResolvers<Uint8Array>();
        near.readLent!(size, {
          onInput: (bytes) => lent.resolve(bytes.slice()),
          onEnd: lent.reject,
        });
        const bytes = await lent.promise;
        assert(bytes.length <= size);
        got.push(...bytes);
        if (got.length === all.length) break;
        const buffer = new Uint8Array(size);
        const count = (await near.read(buffer))!;
        got.push(...buffer.subarray(0, count));
      }
      assertEquals(Uint8Array.from(got), all);
      await sending;
      assertEquals(given, 1); // the other side does not read
      near.close();
      far.close();
    } finally {
      own.Tcp.prototype.useUserBuffer = useUserBuffer;
      runtime.handles = handles;
    }
  },
);

testWays("A listener gives out the connections that the runtime has accepted", async () => {
  const listener = listenNode({ host: "127.0.0.1", port: 0, backlog: 16, noDelay: true });
  await listener.ready;
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => dial(placeOf(listener.addr))),
  );
  const connections = [await listener.accept()];
  await until(() => connections.push(...listener.acceptWaiting!()) === 10);
  listener.close();
  for (const [at, connection] of connections.entries()) { // none was closed with the listener
    assertEquals(await connection.write(new Uint8Array([at])), 1);
    connection.close();
  }
  const heard = await Promise.all(clients.map(async (client) => {
    const buffer = new Uint8Array(1);
    assertEquals(await client.read(buffer), 1);
    client.close();
    return buffer[0];
  }));
  assertEquals(heard.toSorted((one, other) => one! - other!), [...connections.keys()]);
});

/** Reads all that a socket brings. The rest of the first bytes is asked for just before `event` of the socket. */
async function readUpTo(event: "data" | "end" | "close", size: number): Promise<[string, unknown]> {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const far = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  const socket = await new Promise<net.Socket>((resolve) => server.on("connection", resolve));
  const { promise, resolve } = Promise.withResolvers<[string, unknown]>();
  let text = "";
  let pieces = 0;
  const read = (): void =>
    connection.readLent(size, {
      onInput(bytes): void {
        text += new TextDecoder().decode(bytes);
        if (++pieces > 1) return read();
        socket.prependOnceListener(event, read); // just before the connection hears of it
        socket.resume(); // as if the runtime had read more already
      },
      onEnd: (error) => resolve([text, error]),
    });
  const connection = new SocketConnection(
    socket,
    { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    { transport: "tcp", hostname: "127.0.0.1", port: 2 },
  );
  read();
  far.write("a".repeat(10));
  await new Promise((resolve) => socket.once("data", resolve));
  if (event === "data") {
    far.write("b".repeat(10));
    await new Promise((resolve) => socket.once("data", resolve));
  }
  if (event === "close") far.resetAndDestroy();
  else far.end();
  try {
    return await promise;
  } finally {
    connection.close();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

for (const event of ["data", "end", "close"] as const) {
  Deno.test({
    name: `A connection over a socket lends what came before "${event}" first`,
    ...overNet,
    fn: async () => {
      for (const size of [1, 4, 9]) {
        const [text, error] = await readUpTo(event, size);
        assertEquals(text, event === "data" ? "aaaaaaaaaabbbbbbbbbb" : "aaaaaaaaaa");
        assertEquals(error === undefined, event !== "close");
      }
    },
  });
}
