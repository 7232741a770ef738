import { assert, assertEquals, assertRejects } from "@std/assert";
import { Session } from "../../../session.ts";
import type { Connection } from "../../../transport/connection.ts";
import { memoryPair } from "../../../transport/memory.ts";
import {
  closeBoth,
  Lending,
  overTls,
  serverOptions,
  tlsOver,
  Watched,
  watchedPair,
} from "../../_tls.ts";
import { isPending, Peer } from "../../_transports.ts";

const encoder = new TextEncoder();

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  Deno.test(
    `TlsConnection.closeWrite() leaves the other way open (${version})`,
    overTls,
    async () => {
      const [near, farRaw] = memoryPair();
      const raw = new Watched(near);
      const [server, client] = await tlsOver([raw, farRaw], serverOptions({ maxVersion: version }));
      assertEquals(server.tls!.protocol, version);
      const peer = new Peer(client);
      await client.closeWrite();
      const buffer = new Uint8Array(100);
      assertEquals([await server.read(buffer), await server.read(buffer)], [null, null]);
      await server.write(encoder.encode("still here"));
      assertEquals(await peer.text(10), "still here");
      raw.events.length = 0;
      await server.closeWrite();
      assertEquals(raw.events.map((event) => event.split(" ")[0]), ["write", "closeWrite"]);
      assertEquals(await client.read(buffer), null);
      await assertRejects(() => server.write(buffer), Deno.errors.BrokenPipe);
      await server.closeWrite(); // again, which does nothing
      closeBoth(server, client);
    },
  );
}

Deno.test(
  "TlsConnection.closeWrite() comes after what is still being written",
  overTls,
  async () => {
    const { raw, server, client } = await watchedPair();
    const { promise, resolve } = Promise.withResolvers<void>();
    raw.heldUp = promise;
    const writing = server.write(encoder.encode("last words"));
    const closing = server.closeWrite();
    assert(await isPending(closing));
    assertEquals(raw.events.length, 1);
    resolve();
    await Promise.all([writing, closing]);
    assertEquals(raw.events.map((event) => event.split(" ")[0]), ["write", "write", "closeWrite"]);
    assertEquals(await new Peer(client).textToEnd(), "last words");
    closeBoth(server, client);
  },
);

Deno.test("TlsConnection.read() distinguishes a cut from an end, once", overTls, async () => {
  const { server, client, farRaw } = await watchedPair();
  await client.write(encoder.encode("half a mess"));
  await farRaw.closeWrite();
  const buffer = new Uint8Array(5);
  assertEquals([await server.read(buffer), await server.read(buffer)], [5, 5]);
  assertEquals(await server.read(buffer), 1);
  await assertRejects(() => server.read(buffer), Deno.errors.UnexpectedEof, "without close_notify");
  assertEquals(await server.read(buffer), null);
  closeBoth(server, client);
});

/** What can follow authentic bytes so closely that one raw read brings both. */
interface End {
  bytes?: Uint8Array[];
  /** Has the peer give up, which then says so. */
  givesUp?: boolean;
  kind: new (...args: never[]) => Error;
}

const ENDS: Record<string, End> = {
  "a record that nobody has made": {
    bytes: [Uint8Array.of(23, 3, 3, 0, 32, ...new Uint8Array(32))],
    kind: Deno.errors.InvalidData,
  },
  "a record that is too long": {
    bytes: [Uint8Array.of(23, 3, 3, 255, 255, ...new Uint8Array(99))],
    kind: Deno.errors.InvalidData,
  },
  "what is no record": {
    bytes: [encoder.encode("GET / HTTP/1.1\r\n\r\n")],
    kind: Deno.errors.InvalidData,
  },
  "a forged alert": { bytes: [Uint8Array.of(21, 3, 3, 0, 2, 2, 40)], kind: Error },
  "an alert": { givesUp: true, kind: Deno.errors.ConnectionAborted },
  "the beginning of a record, and the end": {
    bytes: [Uint8Array.of(23, 3, 3, 0, 32, 1)],
    kind: Deno.errors.UnexpectedEof,
  },
};

const RAWS = {
  "": memoryPair,
  ", where the raw connection lends": (): [Connection, Connection] => {
    const [near, far] = memoryPair();
    return [new Lending(near), new Lending(far)];
  },
};

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  for (const side of ["server", "client"] as const) {
    for (const [where, rawPair] of Object.entries(RAWS)) {
      for (const [name, end] of Object.entries(ENDS)) {
        Deno.test(
          `TlsConnection.read() of a ${side} gives what came before ${name} (${version}${where})`,
          overTls,
          () => readsUpTo(end, rawPair(), side, version),
        );
      }
    }
  }
}

