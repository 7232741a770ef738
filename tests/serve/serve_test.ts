import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { ConnectError, ConnectionRefusedError } from "../../errors.ts";
import { type Handler, serve, type ServeOptions } from "../../serve/serve.ts";
import { noEnds, noStats } from "../../serve/stats.ts";
import { Session } from "../../session.ts";
import { type Listener, memoryListener } from "../../transport/mod.ts";
import {
  ask,
  bounded,
  canIpv6,
  canUnshare,
  ConnectionOver,
  echo,
  listenerOver,
  overDenoNet,
  overNet,
  portOf,
  recorder,
  runModule,
  seeRefused,
  until,
} from "../_serving.ts";
import { isByServer } from "../_default_transport.ts";
import { canNet, canRun } from "../_permissions.ts";

const isLinux = Deno.build.os === "linux";
const canRunDeno = canNet && await canRun("deno");

Deno.test("serve() listens on loopback as soon as it returns", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  const addr = server.addr as Deno.NetAddr;
  assertEquals(server.state, "listening");
  assertEquals([addr.transport, addr.hostname], ["tcp", "127.0.0.1"]);
  assert(addr.port > 0);
  assertEquals(await server.listening, addr);
  await using client = await connect({ port: addr.port });
  assertEquals(await ask(client, "rose"), "rose!");
});

Deno.test("serve() keeps servers apart from each other", bounded, async () => {
  const [one, two] = [memoryListener(), memoryListener()];
  const [seenByOne, seenByTwo] = [recorder(), recorder()];
  await using serverOne = serve({ listener: one, observer: seenByOne }, echo);
  await using serverTwo = serve({ listener: two, observer: seenByTwo }, echo);
  await using clientOne = new Session(one.connect());
  await using clientTwo = new Session(two.connect());
  assertEquals(await ask(clientOne, "rose"), "rose!");
  assertEquals(await ask(clientTwo, "jo"), "jo!");
  const [sessionOne] = serverOne.sessions;
  const [sessionTwo] = serverTwo.sessions;
  assertEquals([sessionOne!.id, sessionTwo!.id], [1, 1]);
  assertEquals([serverOne.sessions.size, serverTwo.sessions.size], [1, 1]);

  serverOne.shutdown();
  await clientOne.close();
  await serverOne.finished;
  assert(sessionOne!.draining.aborted);
  assertEquals(sessionTwo!.draining.aborted, false);
  assertEquals(await ask(clientTwo, "again"), "again!");
  assertEquals([serverOne.state, serverTwo.state], ["closed", "listening"]);
  assertEquals(seenByOne.events, ["listening", "start 1", "draining", "end 1 drain", "closed"]);
  assertEquals(seenByTwo.events, ["listening", "start 1"]);
  assertEquals([serverOne.stats().bytesRead, serverTwo.stats().bytesRead], [5, 9]);
});

Deno.test("Server.stats() counts bytes of open and of ended sessions", bounded, async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, echo);
  const figures = (): unknown => {
    const { active, accepted, bytesRead, bytesWritten } = server.stats();
    return [active, accepted, bytesRead, bytesWritten];
  };
  assertEquals(figures(), [0, 0, 0, 0]);
  await using first = new Session(listener.connect());
  await ask(first, "rose");
  assertEquals(figures(), [1, 1, 5, 6]);
  await first.close();
  await until(() => server.sessions.size === 0);
  assertEquals(figures(), [0, 1, 5, 6]);
  await using second = new Session(listener.connect());
  await ask(second, "jo");
  assertEquals(figures(), [1, 2, 8, 10]);
  assertEquals(server.stats(), {
    active: 1,
    accepted: 2,
    refused: 0,
    refusals: {
      maxSessions: 0,
      maxSessionsPerAddress: 0,
      sessionRate: 0,
      denied: 0,
      untrusted: 0,
      "proxy-header": 0,
      handshake: 0,
      left: 0,
      descriptors: 0,
    },
    ends: { ...noEnds(), peer: 1 },
    durations: server.stats().durations,
    handshakes: noStats().handshakes,
    handshakeFailures: noStats().handshakeFailures,
    acceptErrors: 0,
    handlerErrors: 0,
    bytesRead: 8,
    bytesWritten: 10,
    unread: 0,
    unsent: 0,
    blocked: 0,
    waits: { sessions: 0, reads: 0, writes: 0 },
    memory: { held: 1024, pressure: "none", paused: 0, ended: 0 },
  });
});

