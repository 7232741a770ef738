import { lookup } from "node:dns/promises";
import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { lengthPrefixed, lines } from "../../codecs/mod.ts";
import {
  AmplificationLimitError,
  connectDatagrams,
  type DatagramDrop,
  type DatagramEvents,
  type DatagramSender,
  type DatagramSocket,
  DatagramTooLargeError,
  type NetAddr,
  serveDatagrams,
} from "../../datagram/mod.ts";
import { OutputLimitError, TruncatedFrameError } from "../../errors.ts";
import { datagramNetwork } from "../../testing/mod.ts";
import { bytes, Peer, portOf, text } from "../_datagrams.ts";
import { canRun } from "../_permissions.ts";
import { bounded, canIpv6, capturePrinted, overNet, settle, until } from "../_serving.ts";

const echo = (message: Uint8Array, sender: DatagramSender) => sender.send(message);

interface Far {
  received: string[];
  send(message: string | Uint8Array): Promise<void>;
}

/** A socket for a server in a network of the process, and a function that makes peers of it. */
function inNetwork(): { socket: DatagramSocket; far(hostname?: string): Far } {
  const network = datagramNetwork();
  const socket = network.socket("198.51.100.1", 53);
  const far = (hostname?: string) => {
    const peer = network.socket(hostname);
    const received: string[] = [];
    peer.start({ onMessage: (message) => void received.push(text(message)), onError: () => {} });
    const send = (message: string | Uint8Array) =>
      new Promise<void>((resolve) =>
        peer.send(
          typeof message === "string" ? bytes(message) : message,
          socket.addr,
          () => resolve(),
        )
      );
    return { received, send };
  };
  return { socket, far };
}

Deno.test("serveDatagrams() answers each datagram, of any size", overNet, async () => {
  await using server = serveDatagrams({ port: 0 }, echo);
  await using peer = await Peer.bind();
  const sizes = [0, 1, 1472, 1473, 9000, 65_507];
  for (const [index, size] of sizes.entries()) {
    await peer.send("x".repeat(size), portOf(server));
    assertEquals((await peer.until(index + 1))[index]!.length, size);
  }
  const { received, sent, bytesRead, bytesWritten, dropped } = server.stats();
  const total = sizes.reduce((sum, size) => sum + size);
  assertEquals([received, sent, bytesRead, bytesWritten, dropped], [6, 6, total, total, 0]);
});

Deno.test("serveDatagrams() sends in the order of the calls", overNet, async () => {
  await using peer = await Peer.bind();
  await using server = serveDatagrams({ port: 0 }, () => {});
  const to = { transport: "udp", hostname: "127.0.0.1", port: peer.port } as const;
  const sent = Array.from({ length: 100 }, (_, at) => String(at));
  await Promise.all(sent.map((message) => server.send(message, to)));
  assertEquals(await peer.until(100), sent);
});

Deno.test(
  "serveDatagrams() listens on names, and rejects those that are none",
  overNet,
  async () => {
    await using server = serveDatagrams({ hostname: "localhost", port: 0 }, echo);
    const { hostname, port } = await server.listening as NetAddr;
    assertEquals(hostname, "127.0.0.1");
    await using client = await connectDatagrams({ hostname, port });
    await client.send("rose");
    assertEquals(text(await client.receive()), "rose");

    const nowhere = serveDatagrams({ hostname: "no.such.host.invalid", port: 0 }, echo);
    await assertRejects(() => nowhere.listening);
    await nowhere.finished;
    assertEquals(nowhere.state, "closed");
  },
);

// The lookup of a name cannot be cancelled, so it may outlive the server.
Deno.test("serveDatagrams() that is stopped before it is bound never listens", {
  ...overNet,
  sanitizeOps: false,
}, async () => {
  for (const stop of ["shutdown", "abort"] as const) {
    const server = serveDatagrams({ hostname: "localhost", port: 0 }, echo);
    server[stop]();
    await server.finished;
    assertEquals(server.state, "closed");
    await assertRejects(() => server.listening);
    await lookup("localhost");
  }
});

