import { strict as assert } from "node:assert";
import { jsonLines } from "@parley/tcp/codecs";
import { connectDatagrams, DatagramTooLargeError, serveDatagrams } from "@parley/tcp/datagram";
import type { NetAddr } from "@parley/tcp/datagram";
import { systemErrors } from "@parley/tcp/transport";
import { type Scenarios, until } from "./_harness.ts";

const isDeno = "Deno" in globalThis;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Bytes of Node are a `Buffer`. */
const plain = (bytes: Uint8Array | undefined): Uint8Array => new Uint8Array(bytes ?? []);

/** The port of a server, once it receives. */
async function portOf(server: { listening: Promise<unknown> }): Promise<number> {
  return (await server.listening as NetAddr).port;
}

export const datagrams: Scenarios = {
  "datagrams of any size come back": async () => {
    const server = serveDatagrams({ port: 0 }, (message, sender) => sender.send(message));
    const client = await connectDatagrams({ port: await portOf(server) });
    for (const size of [1, 1472, 9000, 65_507]) {
      await client.send(new Uint8Array(size).fill(7));
      const answer = await client.receive({ timeout: 10_000 });
      assert.deepEqual([answer?.length, answer?.at(-1)], [size, 7]);
    }
    await client.close();
    await server.shutdown();
    assert.equal(server.stats().received, 4);
  },

  "datagrams are sent in the order of the calls": async () => {
    const received: number[] = [];
    const server = serveDatagrams(
      { port: 0, codec: jsonLines<number>() },
      (number) => void received.push(number),
    );
    const client = await connectDatagrams({
      port: await portOf(server),
      codec: jsonLines<number>(),
    });
    for (let i = 0; i < 50; i++) void client.send(i);
    await until(() => received.length === 50);
    assert.deepEqual(received, Array.from({ length: 50 }, (_, i) => i));
    await client.close();
    await server.shutdown();
  },

  "a handler of datagrams that throws ends nothing": async () => {
    const errors: unknown[] = [];
    const server = serveDatagrams(
      { port: 0, onError: (error) => void errors.push(error) },
      (message, sender) => {
        if (message.length === 1) throw new Error("thrown");
        return sender.send(message);
      },
    );
    const client = await connectDatagrams({ port: await portOf(server) });
    await client.send("x");
    await client.send("rose");
    assert.deepEqual(plain(await client.receive({ timeout: 10_000 })), bytes("rose"));
    assert.deepEqual(errors.map(String), ["Error: thrown"]);
    await client.close();
    await server.shutdown();
  },

  "a server on :: sends to IPv4, and shows it as such": async () => {
    const receiver = serveDatagrams({ port: 0 }, (_, sender) => sender.send("answer"));
    let server;
    try {
      const got = Promise.withResolvers<unknown>();
      server = serveDatagrams({ hostname: "::", port: 0 }, (_, { remoteAddr }) => {
        got.resolve(remoteAddr);
      });
      await server.listening;
      const to = await receiver.listening;
      await server.send("rose", to);
      assert.deepEqual(await got.promise, to);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAFNOSUPPORT") throw error; // no IPv6 here
    } finally {
      await server?.shutdown();
      await receiver.shutdown();
    }
  },

  "a datagram that is too large is told": async () => {
    const client = await connectDatagrams({ port: 9 });
    await assert.rejects(client.send(new Uint8Array(65_508)), DatagramTooLargeError);
    await client.close();
  },

  "a client is told by ICMP that nothing receives": async () => {
    const server = serveDatagrams({ port: 0 }, () => {});
    const port = await portOf(server);
    await server.shutdown();
    const client = await connectDatagrams({ port });
    await client.send("x");
    const waiting = client.receive({ timeout: 1_000 });
    await assert.rejects(waiting, (error: Error) => {
      if (isDeno) assert.equal(error.name, "TimeoutError"); // it does not report ICMP
      else assert(error instanceof systemErrors.ConnectionRefused, String(error));
      return true;
    });
    const again = serveDatagrams({ port }, (message, sender) => sender.send(message));
    await again.listening;
    await client.send("rose");
    assert.deepEqual(plain(await client.receive({ timeout: 10_000 })), bytes("rose"));
    await client.close();
    await again.shutdown();
  },

  "a port that is in use is told": async () => {
    const server = serveDatagrams({ port: 0 }, () => {});
    const port = await portOf(server);
    await assert.rejects(
      async () => await serveDatagrams({ port }, () => {}).listening,
      (error) => error instanceof systemErrors.AddrInUse,
    );
    await server.shutdown();
  },

  "Unix datagram sockets are in Deno only": () => {
    const serve = () => serveDatagrams({ path: "/tmp/none" }, () => {});
    assert.throws(serve, isDeno ? /need Deno's --unstable-net/ : /need Deno with --unstable-net/);
    return Promise.resolve();
  },
};