Deno.test("Server.sessions is a new set for each call", bounded, async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, echo);
  await using one = new Session(listener.connect());
  await using two = new Session(listener.connect());
  await until(() => server.sessions.size === 2);
  const now = server.sessions;
  assertNotStrictEquals(now, server.sessions);
  for (const session of now) await session.send("all\n");
  assertEquals([await one.readLine(), await two.readLine()], ["all", "all"]);
  await one.close();
  await until(() => server.sessions.size === 1);
  assertEquals(now.size, 2);
});

const BAD: readonly [option: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [{ port: undefined }, TypeError, "port must be a number, got undefined"],
  [{ port: "1234" }, TypeError, "port must be a number, got a string"],
  [{ port: -1 }, RangeError, "port must be an integer from 0 to 65535, got -1"],
  [{ port: 65536 }, RangeError, "port must be an integer from 0 to 65535, got 65536"],
  [{ port: 1.5 }, RangeError, "port must be an integer from 0 to 65535, got 1.5"],
  [{ hostname: "" }, TypeError, 'hostname must be a host name or an IP address, got ""'],
  [{ hostname: 5 }, TypeError, "hostname must be a host name or an IP address, got 5"],
  [{ tcpBacklog: 0 }, RangeError, "tcpBacklog must be an integer from 1 to 65535, got 0"],
  [{ tcpBacklog: 65536 }, RangeError, "tcpBacklog must be an integer from 1 to 65535, got 65536"],
  [{ tcpBacklog: "5" }, TypeError, "tcpBacklog must be a number, got a string"],
  [{ maxSessions: 0 }, RangeError, "maxSessions must be an integer from 1 to 1073741824, got 0"],
  [
    { maxSessions: Infinity },
    RangeError,
    "maxSessions must be an integer from 1 to 1073741824, got Infinity",
  ],
  [{ maxSessions: "9" }, TypeError, "maxSessions must be a number, got a string"],
  [{ signal: {} }, TypeError, "signal must be an AbortSignal, got an object of class Object"],
  [{ overload: "drop" }, RangeError, 'overload must be "wait" or "refuse", got "drop"'],
  [{ overload: 1 }, RangeError, 'overload must be "wait" or "refuse", got a number'],
  [
    { shutdownTimeout: 0 },
    RangeError,
    "shutdownTimeout must be more than 0 ms (Infinity for none), got 0",
  ],
  [
    { shutdownTimeout: NaN },
    RangeError,
    "shutdownTimeout must be more than 0 ms (Infinity for none), got NaN",
  ],
  [
    { shutdownTimeout: "1s" },
    TypeError,
    "shutdownTimeout must be a number of milliseconds, got a string",
  ],
  [{ chunkSize: 0 }, RangeError, "chunkSize must be an integer from 1 to 65536, got 0"],
  [
    { idleTimeout: -5 },
    RangeError,
    "idleTimeout must be more than 0 ms (Infinity for none), got -5",
  ],
];

Deno.test("serve() refuses bad options by name, range and value", { permissions: "none" }, () => {
  for (const [option, kind, says] of BAD) {
    assertThrows(() => serve({ port: 0, ...option } as ServeOptions, echo), kind, says);
  }
  for (const [handler, says] of [[undefined, "undefined"], [{}, "an object of class Object"]]) {
    const start = () => serve({ port: 0 }, handler as unknown as Handler);
    assertThrows(start, TypeError, `handler must be a function, got ${says}`);
  }
});

Deno.test("serve() throws at once where it may not listen", { permissions: "none" }, () => {
  assertThrows(() => serve({ port: 0 }, echo), Deno.errors.NotCapable);
});

Deno.test("serve() throws at once when the port is taken", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  assertThrows(() => serve({ port: portOf(server) }, echo), Deno.errors.AddrInUse);
  await using client = await connect({ port: portOf(server) });
  assertEquals(await ask(client, "rose"), "rose!");
});

for (const transport of ["deno", "node"] as const) {
  const over = transport === "deno" ? overDenoNet : overNet;
  Deno.test(`serve() names the address that it cannot have over ${transport}`, over, async () => {
    await using server = serve({ port: 0 }, echo);
    const port = portOf(server);
    const { AddrInUse, AddrNotAvailable } = Deno.errors;
    const cases: [ServeOptions, new () => Error, string][] = [
      [{ port }, AddrInUse, `127.0.0.1:${port}: the address is in use (EADDRINUSE)`],
      [
        { hostname: "192.0.2.1", port: 0 },
        AddrNotAvailable,
        "192.0.2.1:0: the address is not one of this machine (EADDRNOTAVAIL)",
      ],
      [{ hostname: "fe80::1", port: 0 }, TypeError, "fe80::1 is link-local and needs a zone"],
    ];
    const unknown = "nonexistent.invalid:0: the host name has no address (ENOTFOUND)";
    if (transport === "deno" || !isByServer()) { // `net.Server` looks names up in a later turn
      cases.push([{ hostname: "nonexistent.invalid", port: 0 }, Error, unknown]);
    }
    for (const [options, Class, problem] of cases) {
      assertThrows(() => serve({ ...options, transport }, echo), Class, problem);
    }
  });
}