Deno.test("serveDatagrams() throws if the port is in use", overNet, async () => {
  await using server = serveDatagrams({ port: 0 }, echo);
  const error = assertThrows(() => serveDatagrams({ port: portOf(server) }, echo));
  assertInstanceOf(error, Deno.errors.AddrInUse);
});

Deno.test("serveDatagrams() with reuseAddress shares a port", overNet, async () => {
  await using server = serveDatagrams({ port: 0, reuseAddress: true }, echo);
  await using other = serveDatagrams({ port: portOf(server), reuseAddress: true }, echo);
  assertEquals(portOf(other), portOf(server));
});

Deno.test({
  name: "serveDatagrams() on :: takes senders over IPv4 for what they are",
  ignore: !canIpv6,
  ...bounded,
}, async () => {
  const drops: DatagramDrop[] = [];
  const seen: unknown[] = [];
  await using server = serveDatagrams({
    hostname: "::",
    port: 0,
    allow: ["127.0.0.0/8", "::1"],
    observer: { onDrop: (drop) => void drops.push(drop) },
  }, (message, sender) => {
    seen.push((sender.remoteAddr as NetAddr).hostname);
    return sender.send(message);
  });
  await using v4 = await Peer.bind();
  await using v6 = await Peer.bind("::1");
  await v4.send("four", portOf(server));
  await v6.send("six", portOf(server), "::1");
  assertEquals([await v4.until(1), await v6.until(1)], [["four"], ["six"]]);
  assertEquals(seen.sort(), ["127.0.0.1", "::1"]);
  await server.send("push", { transport: "udp", hostname: "127.0.0.1", port: v4.port });
  assertEquals((await v4.until(2))[1], "push");

  await using strict = serveDatagrams({
    hostname: "::",
    port: 0,
    deny: ["127.0.0.0/8"],
    observer: { onDrop: (drop) => void drops.push(drop) },
  }, echo);
  await v4.send("four", portOf(strict));
  await until(() => drops.length > 0);
  assertEquals(drops, [{
    remoteAddr: { transport: "udp", hostname: "127.0.0.1", port: v4.port },
    reason: "denied",
    size: 4,
  }]);
});

Deno.test("a mapped address counts as IPv4 for lists and rates", bounded, async () => {
  const { socket, far } = inNetwork();
  await using server = serveDatagrams({
    socket,
    deny: ["203.0.113.0/24"],
    messageRate: { perSecond: 1, burst: 2 },
  }, () => {});
  const denied = far("::ffff:203.0.113.9");
  await denied.send("x");
  const [one, other] = [far("::ffff:192.0.2.7"), far("192.0.2.7")];
  for (let i = 0; i < 2; i++) {
    await one.send("x");
    await other.send("x");
  }
  await until(() => server.stats().received === 5);
  const { drops } = server.stats();
  assertEquals([drops.denied, drops.rate], [1, 2]);
});

Deno.test("messageRate counts the addresses of an IPv6 network as one", bounded, async () => {
  const { socket, far } = inNetwork();
  await using server = serveDatagrams({
    socket,
    messageRate: { perSecond: 1, burst: 3 },
  }, () => {});
  for (let i = 0; i < 10; i++) await far(`2001:db8:0:1::${i}`).send("x");
  await far("2001:db8:0:2::1").send("x");
  await until(() => server.stats().received === 11);
  assertEquals(server.stats().drops.rate, 7);
});

