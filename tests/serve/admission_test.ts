import { assert, assertEquals, assertFalse, assertLessOrEqual, assertThrows } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import type { Refusal } from "../../serve/observer.ts";
import { type Handler, serve, type ServeOptions, TcpServer } from "../../serve/serve.ts";
import { Admission, type AdmissionHooks, type Permit, type Stage } from "../../serve/admission.ts";
import { type Limits, OwnLimits } from "../../serve/limits.ts";
import { Session } from "../../session.ts";
import {
  type Address,
  type Connection,
  formatAddress,
  memoryListener,
  memoryPair,
} from "../../transport/mod.ts";
import {
  ask,
  bounded,
  canIpv6,
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
  tallied,
  until,
} from "../_serving.ts";

/** Says that it comes from an address, and notes what is done with it. */
class From extends ConnectionOver {
  readonly calls: string[] = [];
  readonly #address: Address;

  constructor(address: Address | string, inner: Connection = memoryPair()[0]) {
    super(inner);
    this.#address = typeof address === "string"
      ? { transport: "tcp", hostname: address, port: 5 }
      : address;
  }

  override get remoteAddr(): Address {
    return this.#address;
  }

  override read(buffer: Uint8Array): Promise<number | null> {
    this.calls.push("read");
    return super.read(buffer);
  }

  override write(data: Uint8Array): Promise<number> {
    this.calls.push("write");
    return super.write(data);
  }

  override close(): void {
    this.calls.push("close");
    super.close();
  }

  override setNoDelay(): void {
    this.calls.push("setNoDelay");
  }
}

/** An admission that notes what it comes to. */
function admission(options: ServeOptions, stages?: Stage[], limits?: Limits): {
  tested: Admission;
  admitted: [Connection, Permit][];
  refused: Refusal[];
  come(...hostnames: string[]): (string | undefined)[];
} {
  const admitted: [Connection, Permit][] = [];
  const refused: Refusal[] = [];
  const hooks: AdmissionHooks = {
    onAdmission: (connection, permit) => void admitted.push([connection, permit]),
    onRefusal: (refusal) => void refused.push(refusal),
    onRelease: () => {},
    isSuspended: () => false,
    nextChange: () => Promise.resolve(),
  };
  const tested = new Admission(options, hooks, stages ?? [], limits);
  /** Why each of them is refused. */
  const come = (...hostnames: string[]) =>
    hostnames.map((hostname) => {
      const before = refused.length;
      tested.admit(new From(hostname));
      return refused[before]?.reason;
    });
  return { tested, admitted, refused, come };
}

const IN = undefined;
const FULL = "maxSessionsPerAddress";

Deno.test("Admission admits addresses in allow and not in deny", bounded, () => {
  const peers = [
    "10.0.0.1",
    "10.9.0.1",
    "192.0.2.1",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "fe80::1%e",
  ];
  const cases: [options: ServeOptions, outcome: (string | undefined)[]][] = [
    [{}, [IN, IN, IN, IN, IN, IN]],
    [{ allow: ["10.0.0.0/8"] }, [IN, IN, "denied", IN, "denied", "denied"]],
    [{ deny: ["10.0.0.0/8"] }, ["denied", "denied", IN, "denied", IN, IN]],
    [{ allow: ["10.0.0.0/8"], deny: ["10.9.0.0/16"] }, [
      IN,
      "denied",
      "denied",
      IN,
      "denied",
      "denied",
    ]],
    [{ allow: ["10.9.0.1"], deny: ["10.0.0.0/8"] }, new Array(6).fill("denied")],
    [{ allow: [] }, new Array(6).fill("denied")],
    [{ deny: [] }, [IN, IN, IN, IN, IN, IN]],
    [{ allow: ["fe80::/10", "::ffff:0:0/96"] }, [IN, IN, IN, IN, "denied", IN]],
    [{ deny: ["0.0.0.0/0"] }, ["denied", "denied", "denied", "denied", IN, IN]],
  ];
  for (const [options, outcome] of cases) {
    const { tested, admitted, come } = admission(options);
    assertEquals(come(...peers), outcome, JSON.stringify(options));
    assertEquals(admitted.length, outcome.filter((reason) => reason === IN).length);
    assertEquals([tested.count, tested.refusals.denied], [
      admitted.length,
      outcome.length - admitted.length,
    ]);
  }
});

