import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { ProxyHeaderError } from "../../errors.ts";
import {
  encodeProxyHeader,
  type ProxyHeaderInit,
  type ProxyTls,
} from "../../proxy_protocol/mod.ts";
import type { Logger } from "../../serve/observer.ts";
import { type Handler, serve, type ServeOptions } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { formatAddress, memoryListener } from "../../transport/mod.ts";
import { ask, bounded, canIpv6, echo, overNet, readAll, until } from "../_serving.ts";
import { Peer } from "../_transports.ts";
import { concat } from "../_codecs.ts";
import { seeRefused, serveProxied, told } from "../_proxied.ts";
import { latin1 } from "../_proxy_headers.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const ENDS = {
  source: { transport: "tcp", hostname: "192.0.2.7", port: 51324 },
  destination: { transport: "tcp", hostname: "198.51.100.1", port: 443 },
} as const;
const HEADERS: Record<string, Uint8Array> = {
  "version 1": latin1("PROXY TCP4 192.0.2.7 198.51.100.1 51324 443\r\n"),
  "version 2": encodeProxyHeader({ version: 2, ...ENDS, authority: "rose.test" }),
};

Deno.test("serve() gets the addresses of its sessions from PROXY headers", overNet, async () => {
  const seen: unknown[] = [];
  await using proxied = serveProxied({}, async (session) => {
    seen.push(session.remoteAddr, session.localAddr, session.proxy!.version);
    await echo(session);
  });
  for (const [name, header] of Object.entries(HEADERS)) {
    // Glued to what follows, and byte by byte.
    for (const pieces of [[concat([header, latin1("rose\n")])], [...header, ..."rose\n"]]) {
      const conn = await Deno.connect({ port: proxied.port });
      conn.setNoDelay(true);
      const peer = new Peer(conn);
      for (const piece of pieces) {
        await peer.send(typeof piece === "number" ? Uint8Array.of(piece) : piece);
      }
      assertEquals(await peer.text(6), "rose!\n", name);
      assertEquals(seen.splice(0), [ENDS.source, ENDS.destination, name === "version 1" ? 1 : 2]);
      peer.close();
    }
  }
  assertEquals(proxied.refusals, []);
});

Deno.test("serve() keeps the addresses where a header gives none", overNet, async () => {
  const seen: string[] = [];
  await using proxied = serveProxied({}, async (session) => {
    const { command, version } = session.proxy!;
    seen.push(`${formatAddress(session.remoteAddr)} ${command} ${version}`);
    await session.send("welcome!\n");
  });
  const headers = [
    latin1("PROXY UNKNOWN\r\n"),
    encodeProxyHeader({ version: 2, command: "LOCAL" }),
  ];
  for (const header of headers) {
    const peer = new Peer(await Deno.connect({ port: proxied.port }));
    await peer.send(header);
    assertEquals(await peer.textToEnd(), "welcome!\n");
    seen.push(formatAddress(peer.connection.localAddr));
    peer.close();
  }
  assertEquals([seen[0], seen[2]], [`${seen[1]} PROXY 1`, `${seen[3]} LOCAL 2`]);
});

Deno.test("serve() refuses an invalid PROXY header, and says at which byte", overNet, async () => {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const logger = { debug: log, info: log, warn: log, error: log };
  await using proxied = serveProxied({ logger });
  const cases: [bytes: string, offset: number][] = [
    ["GET / HTTP/1.1\r\n\r\n", 0],
    ["PROXY TCP4 192.0.2.7 198.51.100.1 51324 65536\r\n", 40],
    ["PROXY " + "x".repeat(200), 6],
    ["\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0", 12],
  ];
  for (const [bytes, offset] of cases) {
    const before = proxied.refusals.length;
    const peer = new Peer(await Deno.connect({ port: proxied.port }));
    const port = (peer.connection.localAddr as Deno.NetAddr).port;
    await peer.send(latin1(bytes));
    await peer.countToEnd().catch(() => {}); // unread input makes it a reset
    peer.close();
    await until(() => proxied.refusals.length > before);
    const { remoteAddr, reason, cause } = proxied.refusals.at(-1)!;
    assertEquals([formatAddress(remoteAddr), reason], [`127.0.0.1:${port}`, "proxy-header"]);
    assertInstanceOf(cause, ProxyHeaderError);
    assertEquals(cause.offset, offset, `${JSON.stringify(bytes)}: ${cause.message}`);
    assertEquals(
      lines.at(-1),
      `connection from 127.0.0.1:${port} refused: no valid PROXY header (ProxyHeaderError: ` +
        `${cause.message})`,
    );
  }
  const { accepted, refused, refusals } = proxied.server.stats();
  assertEquals([accepted, refused, refusals["proxy-header"]], [0, cases.length, cases.length]);
  await using client = await proxied.dial("192.0.2.7");
  assertEquals(await ask(client, "rose"), "rose!");
});

