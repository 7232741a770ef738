import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { jsonLines, lines } from "../../codecs/mod.ts";
import {
  connectDatagrams,
  type DatagramClient,
  DatagramTooLargeError,
  serveDatagrams,
} from "../../datagram/mod.ts";
import { MalformedFrameError, OutputLimitError, UnknownHostError } from "../../errors.ts";
import { datagramNetwork } from "../../testing/mod.ts";
import { bytes, Peer, portOf, text } from "../_datagrams.ts";
import { bounded, canIpv6, overNet, until } from "../_serving.ts";

/** A client of a peer by hand. */
async function withPeer(
  hostname = "127.0.0.1",
): Promise<{ peer: Peer; client: DatagramClient; port: number }> {
  const peer = await Peer.bind(hostname);
  const client = await connectDatagrams({ hostname, port: peer.port });
  await client.send("hello");
  await peer.until(1);
  return { peer, client, port: (client.localAddr as Deno.NetAddr).port };
}

for (const hostname of ["127.0.0.1", "::1"]) {
  Deno.test({
    name: `connectDatagrams() sends and receives: ${hostname}`,
    ...overNet,
    ignore: overNet.ignore || hostname === "::1" && !canIpv6,
  }, async () => {
    const { peer, client, port } = await withPeer(hostname);
    assertEquals(client.remoteAddr, { transport: "udp", hostname, port: peer.port });
    const sent = ["", "rose", "x".repeat(60_000)];
    for (const message of sent) await peer.send(message, port, hostname);
    const received: string[] = [];
    for await (const message of client) {
      received.push(text(message));
      if (received.length === sent.length) break;
    }
    assertEquals(received, sent);
    const { received: count, sent: out, dropped } = client.stats();
    assertEquals([count, out, dropped], [3, 1, 0]);
    await client.close();
    await peer[Symbol.asyncDispose]();
  });
}

Deno.test("a client receives only from its peer", overNet, async () => {
  const { peer, client, port } = await withPeer();
  await using stranger = await Peer.bind();
  await stranger.send("forged", port);
  await peer.send("rose", port);
  assertEquals(text(await client.receive({ timeout: 10_000 })), "rose");
  assertEquals(client.stats().received, 1);
  await client.close();
  await peer[Symbol.asyncDispose]();
});

Deno.test("a client sends in the order of the calls", overNet, async () => {
  const { peer, client } = await withPeer();
  const sent = Array.from({ length: 100 }, (_, at) => String(at));
  await Promise.all(sent.map((message) => client.send(message)));
  assertEquals((await peer.until(101)).slice(1), sent);
  await client.close();
  await peer[Symbol.asyncDispose]();
});