Deno.test("Admission does not judge who has no IP address", bounded, () => {
  const options = { allow: [], deny: ["0.0.0.0/0", "::/0"], maxSessionsPerAddress: 1 };
  const { tested, admitted, refused } = admission(options);
  for (let i = 0; i < 3; i++) {
    tested.admit(new From({ transport: "unix", path: "" }));
    tested.admit(new From({ transport: "memory", name: "127.0.0.1" }));
  }
  assertEquals([admitted.length, refused.length], [6, 0]);
  // What should be an IP address and is none is in no list.
  assertEquals(admission({ allow: ["0.0.0.0/0"] }).come("localhost"), ["denied"]);
  assertEquals(admission({ deny: ["0.0.0.0/0"] }).come("localhost"), [IN]);
});

Deno.test("Admission closes who is denied before anything else", bounded, () => {
  const { tested, refused } = admission({ deny: ["10.0.0.0/8"] });
  const denied = new From("::ffff:10.0.0.1");
  tested.admit(denied);
  assertEquals(denied.calls, ["close"]);
  const remoteAddr: Address = { transport: "tcp", hostname: "10.0.0.1", port: 5 };
  assertEquals(refused, [{ remoteAddr, reason: "denied" }]);
  const welcome = new From("192.0.2.1");
  tested.admit(welcome);
  assertEquals(welcome.calls, ["setNoDelay"]);
});

Deno.test("Admission counts by address", bounded, () => {
  const { tested, admitted, come } = admission({ maxSessionsPerAddress: 2 });
  assertEquals(come("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2", "::1"), [
    IN,
    IN,
    FULL,
    IN,
    IN,
  ]);
  assertEquals(come("10.0.0.1", "::2", "::1%lo"), [FULL, IN, FULL]);
  tested.release(admitted[0]![1]);
  assertEquals(come("::1", "10.0.0.1", "10.0.0.1"), [FULL, IN, FULL]);
  assertEquals([tested.count, tested.refusals], [5, {
    maxSessions: 0,
    maxSessionsPerAddress: 5,
    sessionRate: 0,
    denied: 0,
    untrusted: 0,
    "proxy-header": 0,
    handshake: 0,
    left: 0,
    descriptors: 0,
  }]);
});