Deno.test("answers to an unproven sender are limited by what it has sent", bounded, async () => {
  const { socket, far } = inNetwork();
  const drops: DatagramDrop[] = [];
  const errors: unknown[] = [];
  const faults: unknown[] = [];
  await using server = serveDatagrams({
    socket,
    observer: {
      onDrop: (drop) => void drops.push(drop),
      onHandlerError: (error) => void faults.push(error),
    },
  }, async (message, sender) => {
    const sizes = text(message).split(" ").map(Number);
    if (text(message).startsWith("token")) sender.validate();
    try {
      for (const size of sizes) await sender.send(new Uint8Array(size || 1000));
    } catch (error) {
      errors.push(error);
      throw error; // it is not the handler's fault
    }
  });
  // (3 + 28) × 3 = 93 bytes, of which each answer takes its size and 28.
  const attacker = far("203.0.113.1");
  await attacker.send("065");
  await until(() => server.stats().sent === 1);
  await attacker.send("066");
  await until(() => drops.length === 1);
  const [error] = errors;
  assertInstanceOf(error, AmplificationLimitError);
  assertEquals([error.limit, error.size], [93, 94]);
  assertEquals([drops[0]!.reason, drops[0]!.size], ["amplification", 66]);
  await attacker.send("4 2 1 5"); // (7 + 28) × 3 = 105: 32 + 30 + 29, and no more
  await until(() => server.stats().sent === 4 && drops.length === 2);
  // Another port of the address is another sender.
  await attacker.send("token"); // proven
  await until(() => server.stats().sent === 5);
  await attacker.send("5000");
  await until(() => server.stats().sent === 6);
  await far("203.0.113.1").send("5000");
  await until(() => drops.length === 3);
  assertEquals(server.stats().proven, 1);
  assertEquals(faults, []);
});

Deno.test("a proven sender has to prove itself again after provenFor", bounded, async () => {
  const { socket, far } = inNetwork();
  const proven: boolean[] = [];
  await using server = serveDatagrams({ socket, provenFor: 1 }, async (_message, sender) => {
    proven.push(sender.isProven);
    sender.validate();
    await new Promise((resolve) => setTimeout(resolve, 10));
    proven.push(sender.isProven);
  });
  await far().send("x");
  await until(() => proven.length === 2);
  assertEquals([proven, server.stats().proven], [[false, false], 1]);
});

Deno.test("maxAmplification: Infinity limits nothing", bounded, async () => {
  const { socket, far } = inNetwork();
  await using server = serveDatagrams(
    { socket, maxAmplification: Infinity },
    (_, sender) => sender.send(new Uint8Array(60_000)),
  );
  await far().send("");
  await until(() => server.stats().sent === 1);
});

for (const overflow of ["drop-newest", "drop-oldest"] as const) {
  Deno.test(`a full queue drops by its policy: ${overflow}`, bounded, async () => {
    const { socket, far } = inNetwork();
    const drops: DatagramDrop[] = [];
    const handled: string[] = [];
    // Each counts 256 bytes more than its 100, so three have room.
    await using server = serveDatagrams({
      socket,
      overflow,
      maxQueuedBytes: 1100,
      observer: { onDrop: (drop) => void drops.push(drop) },
    }, (message) => void handled.push(text(message).trim()));
    server.suspend();
    const peer = far();
    for (let i = 0; i < 5; i++) await peer.send(String(i).padEnd(100));
    await until(() => drops.length === 2);
    assertEquals([server.stats().queued, server.stats().queuedBytes], [3, 3 * 356]);
    server.resume();
    assertEquals(handled, overflow === "drop-newest" ? ["0", "1", "2"] : ["2", "3", "4"]);
    assertEquals(drops.map(({ reason }) => reason), ["queue-full", "queue-full"]);
    // One that is larger than the queue does not push others out.
    server.suspend();
    await peer.send("small");
    await peer.send(new Uint8Array(5000));
    await until(() => drops.length === 3);
    assertEquals([drops[2]!.size, server.stats().queued], [5000, 1]);
    server.resume();
  });
}

Deno.test("a server that onDrop() aborts handles nothing more", bounded, async () => {
  const { socket, far } = inNetwork();
  const handled: string[] = [];
  const server = serveDatagrams({
    socket,
    overflow: "drop-oldest",
    maxQueuedBytes: 1100,
    observer: { onDrop: () => server.abort() },
  }, (message) => void handled.push(text(message).trim()));
  server.suspend();
  const peer = far();
  for (let i = 0; i < 4; i++) await peer.send(String(i).padEnd(100));
  await server.finished;
  assertEquals([handled, server.stats().queued], [[], 0]);
});

