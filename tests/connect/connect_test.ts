import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import {
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  UnknownHostError,
  UnreachableError,
} from "../../errors.ts";
import { serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { memoryPair } from "../../transport/mod.ts";
import { defaults } from "../../transport/socket_options.ts";
import { dialing, refusingPort, silentPort } from "../_dialing.ts";
import { canWrite } from "../_permissions.ts";
import {
  ask,
  assertNoDescriptorLeft,
  bounded,
  canUnshare,
  ConnectionOver,
  countedSignal,
  echo,
  overNet,
  overNetCounting,
  portOf,
  readAll,
  runModule,
  settle,
} from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { Peer } from "../_transports.ts";

async function failure(options: ConnectOptions): Promise<ConnectError> {
  return await assertRejects(() => connect(options), ConnectError);
}

Deno.test("connect() gives the session of a greeting", overNet, async () => {
  await using server = serve({ port: 0 }, async (session) => {
    await session.send("welcome!");
    for await (const name of session) {
      if (name === "exit") break;
      await session.send(`hello, ${name}!`);
    }
  });
  const session = await connect({ port: portOf(server) });
  assertEquals(session.id, 1);
  assertEquals(session.remoteAddr, server.addr);
  const replies = session.text();
  assertEquals((await replies.next()).value, "welcome!");
  await session.send("rose");
  assertEquals((await replies.next()).value, "hello, rose!");
  await session.send("exit");
  assertEquals(await replies.next(), { done: true, value: undefined });
  assertEquals((await session.close()).reason, "peer");
});

Deno.test("connect() takes a host name", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  await using session = await connect({ hostname: "localhost", port: portOf(server) });
  assertEquals(await ask(session, "rose"), "rose!");
});

Deno.test("connect() hands its session options on", overNet, async () => {
  await using server = serve({ port: 0 }, (session) => session.send("abcdef"));
  await using session = await connect({ port: portOf(server), chunkSize: 2, idleTimeout: 12_345 });
  assertEquals(session.idleTimeout, 12_345);
  const chunks: string[] = [];
  for await (const chunk of session) chunks.push(chunk);
  assertEquals(chunks, ["ab", "cd", "ef"]);
});

const BAD: readonly [option: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [{ port: undefined }, TypeError, "port must be a number, got undefined"],
  [{ port: "80" }, TypeError, "port must be a number, got a string"],
  [{ port: 0 }, RangeError, "port must be an integer from 1 to 65535, got 0"],
  [{ port: 65536 }, RangeError, "port must be an integer from 1 to 65535, got 65536"],
  [{ hostname: "" }, TypeError, 'hostname must be a host name or an IP address, got ""'],
  [{ hostname: null }, TypeError, "hostname must be a host name or an IP address, got null"],
  [
    { connectTimeout: 0 },
    RangeError,
    "connectTimeout must be more than 0 ms (Infinity for none), got 0",
  ],
  [
    { connectTimeout: "1s" },
    TypeError,
    "connectTimeout must be a number of milliseconds, got a string",
  ],
  [{ chunkSize: 0 }, RangeError, "chunkSize must be an integer from 1 to 65536, got 0"],
];

Deno.test("connect() refuses bad options before it dials", { permissions: "none" }, async () => {
  for (const [option, kind, says] of BAD) {
    await assertRejects(() => connect({ port: 9, ...option } as ConnectOptions), kind, says);
  }
  for (const [options, got] of [[undefined, "undefined"], [null, "null"], [1234, "a number"]]) {
    const says = `options must be an object, got ${got}`;
    await assertRejects(() => connect(options as unknown as ConnectOptions), TypeError, says);
  }
});

Deno.test("connect() passes on that it may not dial", { permissions: "none" }, async () => {
  const error = await assertRejects(() => connect({ port: 9 }), Deno.errors.NotCapable);
  assertEquals(error instanceof ConnectError, false);
});