Deno.test(
  "Admission counts networks of IPv6 of 64 bits, or as ipv6PrefixLength says",
  bounded,
  () => {
    const peers = ["2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "10.0.0.1", "10.0.0.2"];
    const cases: [ipv6PrefixLength: number | undefined, outcome: (string | undefined)[]][] = [
      [undefined, [IN, FULL, IN, IN, IN]],
      [128, [IN, IN, IN, IN, IN]],
      [112, [IN, FULL, IN, IN, IN]],
      [64, [IN, FULL, IN, IN, IN]],
      [63, [IN, FULL, FULL, IN, IN]],
      [1, [IN, FULL, FULL, IN, IN]],
    ];
    for (const [ipv6PrefixLength, outcome] of cases) {
      const { come } = admission({
        maxSessionsPerAddress: 1,
        ...(ipv6PrefixLength !== undefined && { ipv6PrefixLength }),
      });
      assertEquals(come(...peers), outcome, `${ipv6PrefixLength}`);
    }
  },
);

Deno.test("Admission does not count refused connections", bounded, () => {
  const { tested, admitted, come } = admission({
    deny: ["10.0.0.9"],
    maxSessions: 2,
    overload: "refuse",
    maxSessionsPerAddress: 1,
  });
  assertEquals(come("10.0.0.1", "10.0.0.9", "10.0.0.1", "10.0.0.2"), [IN, "denied", FULL, IN]);
  assertEquals(come("10.0.0.3", "10.0.0.9"), ["maxSessions", "denied"]);
  assertEquals([tested.count, tested.mustWait], [2, false]);
  // Had the refused ones been counted, there would be no room for them now.
  for (const [, permit] of admitted.splice(0)) tested.release(permit);
  assertEquals(tested.count, 0);
  assertEquals(come("10.0.0.3", "10.0.0.1"), [IN, IN]);
});

Deno.test("Admission lets a connection wait whose place another worker has taken", bounded, () => {
  const taken = new OwnLimits({ maxSessions: 2, maxSessionsPerAddress: 1 });
  const { tested, admitted, refused } = admission(
    { maxSessions: 2, maxSessionsPerAddress: 1, deny: ["10.0.0.9"] },
    [],
    taken,
  );
  assertEquals([tested.admit(new From("10.0.0.1")), tested.mustWait], [true, false]);
  taken.take(); // as another worker does
  assertEquals([tested.admit(new From("10.0.0.2")), tested.mustWait], [false, true]);
  assertEquals(tested.admit(new From("10.0.0.9")), false);
  taken.release();
  // Whoever is refused leaves the place to others.
  assertEquals([tested.admit(new From("10.0.0.9")), tested.admit(new From("10.0.0.1"))], [
    true,
    true,
  ]);
  assertEquals(refused.map(({ reason }) => reason), ["denied", "maxSessionsPerAddress"]);
  assertEquals([tested.admit(new From("10.0.0.2")), admitted.length, tested.count], [true, 2, 2]);
});

/** A stage that each connection leaves when the test says so. */
function gate(reason: Stage["reason"] = "handshake"): Stage & {
  inside: (PromiseWithResolvers<Connection> & { connection: Connection })[];
} {
  const inside: (PromiseWithResolvers<Connection> & { connection: Connection })[] = [];
  return {
    reason,
    inside,
    run(connection): Promise<Connection> {
      const outcome = { ...Promise.withResolvers<Connection>(), connection };
      inside.push(outcome);
      return outcome.promise;
    },
  };
}

Deno.test(
  "Admission takes connections through its stages, one after the other",
  bounded,
  async () => {
    const [first, second] = [gate("proxy-header"), gate("handshake")];
    const { tested, admitted } = admission({}, [first, second]);
    const connections = [1, 2, 3].map((i) => new From(`10.0.0.${i}`));
    tested.admit(connections[0]!);
    await settle();
    assertEquals([first.inside.length, second.inside.length, admitted.length], [1, 0, 0]);
    assertEquals(first.inside[0]!.connection, connections[0]);
    first.inside[0]!.resolve(connections[1]!);
    await settle();
    assertEquals([second.inside.length, admitted.length, tested.count], [1, 0, 1]);
    assertEquals(second.inside[0]!.connection, connections[1]);
    second.inside[0]!.resolve(connections[2]!);
    await settle();
    assertEquals(admitted.map(([connection]) => connection), [connections[2]!]);
    assertEquals([tested.count, connections.flatMap(({ calls }) => calls)], [1, ["setNoDelay"]]);
  },
);

Deno.test("Admission refuses who does not pass a stage, with the cause", bounded, async () => {
  const [first, second] = [gate("proxy-header"), gate("handshake")];
  const { tested, admitted, refused } = admission({ maxSessionsPerAddress: 1 }, [first, second]);
  const one = new From("10.0.0.1");
  const two = new From("10.0.0.2");
  tested.admit(one);
  tested.admit(two);
  const [bad, alert] = [new Error("no header"), new Error("bad certificate")];
  first.inside[0]!.reject(bad);
  first.inside[1]!.resolve(two);
  await settle();
  second.inside[0]!.reject(alert);
  await settle();
  assertEquals(refused.map(({ remoteAddr, ...rest }) => [formatAddress(remoteAddr), rest]), [
    ["10.0.0.1:5", { reason: "proxy-header", cause: bad }],
    ["10.0.0.2:5", { reason: "handshake", cause: alert }],
  ]);
  assertEquals([one.calls.at(-1), two.calls.at(-1)], ["close", "close"]);
  assertEquals([tested.count, admitted.length, second.inside.length], [0, 0, 1]);
  // Both addresses may come again.
  tested.admit(one);
  tested.admit(two);
  assertEquals([tested.count, refused.length], [2, 2]);
});

Deno.test("Admission judges again by the address that a stage has found", bounded, async () => {
  const stage = gate("proxy-header");
  const options = { allow: ["10.0.0.0/8", "192.0.2.0/24"], deny: ["192.0.2.9"] };
  const { tested, admitted, refused } = admission({ ...options, maxSessionsPerAddress: 2 }, [
    stage,
  ]);
  /** Goes through a proxy, and comes out with the address of the client. */
  async function comeBy(proxy: string, client: string): Promise<string | undefined> {
    const before = refused.length;
    tested.admit(new From(proxy));
    if (refused.length === before) stage.inside.at(-1)!.resolve(new From(client));
    await settle();
    return refused[before]?.reason;
  }
  assertEquals(await comeBy("10.0.0.1", "192.0.2.1"), IN);
  assertEquals(await comeBy("10.0.0.1", "192.0.2.9"), "denied");
  assertEquals(await comeBy("10.0.0.1", "203.0.113.1"), "denied");
  assertEquals(await comeBy("203.0.113.1", "192.0.2.1"), "denied");
  // The proxy's own address counts only while the client's is not known.
  assertEquals(await comeBy("10.0.0.1", "192.0.2.1"), IN);
  assertEquals(await comeBy("10.0.0.1", "192.0.2.1"), FULL);
  assertEquals(await comeBy("10.0.0.1", "10.0.0.1"), IN);
  assertEquals(await comeBy("192.0.2.1", "10.0.0.1"), FULL);
  assertEquals(formatAddress(refused.at(-1)!.remoteAddr), "192.0.2.1:5");
  assertEquals([tested.count, admitted.length], [3, 3]);
  for (const [, permit] of admitted) tested.release(permit);
  for (const proxy of ["10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
    assertEquals(await comeBy(proxy, "192.0.2.1"), proxy === "10.0.0.3" ? FULL : IN);
  }
});

Deno.test("Admission.close() closes who is on the way in", bounded, async () => {
  const stage = gate();
  const { tested, admitted, refused } = admission({}, [stage]);
  const [fails, comes] = [new From("10.0.0.1"), new From("10.0.0.2")];
  const wrapped = new From("10.0.0.3");
  tested.admit(fails);
  tested.admit(comes);
  tested.close();
  assertEquals([fails.calls.at(-1), comes.calls.at(-1)], ["close", "close"]);
  assertEquals(tested.count, 2); // a read may hold the descriptor until the stage has settled
  stage.inside[0]!.reject(new Error("closed"));
  stage.inside[1]!.resolve(wrapped); // it had just come through
  await settle();
  assertEquals(wrapped.calls, ["close"]);
  assertEquals([tested.count, admitted.length, refused.length], [0, 0, 0]);
});

Deno.test(
  "Admission.shed() refuses the newest connection that is on its way in",
  bounded,
  async () => {
    const stage = gate();
    const { tested, admitted, refused } = admission({}, [stage]);
    const cause = new Error("Too many open files");
    assertFalse(tested.shed(cause));
    const [first, fails, comes] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((host) =>
      new From(host)
    );
    for (const connection of [first!, fails!]) tested.admit(connection);
    assert(tested.shed(cause));
    stage.inside[1]!.reject(new Error("closed"));
    await settle();
    tested.admit(comes!);
    assert(tested.shed(cause));
    stage.inside[2]!.resolve(comes!); // it had just come through
    stage.inside[0]!.resolve(first!);
    await settle();
    assertEquals(refused.map(({ remoteAddr, ...rest }) => [formatAddress(remoteAddr), rest]), [
      ["10.0.0.2:5", { reason: "descriptors", cause }],
      ["10.0.0.3:5", { reason: "descriptors", cause }],
    ]);
    assertEquals([tested.count, admitted.length, tested.refusals.descriptors], [1, 1, 2]);
  },
);

/** A server in memory whose clients say where they come from. */
function serveFrom(options: ServeOptions, handler: Handler = echo, stages: Stage[] = []): {
  server: TcpServer;
  dial(hostname?: string): Connection;
} {
  const inner = memoryListener();
  const origins: string[] = [];
  const listener = listenerOver(inner, (connection) => new From(origins.shift()!, connection));
  return {
    server: new TcpServer({ ...options, listener }, handler, stages),
    dial(hostname = "10.0.0.1"): Connection {
      origins.push(hostname);
      return inner.connect();
    },
  };
}

const BAD: [option: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [
    { allow: "10.0.0.0/8" },
    TypeError,
    "allow must be an array of CIDR blocks, got a string",
  ],
  [
    { allow: ["10.0.0.1/8"] },
    RangeError,
    'allow[0] must have no bit set past its prefix, got "10.0.0.1/8": the block is 10.0.0.0/8',
  ],
  [{ deny: ["::1", 5] }, TypeError, "deny[1] must be a string, got a number"],
  [
    { maxSessionsPerAddress: 0 },
    RangeError,
    "maxSessionsPerAddress must be an integer from 1 to 1073741824, got 0",
  ],
  [
    { maxSessionsPerAddress: "5" },
    TypeError,
    "maxSessionsPerAddress must be a number, got a string",
  ],
  [
    { ipv6PrefixLength: 0 },
    RangeError,
    "ipv6PrefixLength must be an integer from 1 to 128, got 0",
  ],
  [
    { ipv6PrefixLength: 129 },
    RangeError,
    "ipv6PrefixLength must be an integer from 1 to 128, got 129",
  ],
];

Deno.test("serve() refuses bad lists and limits by name and value", { permissions: "none" }, () => {
  for (const [option, kind, says] of BAD) {
    assertThrows(() => serve({ port: 0, ...option } as ServeOptions, echo), kind, says);
  }
});

Deno.test("serve() reports denied peers, and serves the others", bounded, async () => {
  const seen = recorder();
  const { server, dial } = serveFrom({ observer: seen, deny: ["10.0.0.0/8"] });
  await seeRefused(dial("10.0.0.1"));
  const client = new Session(dial("192.0.2.1"));
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await server.shutdown();
  assertEquals(seen.events.slice(0, 3), ["listening", "refused 10.0.0.1:5 denied", "start 1"]);
  const { accepted, refused, refusals } = server.stats();
  assertEquals([accepted, refused, refusals.denied], [1, 1, 1]);
});

Deno.test("serve() sends nothing to who is denied over TCP", overNet, async () => {
  const [listener, tally] = tallied(Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  await using server = serve({ listener, deny: ["127.0.0.0/8"] }, (s) => s.send("welcome!"));
  for (let i = 0; i < 3; i++) {
    await using client = await connect({ port: portOf(server) });
    assertEquals(await readAll(client), "");
  }
  assertEquals([tally.open, server.stats().accepted, server.stats().refused], [0, 0, 3]);
});

Deno.test("serve() judges both families on one listener", {
  ...overNet,
  ignore: !canIpv6,
}, async () => {
  for (const [allow, welcome] of [["127.0.0.0/8", "127.0.0.1"], ["::/0", "::1"]] as const) {
    const seen = recorder();
    const options: ServeOptions = { hostname: "::", port: 0, observer: seen, allow: [allow] };
    await using server = serve(options, (session) => {
      seen.events.push(formatAddress(session.remoteAddr));
    });
    for (const hostname of ["127.0.0.1", "::1"]) {
      const client = await connect({ hostname, port: portOf(server) });
      const peer = formatAddress(client.localAddr);
      assertEquals(await readAll(client), "");
      await client.close();
      const event = hostname === welcome ? peer : `refused ${peer} denied`;
      assert(seen.events.includes(event), `${event} is not in ${seen.events}`);
    }
  }
});

Deno.test("serve() counts both families of one listener apart", {
  ...overNet,
  ignore: !canIpv6,
}, async () => {
  await using server = serve({ hostname: "::", port: 0, maxSessionsPerAddress: 1 }, echo);
  for (const hostname of ["127.0.0.1", "::1"]) {
    await using client = await connect({ hostname, port: portOf(server) });
    assertEquals(await ask(client, "rose"), "rose!");
    await using extra = await connect({ hostname, port: portOf(server) });
    assertEquals(await readAll(extra), "");
  }
  assertEquals(server.stats().refusals.maxSessionsPerAddress, 2);
});

Deno.test(
  "serve() never has more than maxSessionsPerAddress, and counts exactly",
  bounded,
  async () => {
    const MAX = 3;
    const open = new Map<string, number>();
    let peak = 0;
    const { server, dial } = serveFrom({ maxSessionsPerAddress: MAX }, async (session) => {
      const { hostname } = session.remoteAddr as Deno.NetAddr;
      open.set(hostname, (open.get(hostname) ?? 0) + 1);
      peak = Math.max(peak, open.get(hostname)!);
      await session.send(`${await session.readLine()}!\n`);
      await settle();
      assertLessOrEqual(open.get(hostname)!, MAX);
      open.set(hostname, open.get(hostname)! - 1);
    });
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(Array.from({ length: 30 }, async (_, i) => {
        await using client = new Session(dial(`10.0.0.${i % 5}`));
        return await ask(client, "rose").catch(() => undefined);
      }));
      assertEquals(answers.filter((answer) => answer === "rose!").length, 5 * MAX);
      await until(() => server.sessions.size === 0);
    }
    assertEquals([peak, server.stats().handlerErrors], [MAX, 0]);
    assertEquals(server.stats().refusals.maxSessionsPerAddress, 20 * (30 - 5 * MAX));
    await server.shutdown();
  },
);

Deno.test("serve() counts an address until its descriptor is free", bounded, async () => {
  const freed = Promise.withResolvers<void>();
  /** A read holds the descriptor, even of a closed connection, until it has settled. */
  class SlowToFree extends From {
    override async read(buffer: Uint8Array): Promise<number | null> {
      try {
        return await super.read(buffer);
      } catch (error) {
        await freed.promise;
        throw error;
      }
    }
  }
  const inner = memoryListener();
  const listener = listenerOver(inner, (connection) => new SlowToFree("10.0.0.1", connection));
  await using server = serve({ listener, maxSessionsPerAddress: 1 }, echo);
  await using first = new Session(inner.connect());
  assertEquals(await ask(first, "one"), "one!");
  const [session] = server.sessions;
  session!.abort();
  await settle();
  await seeRefused(inner.connect());
  freed.resolve();
  await session!.closed;
  await using second = new Session(inner.connect());
  assertEquals(await ask(second, "two"), "two!");
});

Deno.test("serve() counts who is on the way in as a session", bounded, async () => {
  const stage = gate();
  const seen = recorder();
  const options = { maxSessions: 2, observer: seen };
  const { server, dial } = serveFrom(options, echo, [stage]);
  const clients = Array.from({ length: 3 }, () => new Session(dial()));
  await settle();
  assertEquals([stage.inside.length, server.stats().active], [2, 0]);
  stage.inside[0]!.reject(new Error("plain text"));
  await until(() => stage.inside.length === 3); // the third has waited in the backlog
  for (const { connection, resolve } of stage.inside.slice(1)) resolve(connection);
  assertEquals(await readAll(clients[0]!), "");
  assertEquals(await ask(clients[1]!, "two"), "two!");
  assertEquals(await ask(clients[2]!, "three"), "three!");
  await Promise.all(clients.map((client) => client.close()));
  await server.shutdown();
  assertEquals(seen.events.slice(0, 4), [
    "listening",
    "refused 10.0.0.1:5 handshake",
    "start 1",
    "start 2",
  ]);
});

for (const isSuspended of [false, true]) {
  const when = isSuspended ? ", if it was suspended, too" : "";
  Deno.test(`Server.shutdown() serves who is on the way in${when}`, bounded, async () => {
    const stage = gate();
    const seen = recorder();
    const answer: Handler = async (session) => {
      await session.send(`${await session.readLine()}!`);
    };
    const { server, dial } = serveFrom({ observer: seen }, answer, [stage]);
    const client = new Session(dial());
    await settle();
    if (isSuspended) server.suspend();
    const [inside] = stage.inside;
    if (isSuspended) inside!.resolve(inside!.connection); // and waits for resume()
    await settle();
    const stopped = server.shutdown();
    await settle();
    assertEquals(server.state, "draining");
    inside!.resolve(inside!.connection);
    await client.send("rose\n");
    assertEquals(await readAll(client), "rose!");
    await client.close();
    await stopped;
    assertEquals(seen.events.filter((event) => /start|refused/.test(event)), ["start 1"]);
  });
}

Deno.test(
  "Server.shutdown() closes who is on the way in after shutdownTimeout",
  bounded,
  async () => {
    const reads: Stage = {
      reason: "proxy-header",
      async run(connection): Promise<Connection> {
        await connection.read(new Uint8Array(1));
        return connection;
      },
    };
    const seen = recorder();
    const options = { observer: seen, shutdownTimeout: 20 };
    const { server, dial } = serveFrom(options, echo, [reads]);
    const client = new Session(dial());
    await settle();
    await server.shutdown();
    assertEquals(await readAll(client), "");
    await client.close();
    assertEquals(seen.events, ["listening", "draining", "closed"]);
    assertEquals([server.stats().accepted, server.stats().refused], [0, 0]);
  },
);

Deno.test(
  "Server.shutdown() gives who comes in late the rest of shutdownTimeout",
  bounded,
  async () => {
    const stage = gate();
    using time = clock();
    const seen = recorder();
    const options = { observer: seen, shutdownTimeout: 5_000 };
    const { server, dial } = serveFrom(options, (session) => session.readLine(), [stage]);
    const client = new Session(dial());
    await settle();
    const stopped = server.shutdown();
    time.now += 4_999;
    stage.inside[0]!.resolve(stage.inside[0]!.connection);
    await settle();
    assertEquals(server.stats().active, 1);
    time.now += 1;
    await stopped; // by a timer of 1 ms
    assertEquals(seen.events.filter((event) => event.startsWith("end")).length, 1);
    client.abort();
    await client.closed;
  },
);

Deno.test("Server.abort() during a drain closes who is on the way in", bounded, async () => {
  const stage = gate();
  const { server, dial } = serveFrom({}, echo, [stage]);
  const client = new Session(dial());
  await settle();
  server.shutdown();
  await settle();
  server.abort();
  assertEquals(await readAll(client), "");
  stage.inside[0]!.reject(new Error("closed"));
  await server.finished;
  await client.close();
});

Deno.test("Server.abort() closes who is on the way in", bounded, async () => {
  const stage = gate();
  const { server, dial } = serveFrom({}, echo, [stage]);
  const client = new Session(dial());
  await settle();
  server.abort();
  let isFinished = false;
  server.finished.then(() => isFinished = true);
  assertEquals(await readAll(client), "");
  await settle();
  assertEquals(isFinished, false); // its descriptor may not be free yet
  stage.inside[0]!.reject(new Error("closed"));
  await server.finished;
  await client.close();
});

Deno.test("Server.suspend() lets who is on the way in wait for resume()", bounded, async () => {
  const stage = gate();
  const { server, dial } = serveFrom({}, echo, [stage]);
  const client = new Session(dial());
  const answer = ask(client, "rose");
  await settle();
  server.suspend();
  stage.inside[0]!.resolve(stage.inside[0]!.connection);
  await settle();
  assertEquals([server.stats().accepted, server.stats().active], [0, 0]);
  server.resume();
  assertEquals(await answer, "rose!");
  await client.close();

  server.suspend();
  const late = new Session(dial());
  await settle();
  assertEquals(stage.inside.length, 1);
  await server.shutdown();
  assertEquals(await readAll(late), "");
  await late.close();
});

/** Sends a PROXY header for a client, or none of its own, and tells whether it comes in. */
async function comesThrough(port: number, hostname: string | undefined): Promise<boolean> {
  const destination: Address = { transport: "tcp", hostname: "192.0.2.9", port: 80 };
  const client = await connect({
    port,
    proxyHeader: hostname === undefined
      ? { version: 2, command: "LOCAL" }
      : { version: 2, source: { transport: "tcp", hostname, port: 5 }, destination },
  });
  const reply = await ask(client, "rose").catch(() => undefined);
  client.abort();
  return reply === "rose!";
}

Deno.test({
  name: "serve() checks the client behind a trusted proxy, and not the proxy",
  ...overNet,
  async fn(): Promise<void> {
    const observer = recorder();
    await using server = serve({
      port: 0,
      proxyProtocol: "required",
      trusted: ["127.0.0.1"],
      allow: ["192.0.2.0/24"],
      deny: ["192.0.2.66"],
      observer,
    }, echo);
    const port = portOf(server);
    assertEquals(await comesThrough(port, "192.0.2.1"), true);
    assertEquals(await comesThrough(port, "192.0.2.66"), false);
    assertEquals(await comesThrough(port, "127.0.0.1"), false);
    assertEquals(await comesThrough(port, undefined), true);
    assertEquals(server.stats().refusals.denied, 2);
  },
});

Deno.test({
  name: "serve() counts no address for a proxy, and each of its clients by its own",
  ...overNet,
  async fn(): Promise<void> {
    const options: ServeOptions = { proxyProtocol: "required", trusted: ["127.0.0.0/8"] };
    await using server = serve({ port: 0, maxSessionsPerAddress: 1, ...options }, echo);
    const port = portOf(server);
    const destination: Address = { transport: "tcp", hostname: "192.0.2.9", port: 80 };
    const clients = await Promise.all(
      ["192.0.2.1", "192.0.2.2", "192.0.2.2"].map((hostname) =>
        connect({
          port,
          proxyHeader: { version: 1, source: { transport: "tcp", hostname, port: 5 }, destination },
        })
      ),
    );
    const replies = await Promise.all(
      clients.map((client) => ask(client, "rose").catch(() => undefined)),
    );
    assertEquals(replies.filter((reply) => reply === "rose!").length, 2);
    assertEquals(server.stats().refusals.maxSessionsPerAddress, 1);
    for (const client of clients) client.abort();
  },
});
