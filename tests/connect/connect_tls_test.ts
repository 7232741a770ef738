import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import {
  CertificateError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  TlsHandshakeError,
} from "../../errors.ts";
import { serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { ask, assertNoDescriptorLeft, countedSignal, portOf, settle } from "../_serving.ts";
import {
  ca,
  client as rosesCertificate,
  overTls,
  overTlsCounting,
  rose,
  serveTls,
} from "../_tls_serving.ts";
import { isPending } from "../_transports.ts";

/** A server that accepts, and does with each connection what the test says. */
function rawServer(handle: (conn: Deno.Conn) => Promise<void> | void): {
  port: number;
} & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conns: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const conn of listener) {
      conns.push(conn);
      await handle(conn);
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose](): Promise<void> {
      listener.close();
      await accepting;
      for (const conn of conns) conn[Symbol.dispose]();
    },
  };
}

async function failure(
  options: ConnectOptions,
): Promise<TlsHandshakeError> {
  return await assertRejects(() => connect(options), TlsHandshakeError);
}

Deno.test(
  "connect() gives a session under TLS that shows the server's certificate",
  overTls,
  async () => {
    await using server = serveTls();
    await using client = await server.dial({ hostname: "localhost" });
    assertEquals(await ask(client, "rose"), "rose!");
    const { protocol, cipher, serverName, peerCertificate } = client.tls!;
    assertEquals([protocol, serverName], ["TLSv1.3", "localhost"]);
    assert(cipher.startsWith("TLS_"), cipher);
    assertEquals(peerCertificate!.subject, "CN=garden");
    assert(peerCertificate!.validTo.getTime() > Date.now());
  },
);

Deno.test("connect() trusts only authorities of ca or the system", overTls, async () => {
  await using server = serveTls();
  const { port } = server;
  const error = await assertRejects(() => connect({ port, tls: {} }), CertificateError);
  assertEquals([error.name, error.code, error.remoteAddr], [
    "CertificateError",
    "certificate",
    `127.0.0.1:${port}`,
  ]);
  assertEquals(
    error.message,
    `TLS handshake with 127.0.0.1:${port} failed: the server's certificate is not signed by a trusted authority`,
  );
  await using client = await connect({ port, tls: { unsafelyIgnoreCertificateErrors: true } });
  assertEquals([await ask(client, "rose"), client.tls!.peerCertificate], ["rose!", undefined]);
});

Deno.test(
  "connect() asks that the certificate is for the host that it dials",
  overTls,
  async () => {
    await using server = serveTls({ tls: rose });
    for (const hostname of ["127.0.0.1", "localhost"]) {
      await assertRejects(
        () => server.dial({ hostname }),
        CertificateError,
        `the server's certificate is not for "${hostname}" but for DNS:rose.test, DNS:*.rose.test`,
      );
    }
    for (const serverName of ["rose.test", "RED.rose.test."]) {
      await using client = await server.dial({ tls: { serverName } });
      assertEquals(await ask(client, "rose"), "rose!");
    }
    await assertRejects(
      () => server.dial({ tls: { serverName: "a.b.rose.test" } }),
      CertificateError,
    );
  },
);

Deno.test("connect() accepts an IPv6 address in brackets", overTls, async () => {
  await using server = serveTls({ hostname: "[::1]" });
  const { hostname } = new URL(`tls://[0:0::1]:${server.port}`);
  assertEquals(hostname, "[::1]");
  await using client = await server.dial({ hostname });
  assertEquals(await ask(client, "rose"), "rose!");
  await using renamed = await server.dial({ hostname, tls: { serverName: "[::1]" } });
  assertEquals(await ask(renamed, "rose"), "rose!");
  await server.server.shutdown();
  for (const tls of [undefined, { ca }]) {
    await assertRejects(
      () => connect({ hostname, port: server.port, ...(tls && { tls }) }),
      ConnectionRefusedError,
      `cannot connect to [::1]:${server.port}: `,
    );
  }
});

Deno.test(
  "connect() shows its certificate and speaks a protocol that both have",
  overTls,
  async () => {
    await using server = serveTls({
      tls: { ca, clientCertificate: "required", alpn: ["greet/1"] },
    }, (session) => session.send(`${session.tls!.peerCertificate!.subject}\n`));
    await using client = await server.dial({
      tls: { ...rosesCertificate, alpn: ["greet/2", "greet/1"] },
    });
    assertEquals([await client.readLine(), client.tls!.alpn], ["CN=rose,O=Garden", "greet/1"]);
  },
);

Deno.test("connect() learns that the server wants a certificate", overTls, async () => {
  await using server = serveTls({ tls: { ca, clientCertificate: "required" } });
  const read = async (options: ConnectOptions): Promise<void> => {
    await using client: Session = await server.dial(options);
    await client.readLine();
  };
  // In TLS 1.2 the server looks at it within the handshake, in TLS 1.3 after the client is done (RFC 8446 §4.4.3).
  await assertRejects(() => read({ tls: { maxVersion: "TLSv1.2" } }), TlsHandshakeError);
  await assertRejects(() => read({}), Error);
  assertEquals(server.server.stats().accepted, 0);
});