Deno.test("connect() rejects if nothing listens", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    await using closed = await refusingPort();
    const error = await failure({ port: closed.port });
    assert(error instanceof ConnectionRefusedError);
    assertEquals([error.name, error.address], [
      "ConnectionRefusedError",
      `127.0.0.1:${closed.port}`,
    ]);
    assert(error.cause instanceof Deno.errors.ConnectionRefused);
    assertEquals(
      error.message,
      `cannot connect to 127.0.0.1:${closed.port}: nothing listens there`,
    );
  });
});

Deno.test("connect() rejects where it would be connected to itself, and leaves the port free", {
  ...bounded,
  ignore: !await canUnshare(),
}, async () => {
  const setUp =
    "ip link set lo up && cd /proc/sys/net/ipv4 && echo 40000 40000 > ip_local_port_range";
  const { code, stdout, stderr } = await runModule(
    `
    import { connect } from "library/connect/connect.ts";
    import { ConnectionRefusedError } from "library/errors.ts";
    import { serve } from "library/serve/serve.ts";
    for (const hostname of ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::ffff:127.0.0.1"]) {
      const error = await connect({ hostname, port: 40000 }).catch((error) => error);
      console.log(error instanceof ConnectionRefusedError, error.message, "|", error.cause?.message);
      await serve({ hostname, port: 40000 }, () => {}).shutdown();
    }
  `,
    {
      through: [
        "unshare",
        "--net",
        "--map-root-user",
        "bash",
        "-c",
        `${setUp} && exec deno "$@"`,
        "-",
      ],
    },
  );
  assertEquals([code, stderr], [0, ""]);
  const refused = ["127.0.0.1", "[::1]", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"].map((host) =>
    `true cannot connect to ${host}:40000: nothing listens there | the port was connected to itself`
  );
  // The node transport adds its code.
  assertEquals(stdout.replaceAll(" (ECONNREFUSED)", "").split("\n"), [...refused, ""]);
});

Deno.test("connect() rejects for a host that has no address", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    const hostname = "nonexistent.invalid"; // RFC 6761 §6.4
    const error = await failure({ hostname, port: 9, connectTimeout: Infinity });
    assert(error instanceof UnknownHostError);
    assertEquals([error.name, error.address], ["UnknownHostError", `${hostname}:9`]);
    assert(error.cause instanceof Error);
    assertEquals(error.message, `cannot connect to ${hostname}:9: the host name has no address`);
  });
});

Deno.test("connect() rejects for a host name that is none", overNet, async () => {
  for (const hostname of ["no such host", "two..dots", "a".repeat(300), "half[::1"]) {
    const error = await failure({ hostname, port: 9 });
    assert(error instanceof UnknownHostError, hostname);
    if (defaults.transport === "deno") assert(error.cause instanceof URIError);
  }
});

Deno.test("connect() rejects after connectTimeout", overNetCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    using silent = await silentPort();
    const { signal } = new AbortController();
    const count = countedSignal(signal);
    const error = await failure({ port: silent.port, connectTimeout: 50, signal });
    assert(error instanceof ConnectTimeoutError);
    assertEquals([error.name, error.address], [
      "ConnectTimeoutError",
      `127.0.0.1:${silent.port}`,
    ]);
    assertEquals(
      error.message,
      `cannot connect to 127.0.0.1:${silent.port}: no connection within 50 ms (connectTimeout)`,
    );
    assert(error.cause instanceof DOMException);
    assertEquals(error.cause.name, "TimeoutError");
    assertEquals(count.listeners, 0);
  });
});

Deno.test("connect() rejects with the reason of a signal that is aborted", bounded, async () => {
  for (const reason of [new Error("enough"), "enough", undefined]) {
    const signal = AbortSignal.abort(reason);
    const count = countedSignal(signal);
    const thrown = await connect({ port: 9, signal }).catch((error) => error);
    assertStrictEquals(thrown, signal.reason);
    assertEquals(count.listeners, 0);
  }
});