Deno.test("serve() refuses a header that ends too early or takes too long", overNet, async () => {
  await using proxied = serveProxied({ proxyHeaderTimeout: 40 });
  const early = new Peer(await Deno.connect({ port: proxied.port }));
  await early.send("PROXY TCP4 192");
  await early.closeWrite();
  assertEquals(await early.countToEnd(), 0);
  early.close();
  const problem = "bad PROXY header: the input ended within the header (at byte 14)";
  assertEquals(told(proxied.refusals), `127.0.0.1 proxy-header ${problem}`);

  const late = new Peer(await Deno.connect({ port: proxied.port }));
  await late.send("PROXY");
  assertEquals(await late.countToEnd(), 0);
  late.close();
  assertEquals(
    told(proxied.refusals),
    "127.0.0.1 proxy-header bad PROXY header: not received within 40 ms (proxyHeaderTimeout) (at byte 5)",
  );
});

Deno.test("serve() reports a leaver without a byte as `left`", overNet, async () => {
  const lines: string[] = [];
  const log = (level: string) => (line: string): void => {
    if (line.includes("refused")) lines.push(`${level} ${line.replace(/:\d+/, "")}`);
  };
  const levels = ["debug", "info", "warn", "error"] as const;
  const logger = Object.fromEntries(
    levels.map((level) => [level, log(level)]),
  ) as unknown as Logger;
  await using proxied = serveProxied({ logger, proxyHeaderTimeout: 40 });
  const { server } = proxied;
  // A check ends its connection, or only its side of it; a proxy that says nothing is looked after.
  for (const leave of [(peer: Peer) => peer.close(), (peer: Peer) => peer.closeWrite(), () => {}]) {
    const before = server.stats().refused;
    const peer = new Peer(await Deno.connect({ port: proxied.port }));
    await leave(peer);
    await until(() => server.stats().refused > before);
    peer.close();
  }
  const left = "debug connection from 127.0.0.1 refused: it left before it sent anything";
  assertEquals(lines.slice(0, 2), [left, left]);
  assertMatch(lines[2]!, /^warn connection from 127.0.0.1 refused: no valid PROXY header .*40 ms/);
  const { refused, refusals } = server.stats();
  assertEquals([refused, refusals.left, refusals["proxy-header"]], [3, 2, 1]);
  assertEquals(proxied.refusals.map(({ reason }) => reason), ["left", "left", "proxy-header"]);
});

Deno.test("serve() accepts headers of maxProxyHeader bytes, also with TLS", overTls, async () => {
  const tls: ProxyTls = {
    secure: true,
    certificateOnConnection: true,
    certificateInSession: true,
    verified: true,
    certificate: new Uint8Array(6000).fill(0x30),
  };
  const proxyHeader: ProxyHeaderInit = { version: 2, ...ENDS, tls };
  const { length } = encodeProxyHeader(proxyHeader);
  for (const isTls of [false, true]) {
    const options: ServeOptions = isTls ? { tls: localhost } : {};
    const client: ConnectOptions = { proxyHeader, ...(isTls && { tls: { ca } }) };
    const seen: unknown[] = [];
    const handler: Handler = async (session) => {
      seen.push(session.proxy?.tls);
      await echo(session);
    };
    for (const maxProxyHeader of [length, 65551]) {
      await using proxied = serveProxied({ ...options, maxProxyHeader }, handler);
      await using session = await connect({ hostname: "localhost", port: proxied.port, ...client });
      assertEquals(await ask(session, "rose"), "rose!");
      assertEquals(seen.splice(0), [tls]);
    }
    for (const [name, limit] of [["default", 4096], ["limit", length - 1]] as const) {
      const maxProxyHeader = name === "limit" ? { maxProxyHeader: limit } : {};
      await using proxied = serveProxied({ ...options, ...maxProxyHeader }, handler);
      assertEquals(
        await seeRefused(proxied, connect({ port: proxied.port, ...client })),
        `127.0.0.1 proxy-header bad PROXY header: a header of ${length} bytes exceeds the limit of ${limit} (at byte 14)`,
      );
    }
    assertEquals(seen, []);
  }
});

Deno.test("serve() judges no client that a header shows on a Unix socket", overNet, async () => {
  const options = { allow: ["192.0.2.0/24"], maxSessionsPerAddress: 1 };
  await using proxied = serveProxied(options, async (session) => {
    await session.send(formatAddress(session.remoteAddr));
    await session.readLine();
  });
  const proxyHeader: ProxyHeaderInit = {
    version: 2,
    source: { transport: "unix", path: "/run/client.sock" },
    destination: { transport: "unix", path: "/run/proxy.sock" },
  };
  const peers = await Promise.all([1, 2].map(async () => {
    const peer = new Peer(await Deno.connect({ port: proxied.port }));
    await peer.send(encodeProxyHeader(proxyHeader));
    return peer;
  }));
  for (const peer of peers) assertEquals(await peer.text(16), "/run/client.sock");
  assertEquals(await seeRefused(proxied, proxied.dial("203.0.113.1")), "203.0.113.1 denied");
  for (const peer of peers) peer.close();
});