Deno.test("receive() ends by its timeout, its signal and close()", overNet, async () => {
  const { peer, client, port } = await withPeer();
  const error = await assertRejects(() => client.receive({ timeout: 5 }), DOMException);
  assertEquals([error.name, error.message], ["TimeoutError", "no datagram within 5 ms"]);
  const controller = new AbortController();
  const waiting = client.receive({ signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  assertEquals(await waiting.catch((error) => error), reason);
  assertEquals(await client.receive({ signal: controller.signal }).catch((e) => e), reason);
  // No message is lost by that.
  await peer.send("rose", port);
  assertEquals(text(await client.receive()), "rose");
  await peer.send("kept", port);
  await until(() => client.stats().received === 2);
  await client.close();
  await client.close();
  assertEquals(text(await client.receive()), "kept");
  assertEquals(await client.receive(), undefined);
  await assertRejects(() => client.send("x"), Deno.errors.BadResource, "the client is closed");
  await peer[Symbol.asyncDispose]();
});

Deno.test("abort() drops what has come", overNet, async () => {
  const { peer, client, port } = await withPeer();
  await peer.send("dropped", port);
  await until(() => client.stats().received === 1);
  client.abort();
  assertEquals(await client.receive(), undefined);
  await client.closed;
  await peer[Symbol.asyncDispose]();
});

Deno.test("a signal aborts a client, and ends the wait for an address", overNet, async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const client = await connectDatagrams({ port: 9, signal });
  controller.abort();
  await client.closed;
  assertEquals(await client.receive(), undefined);
  const error = await assertRejects(() => connectDatagrams({ port: 9, signal }));
  assertEquals(error, signal.reason);
});

Deno.test("connectDatagrams() names a host that is unknown", overNet, async () => {
  const hostname = "no.such.host.invalid";
  await assertRejects(() => connectDatagrams({ hostname, port: 9 }), UnknownHostError, hostname);
});

Deno.test("connectDatagrams() rejects what does not fit together", async () => {
  const { signal } = new AbortController();
  const network = datagramNetwork();
  for (
    const [options, problem] of [
      [{}, "port must be a number"],
      [{ port: 0 }, "port must be an integer from 1 to 65535, got 0"],
      [{ path: "/x", signal }, "path needs localPath, for the answers"],
      [{ socket: network.socket() }, "socket needs remoteAddr"],
      [{ hostname: "", port: 1 }, 'hostname must be a text that is not empty, got ""'],
      [{ port: 1, kind: "raw" }, "no runtime (Deno, Node.js, Bun) has raw sockets"],
    ] as const
  ) await assertRejects(() => connectDatagrams(options), Error, problem);
});

Deno.test("a client bounds what waits to be sent", overNet, async () => {
  const client = await connectDatagrams({ port: 9, maxBufferedOutput: 1024 });
  const sends = await Promise.allSettled(Array.from({ length: 10 }, () => client.send("x")));
  const failed = sends.filter(({ status }) => status === "rejected");
  assertEquals(failed.length, 10 - 3); // 1024 / 257
  assertInstanceOf((failed[0] as PromiseRejectedResult).reason, OutputLimitError);
  await assertRejects(() => client.send(new Uint8Array(70_000)), OutputLimitError);
  assertEquals(client.stats().sendErrors, 8);
  await client.close();
});

Deno.test("a client is told of datagrams that are too large", overNet, async () => {
  await using client = await connectDatagrams({ port: 9 });
  await assertRejects(() => client.send(new Uint8Array(65_508)), DatagramTooLargeError);
});

for (const overflow of ["drop-newest", "drop-oldest"] as const) {
  Deno.test(`a client that reads slowly drops by its policy: ${overflow}`, bounded, async () => {
    const network = datagramNetwork();
    const peer = network.socket();
    const client = await connectDatagrams({
      socket: network.socket(),
      remoteAddr: peer.addr,
      maxQueuedBytes: 1024,
      overflow,
    });
    for (let i = 0; i < 5; i++) {
      peer.send(bytes(String(i)), client.localAddr, () => {});
    }
    await until(() => client.stats().received === 5);
    const kept = [];
    await client.close();
    for await (const message of client) kept.push(text(message));
    assertEquals(kept, overflow === "drop-newest" ? ["0", "1", "2"] : ["2", "3", "4"]);
    assertEquals(client.stats().dropped, 2);
  });
}

Deno.test("a client with a codec receives the messages of each datagram", overNet, async () => {
  const codec = jsonLines<{ id: number }>();
  await using server = serveDatagrams(
    { port: 0, codec, maxAmplification: 100 },
    async (one, to) => {
      await to.send(one);
      await to.send({ id: one.id + 1 });
    },
  );
  await using client = await connectDatagrams({ port: portOf(server), codec });
  await client.send({ id: 1 });
  assertEquals([await client.receive(), await client.receive()], [{ id: 1 }, { id: 2 }]);
});

Deno.test(
  "a client is told of a datagram that its codec cannot decode, and goes on",
  bounded,
  async () => {
    const network = datagramNetwork();
    const peer = network.socket();
    const client = await connectDatagrams({
      socket: network.socket(),
      remoteAddr: peer.addr,
      codec: jsonLines(),
    });
    for (const message of ["1\n{", "2"]) peer.send(bytes(message), client.localAddr, () => {});
    assertEquals(await client.receive(), 1);
    await assertRejects(() => client.receive(), MalformedFrameError);
    assertEquals(await client.receive(), 2);
    await client.close();
  },
);

Deno.test("a network loses, duplicates and reorders by its seed", bounded, async () => {
  async function run(seed: number): Promise<[string[], number, number, number]> {
    const network = datagramNetwork({ seed, lose: 0.2, duplicate: 0.2, reorder: 0.2 });
    const received: string[] = [];
    const server = serveDatagrams(
      { socket: network.socket(), codec: lines() },
      (line) => void received.push(line),
    );
    const client = await connectDatagrams({ socket: network.socket(), remoteAddr: server.addr });
    for (let i = 0; i < 200; i++) await client.send(String(i));
    const { lost, duplicated, reordered } = network.stats();
    await until(() => received.length === 200 - lost + duplicated);
    await Promise.all([client.close(), server.shutdown()]);
    return [received, lost, duplicated, reordered];
  }
  const first = await run(1);
  assertEquals(await run(1), first);
  const [received, lost, duplicated, reordered] = first;
  for (const count of [lost, duplicated, reordered]) assertEquals(count > 10 && count < 80, true);
  const inOrder = received.toSorted((one, other) => Number(one) - Number(other));
  assertEquals(inOrder.join() === received.join(), false);
  assertEquals((await run(2)).join() === first.join(), false);
});

Deno.test(
  "a network delays, and forgets what is on its way to a closed socket",
  bounded,
  async () => {
    const network = datagramNetwork({ delay: 5, reorder: 0.5 });
    const received: string[] = [];
    const server = serveDatagrams(
      { socket: network.socket() },
      (message) => void received.push(text(message)),
    );
    const client = await connectDatagrams({ socket: network.socket(), remoteAddr: server.addr });
    for (let i = 0; i < 50; i++) await client.send(String(i));
    await until(() => received.length === 50);
    await client.send("lost");
    server.abort();
    await server.finished;
    assertEquals(received.length, 50);
    await assertRejects(() => client.send(new Uint8Array(65_508)), DatagramTooLargeError);
    await client.close();
  },
);