for (const overflow of ["drop-newest", "drop-oldest"] as const) {
  Deno.test(`200,000 datagrams at once leave the queue bounded: ${overflow}`, bounded, async () => {
    const gate = Promise.withResolvers<void>();
    let events: DatagramEvents | undefined;
    const socket: DatagramSocket = {
      addr: { transport: "memory", name: "flood" },
      start: (given) => void (events = given),
      send: (_message, _to, done) => queueMicrotask(done),
      close: () => Promise.resolve(),
    };
    const server = serveDatagrams({ socket, overflow, observer: {} }, () => gate.promise);
    const from = { transport: "udp", hostname: "192.0.2.1", port: 9 } as const;
    for (let i = 0; i < 200_000; i++) events!.onMessage(new Uint8Array(768), from);
    const room = 4 * 2 ** 20 / 1024;
    const { active, queued, queuedBytes, dropped } = server.stats();
    // The handlers of a long turn are deferred.
    assertEquals([queued, queuedBytes], [room, room * 1024]);
    assertEquals(active + queued + dropped, 200_000);
    gate.resolve();
    await server.shutdown();
    assertEquals(server.stats().queued, 0);
  });
}

Deno.test("no more than maxHandlers run at once", bounded, async () => {
  const { socket, far } = inNetwork();
  let most = 0;
  let running = 0;
  const gate = Promise.withResolvers<void>();
  await using server = serveDatagrams({ socket, maxHandlers: 3 }, async () => {
    most = Math.max(most, ++running);
    await gate.promise;
    running--;
  });
  const peer = far();
  for (let i = 0; i < 10; i++) await peer.send("x");
  await until(() => server.stats().received === 10);
  assertEquals([server.stats().active, server.stats().queued], [3, 7]);
  gate.resolve();
  await until(() => server.stats().queued === 0 && server.stats().active === 0);
  assertEquals(most, 3);
});

Deno.test("a handler that throws ends nothing", bounded, async () => {
  const { socket, far } = inNetwork();
  const errors: unknown[] = [];
  await using server = serveDatagrams({
    socket,
    onError: (error) => void errors.push(error),
  }, (message, sender) => {
    const what = text(message);
    if (what === "throw") throw new Error("thrown");
    if (what === "reject") return Promise.reject(new Error("rejected"));
    if (what === "null") return Promise.reject(null);
    return sender.send(message);
  });
  const peer = far();
  for (const what of ["throw", "reject", "null", "rose"]) await peer.send(what);
  await until(() => peer.received.length === 1);
  assertEquals(errors.map(String), ["Error: thrown", "Error: rejected", "null"]);
  assertEquals(server.stats().handlerErrors, 3);
});

Deno.test("handlers may return any object", bounded, async () => {
  const { socket, far } = inNetwork();
  const errors: string[] = [];
  const fail = (what: string) => (): never => {
    throw new Error(what);
  };
  const returned: Record<string, unknown> = {
    object: {},
    array: [],
    number: { then: 7 },
    getter: Object.defineProperty({}, "then", { get: fail("getter") }),
    then: { then: fail("then") },
    twice: { then: (resolve: () => void) => (resolve(), resolve()) },
    both: {
      then(resolve: () => void, reject: (error: unknown) => void): void {
        reject(new Error("both"));
        resolve();
        throw new Error("a third time");
      },
    },
    proxy: new Proxy({}, { get: fail("proxy") }),
    callable: Object.assign(() => {}, { then: fail("callable") }),
  };
  await using server = serveDatagrams({
    socket,
    onError: (error) => void errors.push((error as Error).message),
  }, (message, sender) => returned[text(message)] ?? sender.send(message));
  const peer = far();
  for (const what of [...Object.keys(returned), "rose"]) await peer.send(what);
  await until(() => peer.received.length === 1);
  await until(() => server.stats().active === 0);
  assertEquals(errors, ["getter", "then", "both", "proxy", "callable"]);
  assertEquals(server.stats().handlerErrors, 5);
});