Deno.test("serve() accepts an existing listener and closes it", overDenoNet, async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = serve({ listener }, echo);
  assertEquals(server.addr, listener.addr);
  const client = await connect({ port: portOf(listener) });
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await server.shutdown();
  assertThrows(() => listener.close(), Deno.errors.BadResource);
  await assertRejects(() => connect({ port: portOf(listener) }), ConnectionRefusedError);
});

Deno.test("serve() drains when its listener is closed from outside", overDenoNet, async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const seen = recorder();
  const server = serve({ listener, observer: seen }, echo);
  const client = await connect({ port: portOf(listener) });
  assertEquals(await ask(client, "rose"), "rose!");
  listener.close();
  assertEquals(await client.readLine(), undefined);
  await client.close();
  await server.finished;
  assertEquals(seen.events, [
    "listening",
    "start 1",
    "accept BadResource: Listener has been closed Infinity",
    "draining",
    "end 1 drain",
    "closed",
  ]);
  assertEquals(server.stats().acceptErrors, 1);
});

Deno.test("Server.shutdown() takes a listener that is closed already", overDenoNet, async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = serve({ listener, onError: () => {} }, echo);
  listener.close();
  await server.shutdown();
  assertEquals(server.state, "closed");
});

/** Writes down what is set on a connection. */
class Watched extends ConnectionOver {
  readonly calls: unknown[] = [];

  override setNoDelay(noDelay?: boolean): void {
    this.calls.push(["noDelay", noDelay]);
    super.setNoDelay(noDelay);
  }

  override setKeepAlive(keepAlive?: boolean): void {
    this.calls.push(["keepAlive", keepAlive]);
    super.setKeepAlive(keepAlive);
  }
}

Deno.test("serve() sets noDelay and keepAlive as its options say", overNet, async () => {
  const cases: [Partial<ServeOptions>, unknown[]][] = [
    [{}, [["noDelay", true]]],
    [{ noDelay: false }, []],
    [{ keepAlive: true }, [["noDelay", true], ["keepAlive", true]]],
    [{ noDelay: false, keepAlive: true }, [["keepAlive", true]]],
  ];
  for (const [options, calls] of cases) {
    const watched: Watched[] = [];
    const listener = listenerOver(Deno.listen({ hostname: "127.0.0.1", port: 0 }), (connection) => {
      watched.push(new Watched(connection));
      return watched.at(-1)!;
    });
    await using _server = serve({ listener, ...options }, echo);
    await using client = await connect({ port: portOf(listener) });
    assertEquals(await ask(client, "rose"), "rose!");
    assertEquals(watched.map((connection) => connection.calls), [calls]);
  }
});

Deno.test("serve() survives a connection that no option can be set on", bounded, async () => {
  class Reset extends ConnectionOver {
    override setNoDelay(): void {
      throw new Deno.errors.NotConnected("reset already");
    }
  }
  const listener = memoryListener();
  const seen = recorder();
  const wrapped = listenerOver(listener, (connection) => new Reset(connection));
  await using _server = serve({ listener: wrapped, observer: seen }, echo);
  await using client = new Session(listener.connect());
  assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(seen.events, ["listening", "start 1"]);
});

Deno.test("serve() shows IPv4 peers of an IPv6 listener as IPv4", {
  ...bounded,
  ignore: !canIpv6,
}, async () => {
  let seen: Session | undefined;
  await using server = serve({ hostname: "::", port: 0 }, async (session) => {
    seen = session;
    await echo(session);
  });
  await using four = await connect({ port: portOf(server) });
  assertEquals(await ask(four, "rose"), "rose!");
  assertEquals(seen!.remoteAddr, four.localAddr);
  assertEquals(seen!.localAddr, four.remoteAddr);
  await using six = await connect({ hostname: "::1", port: portOf(server) });
  assertEquals(await ask(six, "jo"), "jo!");
  assertEquals((seen!.remoteAddr as Deno.NetAddr).hostname, "::1");
});

