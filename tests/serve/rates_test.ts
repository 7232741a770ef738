import { assert, assertEquals, assertThrows } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { encodeProxyHeader } from "../../proxy_protocol/mod.ts";
import { SessionRates } from "../../serve/session_rates.ts";
import { serve, type ServeOptions } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import type { Address, Connection } from "../../transport/connection.ts";
import { type Listener, memoryListener } from "../../transport/mod.ts";
import {
  ask,
  bounded,
  clock,
  ConnectionOver,
  echo,
  listenerOver,
  overNet,
  portOf,
  readAll,
  recorder,
  seeRefused,
  settle,
} from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

interface Place {
  place: { hostname: string };
  listener: Listener;
  connect(): Connection;
}

/** A listener whose peers come from an address that the test sets. */
function from(hostname: string): Place {
  const inner = memoryListener();
  const place = { hostname };
  class From extends ConnectionOver {
    readonly #hostname = place.hostname;
    override get remoteAddr(): Address {
      return { transport: "tcp", hostname: this.#hostname, port: 1 };
    }
  }
  const listener = listenerOver(inner, (connection) => new From(connection));
  return { place, listener, connect: (): Connection => inner.connect() };
}

Deno.test("sessionRate refuses what exceeds it, by address", bounded, async () => {
  using time = clock();
  const { place, listener, connect } = from("192.0.2.1");
  const seen = recorder();
  const sessionRate = { perSecond: 2, burst: 3 };
  await using server = serve({ listener, sessionRate, observer: seen }, echo);
  const clients: Session[] = [];
  const enter = async (): Promise<void> => {
    const client = new Session(connect());
    clients.push(client);
    assertEquals(await ask(client, "rose"), "rose!");
  };
  for (let i = 0; i < 3; i++) await enter();
  await seeRefused(connect());
  await seeRefused(connect());
  place.hostname = "192.0.2.2";
  await enter();
  place.hostname = "192.0.2.1";
  time.now += 499;
  await seeRefused(connect());
  time.now += 1;
  await enter();
  await seeRefused(connect());
  time.now += 100_000;
  for (let i = 0; i < 3; i++) await enter();
  await seeRefused(connect());
  const { refused, refusals, waits } = server.stats();
  assertEquals([refused, refusals.sessionRate, waits.sessions], [5, 5, 0]);
  assertEquals(
    seen.events.filter((event) => event.startsWith("refused")),
    Array(5).fill("refused 192.0.2.1:1 sessionRate"),
  );
  for (const client of clients) client.abort();
});

Deno.test("sessionRate counts the networks of IPv6 by ipv6PrefixLength", bounded, async () => {
  for (const ipv6PrefixLength of [undefined, 48, 128]) {
    const { place, listener, connect } = from("2001:db8:1:1::1");
    const options: ServeOptions = { listener, sessionRate: { perSecond: 1 } };
    if (ipv6PrefixLength !== undefined) options.ipv6PrefixLength = ipv6PrefixLength;
    await using _server = serve(options, (session) => session.send("in"));
    const comesIn = async (hostname: string): Promise<boolean> => {
      place.hostname = hostname;
      await using client = new Session(connect());
      return await readAll(client) === "in";
    };
    assertEquals(await comesIn("2001:db8:1:1::1"), true);
    assertEquals(await comesIn("2001:db8:1:1::2"), ipv6PrefixLength === 128);
    assertEquals(await comesIn("2001:db8:1:2::1"), ipv6PrefixLength !== 48);
    assertEquals(await comesIn("2001:db8:2:1::1"), true);
  }
});

Deno.test("sessionRate lets as many as its burst wait, and refuses more", bounded, async () => {
  const { listener, connect } = from("192.0.2.1");
  const sessionRate = { perSecond: 20, burst: 2, exceeded: "wait" } as const;
  await using server = serve({ listener, sessionRate }, echo);
  const began = performance.now();
  const clients = Array.from({ length: 4 }, () => new Session(connect()));
  const answers = clients.map((client) => ask(client, "rose"));
  await settle();
  await seeRefused(connect());
  assertEquals(await Promise.all(answers), Array(4).fill("rose!"));
  assert(performance.now() - began >= 99, "the last one waits for two tokens");
  const { accepted, refusals, waits } = server.stats();
  assertEquals([accepted, refusals.sessionRate, waits.sessions], [4, 1, 2]);
  for (const client of clients) await client.close();
});

Deno.test("Server.shutdown() closes those who wait for sessionRate", bounded, async () => {
  const { listener, connect } = from("192.0.2.1");
  const sessionRate = { perSecond: 1, burst: 100, exceeded: "wait" } as const;
  const server = serve({ listener, sessionRate }, (session) => session.send("in"));
  const clients = Array.from({ length: 150 }, () => new Session(connect()));
  const inputs = clients.map(async (client) => {
    const text = await readAll(client);
    await client.close();
    return text;
  });
  assertEquals(await Promise.all(inputs.slice(0, 100)), Array(100).fill("in"));
  await server.shutdown();
  assertEquals(await Promise.all(inputs.slice(100)), Array(50).fill(""));
});

Deno.test(
  "Server.shutdown() closes those who would have to wait once their PROXY header comes",
  bounded,
  async () => {
    const listener = memoryListener();
    const server = serve({
      listener,
      proxyProtocol: "required",
      sessionRate: { perSecond: 1, burst: 100, exceeded: "wait" },
      proxyHeaderTimeout: Infinity,
      shutdownTimeout: Infinity,
    }, (session) => session.send("in"));
    const source = { transport: "tcp", hostname: "192.0.2.1", port: 5000 } as const;
    const header = encodeProxyHeader({ version: 2, source, destination: source });
    const clients = Array.from({ length: 150 }, () => new Session(listener.connect()));
    await settle();
    const finished = server.shutdown();
    const inputs = clients.map(async (client) => {
      await client.send(header);
      const text = await readAll(client);
      await client.close();
      return text;
    });
    await finished; // 50 clients would have to wait for 50 s
    assertEquals(await Promise.all(inputs), [...Array(100).fill("in"), ...Array(50).fill("")]);
  },
);

Deno.test("sessionRate holds over TCP, TLS and node:net, and counts nobody on a Unix socket", {
  ...overTls,
  ignore: overTls.ignore || overNet.ignore,
}, async () => {
  for (const options of [{}, { tls: localhost }, { transport: "node" as const }]) {
    const sessionRate = { perSecond: 1, burst: 2 };
    await using server = serve({ port: 0, ...options, sessionRate }, (s) => s.send("in"));
    const heard: string[] = [];
    for (let i = 0; i < 4; i++) {
      try {
        const tls = "tls" in options ? { tls: { ca } } : {};
        await using client = await connect({ port: portOf(server), ...tls });
        heard.push(await readAll(client));
      } catch {
        heard.push(""); // a handshake that is refused, or a reset
      }
    }
    assertEquals(heard.slice(0, 2), ["in", "in"]);
    assertEquals(heard.includes(""), true);
    assertEquals(server.stats().refusals.sessionRate > 0, true);
  }
  const listener = memoryListener();
  await using server = serve({ listener, sessionRate: { perSecond: 1 } }, (s) => s.send("in"));
  for (let i = 0; i < 5; i++) {
    await using client = new Session(listener.connect());
    assertEquals(await readAll(client), "in");
  }
  assertEquals(server.stats().refused, 0);
});

Deno.test("sessionRate counts the clients of a proxy, and not the proxy", overNet, async () => {
  await using server = serve({
    port: 0,
    proxyProtocol: "required",
    trusted: ["127.0.0.1"],
    sessionRate: { perSecond: 1 },
  }, (session) => session.send("in"));
  const comesIn = async (hostname: string): Promise<string> => {
    const source = { transport: "tcp" as const, hostname, port: 5000 };
    const proxyHeader = { version: 2, source } as const;
    await using client = await connect({ port: portOf(server), proxyHeader });
    return await readAll(client);
  };
  assertEquals(await comesIn("192.0.2.1"), "in");
  assertEquals(await comesIn("192.0.2.2"), "in");
  assertEquals(await comesIn("192.0.2.1"), "");
});

Deno.test("SessionRates remembers no more addresses than it may, and forgets who has rested", () => {
  using time = clock();
  const rates = new SessionRates({ perSecond: 1, burst: 2, waits: false }, 1000);
  for (let i = 0; i < 5000; i++) {
    rates.take(`${i}`);
    assert(rates.size <= 1000);
  }
  assertEquals(rates.size, 1000);
  rates.take("4999");
  assertEquals(rates.take("4999"), undefined); // it is remembered
  time.now += 2000;
  for (let i = 0; i < 500; i++) rates.take("4999");
  assertEquals(rates.size, 1);
});

Deno.test("serve() refuses rates that make no sense", () => {
  const listener = memoryListener();
  for (
    const [options, says] of [
      [{ sessionRate: { perSecond: 0 } }, "sessionRate.perSecond must be an integer from 1"],
      [{ sessionRate: { perSecond: 1, burst: 0 } }, "sessionRate.burst must be an integer from 1"],
      [
        { sessionRate: { perSecond: 1, exceeded: "end" as "wait" } },
        "sessionRate.exceeded must be",
      ],
      [{ readRate: { perSecond: 1, exceeded: "refuse" as "wait" } }, "readRate.exceeded must be"],
      [{ readRate: { perSecond: 2 ** 41 } }, "readRate.perSecond must be an integer from 1"],
      [{ writeRate: { perSecond: 1, burst: 0.5 } }, "writeRate.burst must be an integer from 1"],
    ] as const
  ) {
    assertThrows(() => serve({ listener, ...options }, echo), RangeError, says);
  }
  listener.close();
});