Deno.test("an observer that throws has no effect", bounded, async () => {
  const { socket, far } = inNetwork();
  const errors: string[] = [];
  const fail = (): never => {
    throw new Error("observer");
  };
  const server = serveDatagrams({
    socket,
    maxMessageSize: 4,
    observer: { onStateChange: fail, onDrop: fail, onHandlerError: fail },
    onError: (error) => void errors.push((error as Error).message),
  }, () => fail());
  const peer = far();
  await peer.send("large");
  await peer.send("x");
  await until(() => server.stats().handlerErrors === 1);
  await server.shutdown();
  assertEquals(server.state, "closed");
  // listening, the drop, the handler's error with its observer, draining and closed
  assertEquals(errors.length, 6);
});

Deno.test("datagrams over maxMessageSize are dropped and counted", overNet, async () => {
  const drops: DatagramDrop[] = [];
  const handled: number[] = [];
  await using server = serveDatagrams({
    port: 0,
    maxMessageSize: 1000,
    observer: { onDrop: (drop) => void drops.push(drop) },
  }, (message) => void handled.push(message.length));
  await using peer = await Peer.bind();
  for (const size of [1000, 1001, 65_507, 1000, 1001, 1000]) {
    await peer.send(new Uint8Array(size), portOf(server));
  }
  await until(() => server.stats().received === 6);
  assertEquals(handled, [1000, 1000, 1000]);
  assertEquals(drops.map(({ reason }) => reason), ["too-large", "too-large", "too-large"]);
  assert(drops.every(({ size }) => size > 1000));
});

Deno.test("send() tells of datagrams that are too large", overNet, async () => {
  const told: unknown[] = [];
  await using server = serveDatagrams({
    port: 0,
    observer: { onSendError: (error) => void told.push(error) },
  }, echo);
  const to = { transport: "udp", hostname: "127.0.0.1", port: portOf(server) } as const;
  const error = await assertRejects(
    () => server.send(new Uint8Array(65_508), to),
    DatagramTooLargeError,
    `a datagram of 65508 bytes to 127.0.0.1:${to.port} is too large`,
  );
  assertEquals([error.size, told, server.stats().sendErrors], [65_508, [error], 1]);
});

Deno.test("send() rejects what cannot be sent, and the server lives on", overNet, async () => {
  await using server = serveDatagrams({ port: 0, maxBufferedOutput: 4096 }, echo);
  const to = { transport: "udp", hostname: "127.0.0.1", port: portOf(server) } as const;
  for (
    const [change, problem] of [
      [{ port: 0 }, "port of to must be an integer from 1 to 65535, got 0"],
      [{ port: 70_000 }, "port of to must be an integer from 1 to 65535, got 70000"],
      [{ port: "9" }, "port of to must be a number, got a string"],
      [{ hostname: 5 }, "hostname of to must be a text that is not empty, got a number"],
      [{ hostname: undefined }, "hostname of to must be a text that is not empty"],
      [{ transport: "unixpacket" }, "to must be an address of the transport udp, got unixpacket"],
      [{ transport: 5 }, "to must be an address of the transport udp, got a number"],
    ] as const
  ) await assertRejects(() => server.send("x", { ...to, ...change } as never), Error, problem);
  await assertRejects(() => server.send("x", { ...to, hostname: "no.such.host.invalid" }));
  await assertRejects(() => server.send("x", null as never), TypeError, "to must be an object");
  await assertRejects(() => server.send(5 as never, to), TypeError, "got a number");
  const all = Array.from({ length: 20 }, () => server.send(new Uint8Array(100), to));
  const failed = (await Promise.allSettled(all)).filter(({ status }) => status === "rejected");
  assertEquals(failed.length, 20 - 11); // 4096 / 356
  assertInstanceOf((failed[0] as PromiseRejectedResult).reason, OutputLimitError);
  await using peer = await Peer.bind();
  await peer.send("rose", portOf(server));
  assertEquals(await peer.until(1), ["rose"]);
});