Deno.test(
  "serve() shows the IPv4 form of its own address and of refused peers",
  bounded,
  async () => {
    class Mapped extends ConnectionOver {
      override get remoteAddr(): Deno.NetAddr {
        return { transport: "tcp", hostname: "::ffff:192.0.2.1", port: 5 };
      }
    }
    const inner = memoryListener();
    const listener: Listener = {
      ...listenerOver(inner, (connection) => new Mapped(connection)),
      addr: { transport: "tcp", hostname: "::ffff:127.0.0.1", port: 4 },
    };
    const seen = recorder();
    const options = { listener, observer: seen, maxSessions: 1, overload: "refuse" } as const;
    await using server = serve(options, echo);
    assertEquals(server.addr, { transport: "tcp", hostname: "127.0.0.1", port: 4 });
    await using _client = new Session(inner.connect());
    await seeRefused(inner.connect());
    assertEquals(seen.events, ["listening", "start 1", "refused 192.0.2.1:5 maxSessions"]);
  },
);

Deno.test("serve() can listen on IPv6 only", {
  ...bounded,
  ignore: !canIpv6,
}, async () => {
  await using server = serve({ hostname: "::1", port: 0 }, echo);
  assertEquals((server.addr as Deno.NetAddr).hostname, "::1");
  await using client = await connect({ hostname: "::1", port: portOf(server) });
  assertEquals(await ask(client, "rose"), "rose!");
  await assertRejects(() => connect({ port: portOf(server) }), ConnectionRefusedError);
});

Deno.test("serve() and connect() ask for the zone of a link-local address", {
  ...bounded,
  ignore: !canIpv6 || !isLinux,
}, async () => {
  const says = "fe80::1 is link-local and needs a zone, such as fe80::1%eth0";
  const error = assertThrows(() => serve({ hostname: "fe80::1", port: 0 }, echo), TypeError);
  assertEquals([error.message, (error.cause as { code: string }).code], [says, "EINVAL"]);
  const refused = await assertRejects(
    () => connect({ hostname: "fe80::1", port: 9 }),
    ConnectError,
  );
  assertEquals(refused.message, `cannot connect to [fe80::1]:9: ${says}`);
});

Deno.test("serve() and connect() take a link-local address with its zone", {
  ...bounded,
  ignore: overDenoNet.ignore || !await canUnshare(),
}, async () => {
  const setUp = "ip link set lo up && ip -6 address add fe80::1/64 dev lo nodad && exec deno";
  const { code, stdout, stderr } = await runModule(
    `
    import { connect } from "library/connect/connect.ts";
    import { serve } from "library/serve/serve.ts";
    for (const zone of ["lo", 1]) {
      const hostname = "fe80::1%" + zone;
      const options = { hostname, port: 0, allow: ["fe80::/10"] };
      await using server = serve(options, (session) => session.send(session.remoteAddr.hostname));
      await using client = await connect({ hostname, port: server.addr.port });
      for await (const text of client) console.log(text, server.addr.hostname);
    }
  `,
    { through: ["unshare", "--net", "--map-root-user", "bash", "-c", `${setUp} "$@"`, "-"] },
  );
  assertEquals([code, stdout], [0, "fe80::1 fe80::1\nfe80::1 fe80::1\n"], stderr);
});

Deno.test("Server.ref() and unref() reach the listener, where it has them", bounded, async () => {
  const calls: string[] = [];
  const inner = memoryListener();
  const listener = {
    ...inner,
    ref: () => void calls.push("ref"),
    unref: () => void calls.push("unref"),
  };
  await using server = serve({ listener }, echo);
  server.unref();
  server.ref();
  assertEquals(calls, ["unref", "ref"]);
  await using plain = serve({ listener: memoryListener() }, echo);
  plain.unref();
  plain.ref();
});

Deno.test("Server.unref() lets the process end", {
  ...bounded,
  ignore: !canRunDeno,
}, async () => {
  const { code, stdout } = await runModule(`
    import { serve } from "library/serve/serve.ts";
    const server = serve({ port: 0 }, () => {});
    server.unref();
    console.log(server.state);
  `);
  assertEquals([code, stdout], [0, "listening\n"]);
});

Deno.test("serve() shares its port with reusePort", {
  ...bounded,
  ignore: !canRunDeno || !isLinux,
}, async () => {
  const { code, stdout, stderr } = await runModule(
    `
    import { serve } from "library/serve/serve.ts";
    await using one = serve({ port: 0, reusePort: true }, () => {});
    await using two = serve({ port: one.addr.port, reusePort: true }, () => {});
    console.log(one.addr.port === two.addr.port);
  `,
    { flags: ["--unstable-net"] },
  );
  assertEquals([code, stdout], [0, "true\n"], stderr);
});