Deno.test(
  "connect() rejects with the reason of its signal while it dials",
  overNetCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      using silent = await silentPort();
      for (const reason of [new Error("enough"), "enough", undefined]) {
        const controller = new AbortController();
        const count = countedSignal(controller.signal);
        const dial = connect({ port: silent.port, signal: controller.signal });
        const thrown = dial.catch((error) => error);
        await settle();
        assertEquals(count.listeners, 1);
        controller.abort(reason);
        assertStrictEquals(await thrown, controller.signal.reason);
        assertEquals(count.listeners, 0);
      }
    });
  },
);

Deno.test("connect() gives up on a PROXY header that is not taken", bounded, async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const cases: [Partial<ConnectOptions>, (error: unknown) => boolean][] = [
    [{ connectTimeout: 20 }, (error) => error instanceof ConnectTimeoutError],
    [{ signal: controller.signal }, (error) => error === reason],
  ];
  for (const [options, isExpected] of cases) {
    const [near, far] = memoryPair({ capacity: 4 });
    using _ = dialing(() => Promise.resolve(near));
    const dial = connect({ port: 9, proxyHeader: { version: 1 }, ...options });
    const thrown = dial.catch((error) => error);
    await settle();
    if (options.signal !== undefined) controller.abort(reason);
    assert(isExpected(await thrown));
    assertEquals(await new Peer(far).countToEnd(), 4); // and closed
    far.close();
  }
});

/** Runs a program on a network of its own, whose server of names is to be found on loopback. */
const WITH_NAMES = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec deno "$@"';

Deno.test("connect() gives up the look-up of a name", {
  ...bounded,
  ignore: !canWrite ||
    !await canUnshare(["--mount"], ["mount", "--bind", "/etc/hosts", "/etc/resolv.conf"]),
}, async () => {
  await using folder = await makeTempDir();
  const file = `${folder.path}/resolv.conf`;
  await Deno.writeTextFile(file, "nameserver 127.0.0.1\n");
  const { code, stdout, stderr } = await runModule(
    `
    import dgram from "node:dgram";
    import { once } from "node:events";
    import { connect } from "library/connect/connect.ts";
    const names = dgram.createSocket("udp4"); // it never answers
    names.bind(53, "127.0.0.1");
    await once(names, "listening");
    const dial = (options) =>
      connect({ hostname: "host.example", port: 9, ...options }).catch((error) => error);
    const controller = new AbortController();
    const dialling = dial({ signal: controller.signal, connectTimeout: Infinity });
    await once(names, "message");
    controller.abort("enough");
    console.log(await dialling);
    console.log((await dial({ connectTimeout: 50 })).message);
    names.close();
  `,
    {
      through: ["unshare", "--net", "--mount", "--map-root-user", "bash", "-c", WITH_NAMES, file],
    },
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n"), [
    "enough",
    "cannot connect to host.example:9: no connection within 50 ms (connectTimeout)",
    "",
  ]);
});

Deno.test("connect() leaves a session alone that its signal is too late for", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  const controller = new AbortController();
  const count = countedSignal(controller.signal);
  await using session = await connect({ port: portOf(server), signal: controller.signal });
  assertEquals(count.listeners, 0);
  controller.abort();
  assertEquals(await ask(session, "rose"), "rose!");
  assertEquals(session.signal.aborted, false);
});

Deno.test(
  "connect() closes a connection that is made as its signal aborts",
  overNetCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      const ended = Promise.withResolvers<Session>();
      const server = serve({ port: 0, observer: { onSessionEnd: ended.resolve } }, readAll);
      const controller = new AbortController();
      const count = countedSignal(controller.signal);
      const real = Deno.connect;
      using _ = dialing(async (options) => {
        const connection = await real(options);
        controller.abort("enough");
        return connection;
      });
      const dial = connect({ port: portOf(server), signal: controller.signal });
      assertEquals(await dial.catch((error) => error), "enough");
      assertEquals(count.listeners, 0);
      assertEquals((await ended.promise).bytesRead, 0);
      await server.shutdown();
    });
  },
);