Deno.test("a codec makes messages of a datagram", bounded, async () => {
  const { socket, far } = inNetwork();
  const drops: DatagramDrop[] = [];
  const handled: string[] = [];
  await using server = serveDatagrams({
    socket,
    codec: lines(),
    observer: { onDrop: (drop) => void drops.push(drop) },
  }, async (line, sender) => {
    handled.push(line);
    if (line === "?") await sender.send("hits");
  });
  const peer = far();
  await peer.send("hits:1|c\nload:3|ms\n");
  await peer.send("");
  await peer.send("a\n\nb");
  await peer.send("?");
  await until(() => peer.received.length === 1);
  assertEquals(handled, ["hits:1|c", "load:3|ms", "a", "", "b", "?"]);
  assertEquals([peer.received, drops], [["hits\n"], []]);
  await server.shutdown();
});

Deno.test(
  "a datagram that the codec cannot decode is dropped, after its good messages",
  bounded,
  async () => {
    const { socket, far } = inNetwork();
    const drops: DatagramDrop[] = [];
    const handled: string[] = [];
    await using server = serveDatagrams({
      socket,
      codec: lengthPrefixed({ width: 1 }),
      observer: { onDrop: (drop) => void drops.push(drop) },
    }, (message) => void handled.push(text(message)));
    const peer = far();
    await peer.send("\x01a\x02bc\x05de");
    await peer.send("\x01z");
    await until(() => handled.length === 3);
    assertEquals(handled, ["a", "bc", "z"]);
    assertEquals(drops.map(({ reason, size }) => [reason, size]), [["malformed", 8]]);
    assertInstanceOf(drops[0]!.cause, TruncatedFrameError);
    assertEquals(server.stats().queued, 0);
  },
);

Deno.test("the many messages of a datagram count for maxHandlers", bounded, async () => {
  const { socket, far } = inNetwork();
  const gate = Promise.withResolvers<void>();
  let handled = 0;
  await using server = serveDatagrams({ socket, codec: lines(), maxHandlers: 10 }, () => {
    handled++;
    return gate.promise;
  });
  await far().send("\n".repeat(60_000));
  await until(() => server.stats().active === 10);
  await settle();
  assertEquals([server.stats().active, server.stats().queued], [10, 1]);
  gate.resolve();
  await until(() => handled === 60_000);
});

Deno.test(
  "shutdown() handles what has come, waits for answers, and drops the rest",
  bounded,
  async () => {
    const { socket, far } = inNetwork();
    const states: string[] = [];
    const gate = Promise.withResolvers<void>();
    const server = serveDatagrams({
      socket,
      maxHandlers: 1,
      observer: { onStateChange: (state) => void states.push(state) },
    }, async (message, sender) => {
      await gate.promise;
      await sender.send(message);
    });
    const peer = far();
    await peer.send("one");
    await peer.send("two");
    await until(() => server.stats().received === 2);
    const over = server.shutdown();
    await peer.send("late");
    await until(() => server.stats().drops.draining === 1);
    assertEquals(server.state, "draining");
    gate.resolve();
    await over;
    await until(() => peer.received.length === 2);
    assertEquals([peer.received, states], [["one", "two"], ["listening", "draining", "closed"]]);
    await server.shutdown();
  },
);

Deno.test("shutdown() of a suspended server handles its queue", bounded, async () => {
  const { socket, far } = inNetwork();
  const server = serveDatagrams({ socket }, echo);
  server.suspend();
  const peer = far();
  await peer.send("rose");
  await until(() => server.stats().queued === 1);
  await server.shutdown();
  await until(() => peer.received.length === 1);
  server.resume();
  server.suspend();
  assertEquals(server.state, "closed");
});

Deno.test("shutdown() does not wait longer than shutdownTimeout", bounded, async () => {
  const { socket, far } = inNetwork();
  const server = serveDatagrams({ socket, shutdownTimeout: 10 }, () => new Promise(() => {}));
  await far().send("x");
  await until(() => server.stats().active === 1);
  await server.shutdown();
  assertEquals(server.state, "closed");
});