async function readsUpTo(
  { bytes = [], givesUp, kind }: End,
  raws: [Connection, Connection],
  side: "server" | "client",
  maxVersion: "TLSv1.2" | "TLSv1.3",
): Promise<void> {
  const pair = await tlsOver(raws, serverOptions({ maxVersion }));
  const [at, other] = side === "server" ? [0, 1] as const : [1, 0] as const;
  const [reader, peer] = [pair[at], pair[other]];
  const buffer = new Uint8Array(1000);
  await new Peer(reader).send("hello"); // so that the tickets of TLS 1.3 are read too
  await new Peer(peer).text(5);
  for (const word of ["last ", "words"]) await new Peer(peer).send(word);
  if (givesUp) {
    await raws[at].write(encoder.encode("what is no record"));
    await assertRejects(() => peer.read(buffer), Deno.errors.InvalidData);
  }
  for (const end of bytes) await raws[other].write(end);
  if (kind === Deno.errors.UnexpectedEof) await raws[other].closeWrite();
  assertEquals(await new Peer(reader).text(10), "last words");
  await assertRejects(() => reader.read(buffer), kind);
  assertEquals(await reader.read(buffer), null);
  closeBoth(...pair);
}

Deno.test("A Session over TLS reads what came before its peer aborted", overTls, async () => {
  const [near, far] = memoryPair();
  const [server, client] = await tlsOver([near, far]);
  const session = new Session(server);
  await new Peer(client).send("552 too big\nhalf");
  await near.write(encoder.encode("what is no record"));
  await assertRejects(() => new Peer(client).text(1), Deno.errors.InvalidData);
  assertEquals(await session.readLine(), "552 too big");
  await assertRejects(() => session.readLine(), "alert");
  const { reason, cause } = await session.closed;
  assertEquals([reason, cause instanceof Deno.errors.ConnectionAborted], ["peer", true]);
  client.close();
});

Deno.test("A Session over TLS that is cut ends by its peer, with a cause", overTls, async () => {
  const { server, client, farRaw } = await watchedPair();
  const session = new Session(server);
  await client.write(encoder.encode("line\nhalf"));
  assertEquals(await session.readLine(), "line");
  const reading = session.readLine();
  await farRaw.closeWrite();
  await assertRejects(() => reading, "without close_notify");
  const { reason, cause } = await session.closed;
  assertEquals([reason, cause instanceof Deno.errors.UnexpectedEof], ["peer", true]);
  client.close();
});

Deno.test("TlsConnection.read() reports a reset, after what came before", overTls, async () => {
  const { server, client, farRaw } = await watchedPair();
  await client.write(encoder.encode("last"));
  await server.write(encoder.encode("never read"));
  const buffer = new Uint8Array(100);
  assertEquals(await server.read(buffer), 4);
  farRaw.close(); // with unread input
  await assertRejects(() => server.read(buffer), Deno.errors.ConnectionReset);
  assertEquals(await server.read(buffer), null);
  await assertRejects(() => server.write(buffer), Deno.errors.ConnectionReset);
  closeBoth(server, client);
});

Deno.test("TlsConnection.read() fails on a record that was changed", overTls, async () => {
  const { server, client, farRaw } = await watchedPair();
  await farRaw.write(Uint8Array.of(23, 3, 3, 0, 32, ...new Uint8Array(32)));
  await assertRejects(() => server.read(new Uint8Array(9)), Deno.errors.InvalidData, "TLS");
  await assertRejects(() => client.read(new Uint8Array(9)), Deno.errors.ConnectionAborted, "alert");
  closeBoth(server, client);
});

Deno.test(
  "TlsConnection.close() makes all that waits reject, and closes once",
  overTls,
  async () => {
    const { raw, server, client } = await watchedPair(4096);
    const reading = server.read(new Uint8Array(1));
    const writing = new Peer(server).send(new Uint8Array(2 ** 20));
    const halfClosing = server.closeWrite();
    assertEquals(await Promise.all([reading, writing, halfClosing].map(isPending)), [
      true,
      true,
      true,
    ]);
    server.close();
    server.close();
    for (const waiting of [reading, writing, halfClosing]) {
      await assertRejects(() => waiting, Deno.errors.Interrupted);
    }
    assertEquals(raw.events.filter((event) => event === "close").length, 1);
    await assertRejects(() => server.read(new Uint8Array(1)), Deno.errors.BadResource);
    await assertRejects(() => server.write(new Uint8Array(1)), Deno.errors.BadResource);
    await assertRejects(() => server.closeWrite(), Deno.errors.BadResource);
    client.close();
  },
);