Deno.test(
  "connect() puts its own addresses for those that are undefined in proxyHeader",
  overNet,
  async () => {
    await using proxied = serveProxied({}, async (session) => {
      const { source, destination } = session.proxy!;
      await session.send(`${formatAddress(source!)} ${formatAddress(destination!)}\n`);
    });
    const given: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.7", port: 5 };
    for (const version of [1, 2] as const) {
      for (
        const [source, destination] of [[undefined, undefined], [given, undefined], [
          undefined,
          given,
        ]]
      ) {
        const proxyHeader = { version, source, destination } as ProxyHeaderInit;
        await using client = await connect({ port: proxied.port, proxyHeader });
        const from = formatAddress(source ?? client.localAddr);
        const to = formatAddress(destination ?? client.remoteAddr);
        assertEquals(await client.readLine(), `${from} ${to}`);
      }
    }
  },
);

Deno.test("serve() accepts no header of an untrusted peer", overNet, async () => {
  const options = { trusted: ["192.0.2.0/24"] };
  await using refusing = serveProxied(options);
  assertEquals(await seeRefused(refusing, refusing.dial("203.0.113.1")), "127.0.0.1 untrusted");
  assertEquals(refusing.server.stats().refusals.untrusted, 1);

  const seen: unknown[] = [];
  await using direct = serveProxied({ ...options, untrusted: "direct" }, async (session) => {
    seen.push((session.remoteAddr as Deno.NetAddr).hostname, session.proxy);
    await echo(session);
  });
  await using liar = await connect({ port: direct.port });
  assertEquals(
    await ask(liar, "PROXY TCP4 203.0.113.1 203.0.113.1 1 1"),
    "PROXY TCP4 203.0.113.1 203.0.113.1 1 1!",
  );
  assertEquals(seen, ["127.0.0.1", undefined]);
});

Deno.test("serve() trusts proxies that have no IP address", bounded, async () => {
  const listener = memoryListener();
  await using _server = serve(
    { listener, proxyProtocol: "required" },
    (session) => session.send(formatAddress(session.remoteAddr)),
  );
  const connection = listener.connect();
  await new Peer(connection).send(HEADERS["version 1"]!);
  const client = new Session(connection);
  assertEquals(await readAll(client), "192.0.2.7:51324");
  await client.close();
});

Deno.test("serve() knows a proxy on IPv6, and one that comes over IPv6 with IPv4", {
  ...overNet,
  ignore: !canIpv6,
}, async () => {
  const handler: Handler = (session) => session.send(formatAddress(session.remoteAddr));
  await using proxied = serveProxied({ hostname: "::", trusted: ["::1", "127.0.0.1"] }, handler);
  for (const hostname of ["::1", "127.0.0.1"]) {
    await using client = await proxied.dial("2001:db8::7", {
      port: proxied.port,
      hostname,
      proxyHeader: {
        version: 1,
        source: { transport: "tcp", hostname: "2001:db8::7", port: 5 },
        destination: { transport: "tcp", hostname: "2001:db8::1", port: 6 },
      },
    });
    assertEquals(await readAll(client), "[2001:db8::7]:5", hostname);
  }
});

const BAD: [options: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [{ proxyProtocol: "on" }, RangeError, 'proxyProtocol must be "off" or "required", got "on"'],
  [
    { proxyProtocol: "required" },
    TypeError,
    'proxyProtocol: "required" needs trusted, the addresses of the proxies (["0.0.0.0/0", "::/0"] for everybody)',
  ],
  [
    { trusted: ["10.0.0.1"] },
    TypeError,
    'trusted is of no use without proxyProtocol: "required"',
  ],
  [
    { proxyProtocol: "required", trusted: ["10.0.0.1/8"] },
    RangeError,
    "trusted[0] must have no bit set past its prefix",
  ],
  [
    { proxyProtocol: "required", trusted: "10.0.0.1" },
    TypeError,
    "trusted must be an array of CIDR blocks, got a string",
  ],
  [{ untrusted: "allow" }, RangeError, 'untrusted must be "refuse" or "direct", got "allow"'],
  [
    { proxyHeaderTimeout: -1 },
    RangeError,
    "proxyHeaderTimeout must be more than 0 ms (Infinity for none), got -1",
  ],
  [
    { maxProxyHeader: 15 },
    RangeError,
    "maxProxyHeader must be an integer from 16 to 65551, got 15",
  ],
  [
    { maxProxyHeader: 65552 },
    RangeError,
    "maxProxyHeader must be an integer from 16 to 65551, got 65552",
  ],
];

Deno.test("serve() refuses bad options for PROXY headers", { permissions: "none" }, () => {
  for (const [options, kind, says] of BAD) {
    assertThrows(() => serve({ port: 0, ...options } as ServeOptions, echo), kind, says);
  }
});

Deno.test(
  "connect() refuses a bad PROXY header before it dials",
  { permissions: "none" },
  async () => {
    const source = { transport: "tcp", hostname: "192.0.2.7", port: 70000 };
    const error = await assertRejects(
      () => connect({ port: 9, proxyHeader: { version: 1, source } } as ConnectOptions),
      RangeError,
    );
    assert(error.message.includes("70000"), error.message);
  },
);