Deno.test("abort() closes at once, and fails sends that wait", overNet, async () => {
  const server = serveDatagrams({ port: 0 }, echo);
  const to = { transport: "udp", hostname: "127.0.0.1", port: portOf(server) } as const;
  const sends = Array.from({ length: 10 }, () => server.send("x", to));
  server.abort();
  await server.finished;
  await Promise.allSettled(sends); // all settle
  await assertRejects(() => server.send("x", to), Deno.errors.BadResource);
  server.abort();
});

Deno.test("abort() fails sends that a socket never completes", bounded, async () => {
  const socket: DatagramSocket = {
    addr: { transport: "memory", name: "stuck" },
    start: () => {},
    send: () => {},
    close: () => Promise.resolve(),
  };
  const told: unknown[] = [];
  const server = serveDatagrams({
    socket,
    observer: { onSendError: (error) => void told.push(error) },
  }, echo);
  const sending = server.send("x", socket.addr);
  server.abort();
  const error = await assertRejects(() => sending, Deno.errors.BadResource, "socket is closed");
  assertEquals(told, [error]);
  await server.finished;
});

Deno.test("a signal shuts the server down", overNet, async () => {
  const controller = new AbortController();
  const server = serveDatagrams({ port: 0, signal: controller.signal }, echo);
  controller.abort();
  await server.finished;
  const { finished } = serveDatagrams({ port: 0, signal: controller.signal }, echo);
  await finished;
});

Deno.test("multicast datagrams reach each member", overNet, async () => {
  const received: string[] = [];
  const join = (port: number) =>
    serveDatagrams({
      hostname: "0.0.0.0",
      port,
      reuseAddress: true,
      multicast: {
        groups: [{ address: "239.255.12.34", interface: "127.0.0.1" }],
        interface: "127.0.0.1",
        loopback: true,
        ttl: 1,
      },
    }, (message) => void received.push(text(message)));
  await using one = join(0);
  const port = portOf(one);
  await using other = join(port);
  await other.send("news", { transport: "udp", hostname: "239.255.12.34", port });
  await until(() => received.length === 2);
  assertThrows(
    () => serveDatagrams({ port: 0, multicast: { groups: ["10.0.0.1"] } }, echo),
    TypeError,
    "cannot join the multicast group 10.0.0.1",
  );
});

Deno.test("serveDatagrams() prints 10 errors within 10 s, and how many it has left out", async () => {
  using printed = capturePrinted();
  const { socket, far } = inNetwork();
  const server = serveDatagrams({ socket }, (message) => {
    throw text(message);
  });
  const peer = far();
  for (let i = 0; i < 100; i++) await peer.send(`fault ${i}`);
  await until(() => server.stats().received === 100);
  await server.shutdown();
  assertEquals(printed.texts, [
    ...Array.from({ length: 10 }, (_, i) => `fault ${i}`),
    "90 more errors of handlers were not printed",
  ]);
});

Deno.test("a process can end although its server receives", {
  ...overNet,
  ignore: overNet.ignore || !await canRun("deno"),
}, async () => {
  const code = `
    import { serveDatagrams } from ${JSON.stringify(import.meta.resolve("../../datagram/mod.ts"))};
    const server = serveDatagrams({ port: 0 }, (message) => {
      console.log(message.length);
      server.unref();
    });
    server.send("rose", server.addr);`;
  const { stdout, success } = await new Deno.Command("deno", { args: ["eval", code] }).output();
  assertEquals([text(stdout), success], ["4\n", true]);
});

Deno.test("kinds of sockets that no runtime has are named", () => {
  for (const kind of ["seqpacket", "raw"] as const) {
    assertThrows(
      () => serveDatagrams({ port: 0, kind }, echo),
      TypeError,
      `kind "${kind}": no runtime (Deno, Node.js, Bun) has`,
    );
  }
});

Deno.test("Unix datagram sockets are asked for by name", () => {
  assertThrows(
    () => serveDatagrams({ path: "/tmp/none" }, echo),
    TypeError,
    "Unix datagram sockets (path) need Deno's --unstable-net",
  );
});