Deno.test("connect() gives up where no version is in common", overTls, async () => {
  await using server = serveTls({ tls: { minVersion: "TLSv1.3" } });
  const { code, message } = await assertRejects(
    () => server.dial({ tls: { maxVersion: "TLSv1.2" } }),
    TlsHandshakeError,
  );
  assertEquals(code, "version", message);
});

Deno.test("connect() reports a server without TLS, and one that leaves", overTls, async () => {
  await using greeting = serve({ port: 0 }, (session) => session.send("welcome!"));
  const notTls = await failure({ port: portOf(greeting), tls: { ca } });
  assertEquals([notTls.name, notTls.code], ["TlsHandshakeError", "not-tls"]);
  assertEquals(
    notTls.message,
    `TLS handshake with 127.0.0.1:${portOf(greeting)} failed: the peer does not speak TLS`,
  );
  await using leaving = rawServer((conn) => conn.close());
  assertEquals((await failure({ port: leaving.port, tls: { ca } })).code, "closed");
});

Deno.test("connect() reports that nothing listens, with TLS too", overTls, async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  const { port } = listener.addr;
  await assertRejects(() => connect({ port, tls: { ca } }), ConnectionRefusedError);
});

Deno.test("connect() gives up a handshake after connectTimeout", overTlsCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    await using silent = rawServer(() => {});
    const { port } = silent;
    const error = await assertRejects(
      () => connect({ port, tls: { ca }, connectTimeout: 30 }),
      ConnectTimeoutError,
    );
    assertEquals(
      error.message,
      `cannot connect to 127.0.0.1:${port}: no connection within 30 ms (connectTimeout)`,
    );
    assertInstanceOf(error.cause, DOMException);
  });
});

Deno.test("connect() gives up a handshake when its signal aborts", overTlsCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    const accepted = Promise.withResolvers<void>();
    await using silent = rawServer(async (conn) => {
      await conn.read(new Uint8Array(1)); // the hello has come
      accepted.resolve();
    });
    const controller = new AbortController();
    const counted = countedSignal(controller.signal);
    const dialling = connect({ port: silent.port, tls: { ca }, signal: controller.signal });
    dialling.catch(() => {});
    await accepted.promise;
    assert(await isPending(dialling));
    assertEquals(counted.listeners, 1);
    const reason = { why: "not today" };
    controller.abort(reason);
    assertStrictEquals(await dialling.catch((error) => error), reason);
    await settle();
    assertEquals(counted.listeners, 0);
  });
});

Deno.test("connect() leaves no listener on its signal once there is TLS", overTls, async () => {
  await using server = serveTls();
  const controller = new AbortController();
  const counted = countedSignal(controller.signal);
  await using client = await server.dial({ signal: controller.signal });
  assertEquals(counted.listeners, 0);
  controller.abort();
  assertEquals(await ask(client, "rose"), "rose!");
});

Deno.test("connect() sends its PROXY header before the handshake", overTls, async () => {
  const proxyProtocol = "required" as const;
  await using server = serveTls({ proxyProtocol, trusted: ["127.0.0.1"] }, async (session) => {
    const { hostname } = session.remoteAddr as Deno.NetAddr;
    await session.send(`${hostname} ${session.proxy!.version} ${session.tls!.protocol}\n`);
  });
  const source: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.7", port: 5 };
  for (const version of [1, 2] as const) {
    await using client = await server.dial({ proxyHeader: { version, source } });
    assertEquals(await client.readLine(), `192.0.2.7 ${version} TLSv1.3`);
  }
});

const BAD: [options: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
  [
    { tls: { serverName: "" } },
    TypeError,
    'serverName must be a host name or an IP address, got ""',
  ],
  [
    { tls: { serverName: 5 } },
    TypeError,
    "serverName must be a host name or an IP address, got a number",
  ],
  [{ tls: { ca: "none" } }, TypeError, "ca must be one or more certificates in PEM"],
  [{ tls: { ca: [] } }, TypeError, "ca must not be empty"],
  [{ tls: true }, TypeError, "tls must be an object, got true"],
  [{ proxyHeader: null }, TypeError, "proxyHeader must be an object, got null"],
  [{ tls: { alpn: "h2" } }, TypeError, "alpn must be an array, got a string"],
  [
    { tls: { alpn: ["x".repeat(256)] } },
    RangeError,
    "a protocol in alpn must have 1 to 255 bytes, got 256",
  ],
  [
    { tls: { maxVersion: "SSLv3" } },
    RangeError,
    'maxVersion must be "TLSv1.2" or "TLSv1.3", got "SSLv3"',
  ],
  [
    { tls: { minVersion: "TLSv1.3", maxVersion: "TLSv1.2" } },
    RangeError,
    "minVersion (TLSv1.3) must not be above maxVersion (TLSv1.2)",
  ],
  [{ tls: { key: "x" } }, TypeError, "cert must be a string, got undefined"],
];

Deno.test(
  "connect() refuses bad options for TLS before it dials",
  { permissions: "none" },
  async () => {
    for (const [option, kind, says] of BAD) {
      await assertRejects(() => connect({ port: 9, ...option } as ConnectOptions), kind, says);
    }
  },
);
