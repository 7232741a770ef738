import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { disturb } from "../../../testing/disturb.ts";
import type { Connection, ProxyHeader } from "../../../transport/connection.ts";
import { memoryPair } from "../../../transport/memory.ts";
import { ConnectionOver, settle } from "../../_serving.ts";
import {
  beginHandshake,
  certificates,
  clientOptions,
  closeBoth,
  overTls,
  serverOptions,
  tlsOver,
  Watched,
  watchedPair,
} from "../../_tls.ts";
import { isPending, Peer, tcpPair } from "../../_transports.ts";

const encoder = new TextEncoder();

Deno.test("TlsConnection has the negotiated parameters, and both addresses", overTls, async () => {
  const raw = await tcpPair();
  const { cert, key } = certificates.client;
  const before = Date.now();
  const [server, client] = await tlsOver(
    raw,
    serverOptions({
      alpn: ["greet/2", "greet/1"],
      clientCertificate: "required",
      ca: certificates.ca.cert,
    }),
    clientOptions({ alpn: ["greet/1"], cert, key }),
  );
  assertEquals([server.remoteAddr, server.localAddr], [raw[0].remoteAddr, raw[0].localAddr]);
  const { peerCertificate, ...agreed } = server.tls!;
  const same = { protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", alpn: "greet/1" };
  assertEquals(agreed, { ...same, serverName: "localhost" });
  const { validFrom, validTo, serialNumber, fingerprint256, raw: der, ...names } = peerCertificate!;
  assertEquals(names, {
    subject: "CN=rose,O=Garden",
    issuer: "CN=ca",
    subjectAltNames: ["DNS:rose"],
  });
  assert(validFrom.getTime() <= before && before < validTo.getTime());
  assert(/^[0-9A-F]{10,40}$/.test(serialNumber), serialNumber);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", der.slice()));
  assertEquals(fingerprint256.replaceAll(":", "").toLowerCase(), digest.toHex());
  assertEquals(client.tls!.peerCertificate!.subject, "CN=garden");
  assertEquals(client.tls!.peerCertificate!.subjectAltNames, [
    "DNS:localhost",
    "IP Address:127.0.0.1",
    "IP Address:::1",
  ]);
  closeBoth(server, client);
});

Deno.test("TlsConnection passes on what the raw connection can do and knows", overTls, async () => {
  const [near, far] = memoryPair();
  const proxy: ProxyHeader = { version: 2, command: "LOCAL", tlvs: [] };
  const raw = Object.assign(new Watched(near), { proxy });
  const [server, client] = await tlsOver([raw, far]);
  assertStrictEquals(server.proxy, proxy);
  server.setNoDelay!(false);
  assertEquals(raw.noDelay, false);
  closeBoth(server, client);
});

Deno.test("TlsConnection reads nothing ahead of its reader", overTls, async () => {
  const { raw, server, client } = await watchedPair();
  const before = raw.bytesRead;
  const flood = new Peer(client).send(new Uint8Array(2 ** 23));
  flood.catch(() => {});
  assert(await isPending(flood));
  assertEquals(raw.bytesRead, before);
  assertEquals(await server.read(new Uint8Array(1)), 1);
  const taken = raw.bytesRead - before;
  assert(taken <= 64 * 1024, `${taken} bytes for one`);
  await settle();
  assertEquals(raw.bytesRead - before, taken);
  closeBoth(server, client);
  await assertRejects(() => flood, Deno.errors.Interrupted);
});

Deno.test(
  "TlsConnection.write() makes one record and one raw write of 16 KiB",
  overTls,
  async () => {
    const { raw, server, client } = await watchedPair();
    const overhead = 5 + 1 + 16; // header, type and tag (RFC 8446 §5.2)
    for (
      const [length, records] of [[1, 1], [64, 1], [16384, 1], [16385, 2], [49152, 3]] as const
    ) {
      raw.events.length = 0;
      assertEquals(await server.write(new Uint8Array(length)), length);
      assertEquals(raw.events, [`write ${length + records * overhead}`]);
    }
    assertEquals(await server.write(new Uint8Array(2 ** 24)), 49152); // more than that is left to the next one
    closeBoth(server, client);
  },
);

Deno.test("TlsConnection.write() waits for the raw connection", overTls, async () => {
  const { raw, server, client } = await watchedPair();
  const { promise, resolve } = Promise.withResolvers<void>();
  raw.heldUp = promise;
  const writing = server.write(encoder.encode("held"));
  const reading = server.read(new Uint8Array(9));
  await client.write(encoder.encode("input")); // upon which the TLS layer calls back too early
  assertEquals(await reading, 5);
  assert(await isPending(writing));
  resolve();
  assertEquals(await writing, 4);
  assertEquals(await new Peer(client).text(4), "held");
  closeBoth(server, client);
});

Deno.test("TlsConnection lets one read and one write wait at a time", overTls, async () => {
  const { server, client } = await watchedPair(4096);
  const reading = server.read(new Uint8Array(1));
  await assertRejects(() => server.read(new Uint8Array(1)), Deno.errors.Busy);
  const writing = server.write(new Uint8Array(2 ** 15));
  await assertRejects(() => server.write(new Uint8Array(1)), Deno.errors.Busy);
  const peer = new Peer(client);
  await Promise.all([peer.send("x"), peer.bytes(2 ** 15), reading, writing]);
  closeBoth(server, client);
});

Deno.test("TlsConnection carries megabytes over a network that chops", overTls, async () => {
  const [near, far] = memoryPair();
  const how = { delay: 0, stallAfter: Infinity, truncateAfter: Infinity, resetAfter: Infinity };
  const chopped = [near, far].map((connection, seed) =>
    disturb(connection, { ...how, seed, chop: 5000, blockAfter: Infinity })
  ) as [Connection, Connection];
  const [server, client] = await tlsOver(chopped);
  const sent = new Uint8Array(3 * 2 ** 20);
  for (let at = 0; at < sent.length; at += 65536) {
    crypto.getRandomValues(sent.subarray(at, at + 65536));
  }
  const [a, b] = [new Peer(server), new Peer(client)];
  const [forth, back] = await Promise.all([
    b.bytes(sent.length),
    a.bytes(sent.length),
    a.send(sent),
    b.send(sent),
  ]);
  assert(forth.every((byte, i) => byte === sent[i]), "one way");
  assert(back.every((byte, i) => byte === sent[i]), "the other way");
  closeBoth(server, client);
});

Deno.test("TlsConnection has what came right behind the handshake", overTls, async () => {
  const [near, far] = memoryPair();
  const finished = Promise.withResolvers<void>();
  let reads = 0;
  class Late extends ConnectionOver {
    override async read(buffer: Uint8Array): Promise<number | null> {
      if (reads++ > 0) await finished.promise;
      return await super.read(buffer);
    }
  }
  const pair = beginHandshake([new Late(near), far]);
  const client = await pair.client;
  await client.write(encoder.encode("glued"));
  await client.closeWrite();
  finished.resolve();
  const server = await pair.server;
  assertEquals(await new Peer(server).textToEnd(), "glued");
  closeBoth(server, client);
});
