// Limits and lists of a server behind proxies.

import { assertEquals } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { Session } from "../../session.ts";
import { dialPlain } from "../_dialing.ts";
import {
  ask,
  assertNoDescriptorLeft,
  overNet,
  overNetCounting,
  readAll,
  settle,
  until,
} from "../_serving.ts";
import { seeRefused, serveProxied } from "../_proxied.ts";
import { Peer } from "../_transports.ts";

Deno.test("serve() judges clients by the address that their proxy gives", overNet, async () => {
  await using proxied = serveProxied({
    allow: ["192.0.2.0/24"],
    deny: ["192.0.2.66"],
    maxSessionsPerAddress: 2,
  });
  const refused = (hostname: string): Promise<string> =>
    seeRefused(proxied, proxied.dial(hostname));
  assertEquals(await refused("192.0.2.66"), "192.0.2.66 denied");
  assertEquals(await refused("203.0.113.1"), "203.0.113.1 denied");
  assertEquals(await refused("127.0.0.1"), "127.0.0.1 denied");
  const both = [await proxied.dial("192.0.2.7"), await proxied.dial("192.0.2.7")];
  for (const client of both) assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(await refused("192.0.2.7"), "192.0.2.7 maxSessionsPerAddress");
  await using other = await proxied.dial("192.0.2.8");
  assertEquals(await ask(other, "think"), "think!");
  await both[0]!.close();
  await until(() => proxied.server.sessions.size === 2);
  await using again = await proxied.dial("192.0.2.7");
  assertEquals(await ask(again, "rose"), "rose!");
  await both[1]!.close();
});

Deno.test("serve() counts a network of IPv6 behind a proxy as one", overNet, async () => {
  const destination: Deno.NetAddr = { transport: "tcp", hostname: "2001:db8::1", port: 6 };
  for (const ipv6PrefixLength of [64, 128]) {
    const options = ipv6PrefixLength === 64 ? {} : { ipv6PrefixLength };
    await using proxied = serveProxied({ maxSessionsPerAddress: 1, ...options });
    const dial = (hostname: string): Promise<Session> => {
      const source: Deno.NetAddr = { transport: "tcp", hostname, port: 5 };
      return connect({ port: proxied.port, proxyHeader: { version: 2, source, destination } });
    };
    await using first = await dial("2001:db8:0:7::1");
    await using other = await dial("2001:db8:0:8::1");
    for (const client of [first, other]) assertEquals(await ask(client, "rose"), "rose!");
    if (ipv6PrefixLength === 64) await seeRefused(proxied, dial("2001:db8:0:7:ffff::2"));
    else {
      await using neighbour = await dial("2001:db8:0:7:ffff::2");
      assertEquals(await ask(neighbour, "jo"), "jo!");
    }
    const { maxSessionsPerAddress } = proxied.server.stats().refusals;
    const expected = ipv6PrefixLength === 64 ? 1 : 0;
    assertEquals([maxSessionsPerAddress, proxied.refusals.length], [expected, expected]);
  }
});

Deno.test("serve() does not count a proxy for its clients", overNet, async () => {
  await using proxied = serveProxied({ maxSessionsPerAddress: 1, allow: ["192.0.2.0/24"] });
  // All of them are on their way in at once, before any header has come.
  const conns = await Promise.all(
    Array.from({ length: 10 }, () => dialPlain(proxied.port)),
  );
  await settle();
  const clients = await Promise.all(conns.map(async (conn, i) => {
    await new Peer(conn).send(`PROXY TCP4 192.0.2.${i} 127.0.0.1 5 6\r\n`);
    return new Session(conn);
  }));
  for (const client of clients) assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(proxied.refusals, []);
  await Promise.all(clients.map((client) => client.close()));
});

Deno.test("serve() asks deny for proxies too", overNet, async () => {
  await using proxied = serveProxied({ trusted: ["127.0.0.0/8"], deny: ["127.0.0.1"] });
  assertEquals(await seeRefused(proxied, proxied.dial("192.0.2.7")), "127.0.0.1 denied");
});

Deno.test("serve() counts waiting headers in maxSessions", overNet, async () => {
  await using proxied = serveProxied({ maxSessions: 1, overload: "refuse" });
  const waiting = await Deno.connect({ port: proxied.port });
  assertEquals(await seeRefused(proxied, proxied.dial("192.0.2.7")), "127.0.0.1 maxSessions");
  waiting.close();
  await until(() => proxied.refusals.length === 2);
  await using client = await proxied.dial("192.0.2.7");
  assertEquals(await ask(client, "rose"), "rose!");
});

Deno.test(
  "Server.shutdown() waits no longer for headers than shutdownTimeout",
  overNetCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      const proxied = serveProxied({ proxyHeaderTimeout: Infinity, shutdownTimeout: 50 });
      const peers = await Promise.all(Array.from({ length: 10 }, async () => {
        return new Peer(await Deno.connect({ port: proxied.port }));
      }));
      await peers[0]!.send("PROXY TC");
      const live = await proxied.dial("192.0.2.7");
      assertEquals(await ask(live, "rose"), "rose!"); // all before it are accepted
      await Promise.all([
        proxied.server.shutdown(),
        ...peers.map(async (peer) => {
          assertEquals(await peer.countToEnd().catch(() => 0), 0);
          peer.close();
        }),
        readAll(live).then(() => live.close()),
      ]);
      assertEquals(proxied.refusals, []);
    });
  },
);