Deno.test(
  "connect() loses no connection that is made while its signal aborts",
  overNetCounting,
  async () => {
    await assertNoDescriptorLeft(async () => {
      await using server = serve({ port: 0 }, readAll);
      for (let round = 0; round < 20; round++) {
        await Promise.all(Array.from({ length: 50 }, async (_, at) => {
          const controller = new AbortController();
          const timer = setTimeout(() => controller.abort("enough"), at / 10);
          const dial = connect({ port: portOf(server), signal: controller.signal });
          const outcome = await dial.catch((error) => error);
          if (outcome !== "enough") (outcome as Session).abort();
          clearTimeout(timer);
        }));
      }
    });
  },
);

Deno.test("connect() rejects where there is no way to the address", {
  ...bounded,
  ignore: !await canUnshare(),
}, async () => {
  const { code, stdout, stderr } = await runModule(
    `
    import { connect } from "library/connect/connect.ts";
    import { UnreachableError } from "library/errors.ts";
    const error = await connect({ port: 9 }).catch((error) => error);
    const { name, address, message, cause } = error;
    console.log(error instanceof UnreachableError, cause.code);
    console.log(name, address, message);
  `,
    { through: ["unshare", "--net", "--map-root-user", "deno"] },
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.split("\n"), [
    "true ENETUNREACH",
    "UnreachableError 127.0.0.1:9 cannot connect to 127.0.0.1:9: no route to the host",
    "",
  ]);
});

Deno.test("connect() reports other errors of the system", bounded, async () => {
  const cases: [cause: unknown, kind: typeof ConnectError, problem: string][] = [
    [new Deno.errors.TimedOut("timed out"), ConnectTimeoutError, "no answer"],
    [Object.assign(new Error("late"), { code: "ETIMEDOUT" }), ConnectTimeoutError, "no answer"],
    [
      Object.assign(new Error("no route"), { code: "EHOSTUNREACH" }),
      UnreachableError,
      "no route to the host",
    ],
    [new Deno.errors.PermissionDenied("firewall"), ConnectError, "firewall"],
    // Of a link-local address this would mean that its zone is missing.
    [Object.assign(new Error("bad"), { code: "EINVAL" }), ConnectError, "bad"],
    ["something else", ConnectError, "something else"],
  ];
  for (const [cause, kind, problem] of cases) {
    using _ = dialing(() => Promise.reject(cause));
    const { signal } = new AbortController();
    const count = countedSignal(signal);
    const error = await failure({ hostname: "::1", port: 9, signal });
    assertStrictEquals(error.constructor, kind);
    assertEquals([error.name, error.address], [kind.name, "[::1]:9"]);
    assertEquals(error.message, `cannot connect to [::1]:9: ${problem}`);
    assertStrictEquals(error.cause, cause);
    assertEquals(count.listeners, 0);
  }
});

Deno.test("connect() sets noDelay and keepAlive as its options say", bounded, async () => {
  const cases: [Partial<ConnectOptions>, unknown[]][] = [
    [{}, [["noDelay", true]]],
    [{ noDelay: false }, []],
    [{ keepAlive: true }, [["noDelay", true], ["keepAlive", true]]],
  ];
  for (const [options, expected] of cases) {
    const calls: unknown[] = [];
    class Watched extends ConnectionOver {
      override setNoDelay(noDelay?: boolean): void {
        calls.push(["noDelay", noDelay]);
      }

      override setKeepAlive(keepAlive?: boolean): void {
        calls.push(["keepAlive", keepAlive]);
      }
    }
    using _ = dialing(() => Promise.resolve(new Watched(memoryPair()[0])));
    const session = await connect({ port: 9, ...options });
    assertEquals(calls, expected);
    session.abort();
  }
});

Deno.test("connect() gives a session that is reset already to its reader", bounded, async () => {
  class Reset extends ConnectionOver {
    override setNoDelay(): void {
      throw new Deno.errors.InvalidData("no options on a reset socket");
    }

    override read(): Promise<null> {
      return Promise.reject(new Deno.errors.ConnectionReset("reset"));
    }
  }
  using _ = dialing(() => Promise.resolve(new Reset(memoryPair()[0])));
  const session = await connect({ port: 9 });
  await assertRejects(() => session.readLine());
  assertEquals((await session.closed).reason, "peer");
});
