import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { CertificateError } from "../../errors.ts";
import { serve, type ServeOptions, type ServerTlsOptions } from "../../serve/serve.ts";
import type { Session, TlsInfo } from "../../session.ts";
import { dialTls } from "../../transport/tls/client.ts";
import { canUnix } from "../_permissions.ts";
import { ask, assertNoDescriptorLeft, echo, readAll, settle, until } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import {
  ca,
  client as roseClient,
  localhost,
  overTls,
  overTlsCounting,
  rose,
  serveTls,
  stranger,
} from "../_tls_serving.ts";

/** Dials, and reads: a client may be done with the handshake before the server has refused it (RFC 8446 §4.4.3). */
async function dialAndRead(dial: () => Promise<Session>): Promise<never> {
  await using client = await dial();
  throw new Error(`read ${await client.readLine()}`);
}

Deno.test("serve() supports TLS, and shows what was negotiated", overTls, async () => {
  const seen: (TlsInfo | undefined)[] = [];
  await using tls = serveTls(
    { tls: { alpn: ["greet/2", "greet/1"] } },
    async (s) => {
      seen.push(s.tls);
      await echo(s);
    },
  );
  await using client = await tls.dial({
    hostname: "localhost",
    tls: { alpn: ["greet/1"], maxVersion: "TLSv1.2" },
  });
  assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(seen, [{
    protocol: "TLSv1.2",
    cipher: client.tls!.cipher,
    alpn: "greet/1",
    serverName: "localhost",
  }]);
  assertEquals(client.tls!.alpn, "greet/1");
  await using newer = await tls.dial();
  assertEquals(await ask(newer, "think"), "think!");
  assertEquals([seen[1]!.protocol, seen[1]!.alpn, seen[1]!.serverName], [
    "TLSv1.3",
    undefined,
    undefined,
  ]);
  const [session] = tls.server.sessions;
  assertEquals([session!.remoteAddr, session!.localAddr], [client.localAddr, client.remoteAddr]);
});

Deno.test(
  "serve() carries five million bytes each way under TLS, then the end",
  overTls,
  async () => {
    const SIZE = 5_000_000;
    await using tls = serveTls({}, async (session) => {
      for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
    });
    await using client = await tls.dial();
    const sent = new Uint8Array(SIZE).map((_, i) => (i * 31 + (i >> 8)) & 0xff);
    const sending = client.send(sent).then(() => client.closeWrite());
    const got = new Uint8Array(SIZE);
    let length = 0;
    for await (const chunk of client.bytes({ borrow: true })) {
      got.set(chunk, length);
      length += chunk.length;
    }
    await sending;
    assertEquals(length, SIZE);
    assert(got.every((byte, i) => byte === sent[i]));
    assertEquals((await client.close()).reason, "peer");
  },
);

Deno.test("serve() shows the certificate for the name that is asked for", overTls, async () => {
  const tls = { certificates: [rose], unknownServerName: "refuse" as const };
  await using server = serveTls({ tls });
  for (
    const [serverName, subject] of [
      ["localhost", "CN=garden"],
      ["rose.test", "CN=rose.test"],
      ["red.rose.test", "CN=rose.test"],
    ] as const
  ) {
    await using client = await server.dial({ tls: { serverName } });
    assertEquals(client.tls!.peerCertificate!.subject, subject);
    assertEquals(await ask(client, "rose"), "rose!");
  }
  await assertRejects(() => server.dial({ tls: { serverName: "think.test" } }));
  const { code, message } = await server.failure();
  assertEquals(code, "server-name");
  assert(message.includes('asks for the server name "think.test", which is not served'), message);
});

Deno.test("serve() refuses a client without a common application protocol", overTls, async () => {
  await using tls = serveTls({ tls: { alpn: ["greet/2"] } });
  await assertRejects(() => dialAndRead(() => tls.dial({ tls: { alpn: ["greet/1"] } })));
  assertEquals((await tls.failure()).code, "alpn");
  assertEquals(tls.server.stats().refusals.handshake, 1);
});

Deno.test("serve() asks clients for certificates, and sessions show them", overTls, async () => {
  const subjects: (string | undefined)[] = [];
  const tls = { ca, clientCertificate: "required" as const };
  await using server = serveTls({ tls }, async (session) => {
    subjects.push(session.tls?.peerCertificate?.subject);
    await echo(session);
  });
  await using rose = await server.dial({ tls: roseClient });
  assertEquals(await ask(rose, "rose"), "rose!");
  assertEquals(subjects, ["CN=rose,O=Garden"]);
  await assertRejects(() => dialAndRead(() => server.dial()));
  await assertRejects(() => dialAndRead(() => server.dial({ tls: stranger })));
  await until(() => server.refusals.length === 2);
  for (const { reason, cause } of server.refusals) {
    assertEquals(reason, "handshake");
    assertInstanceOf(cause, CertificateError);
  }
  assertEquals(subjects.length, 1);
});

Deno.test("serve() serves who has no certificate where one is optional", overTls, async () => {
  const tls = { ca, clientCertificate: "optional" as const };
  await using server = serveTls(
    { tls },
    (session) => session.send(`${session.tls?.peerCertificate?.subject}\n`),
  );
  await using nobody = await server.dial();
  assertEquals(await nobody.readLine(), "undefined");
  await using rose = await server.dial({ tls: roseClient });
  assertEquals(await rose.readLine(), "CN=rose,O=Garden");
});

Deno.test("Server.reloadTls() changes later handshakes and no live session", overTls, async () => {
  await using tls = serveTls();
  await using before = await tls.dial();
  assertEquals(await ask(before, "before"), "before!");
  tls.server.reloadTls({ ...rose, ca, clientCertificate: "required", alpn: ["greet/1"] });
  assertEquals(await ask(before, "still"), "still!");
  assertEquals(before.tls!.peerCertificate!.subject, "CN=garden");
  await assertRejects(
    () => tls.dial({ tls: roseClient }),
    CertificateError,
    'is not for "127.0.0.1" but for DNS:rose.test, DNS:*.rose.test',
  );
  await using after = await tls.dial({
    tls: { ...roseClient, serverName: "rose.test", alpn: ["greet/1"] },
  });
  assertEquals(await ask(after, "after"), "after!");
  assertEquals(after.tls!.alpn, "greet/1");
  await assertRejects(() => dialAndRead(() => tls.dial({ tls: { serverName: "rose.test" } })));
});

Deno.test(
  "Server.reloadTls() throws, and nothing changes, where an option is wrong",
  overTls,
  async () => {
    await using tls = serveTls();
    const { server } = tls;
    assertThrows(
      () => server.reloadTls({ cert: rose.cert, key: localhost.key }),
      TypeError,
      "key does not belong to cert",
    );
    assertThrows(
      () => server.reloadTls({ ...rose, clientCertificate: "required" }),
      TypeError,
      'clientCertificate "required" needs a ca',
    );
    assertThrows(
      () => server.reloadTls({ ...rose, alnp: ["greet/1"] } as ServerTlsOptions),
      TypeError,
      "there is no option tls.alnp: did you mean tls.alpn?",
    );
    await using client = await tls.dial();
    assertEquals(client.tls!.peerCertificate!.subject, "CN=garden");
    await using plain = serve({ port: 0 }, echo);
    assertThrows(() => plain.reloadTls(rose), TypeError, "the server was started without tls");
  },
);

Deno.test("serve() refuses bad options for TLS by name and value", overTls, () => {
  const cases: [options: object, kind: typeof TypeError | typeof RangeError, says: string][] = [
    [{ tls: {} }, TypeError, "cert must be a string, got undefined"],
    [
      { tls: { ...localhost, certificates: [{ ...rose, name: ["rose"] }] } },
      TypeError,
      "there is no option certificates[0].name: did you mean certificates[0].names?",
    ],
    [
      { tls: { ...localhost, cert: "x" } },
      TypeError,
      "cert must be one or more certificates in PEM",
    ],
    [
      { tls: { ...localhost, certificates: [{ ...rose, key: localhost.key }] } },
      TypeError,
      "certificates[0].key does not belong to certificates[0].cert",
    ],
    [
      { tls: { ...localhost, minVersion: "TLSv1.1" } },
      RangeError,
      'minVersion must be "TLSv1.2" or "TLSv1.3", got "TLSv1.1"',
    ],
    [{ tls: null }, TypeError, "tls must be an object, got null"],
    [{ tls: true }, TypeError, "tls must be an object, got true"],
    [
      { tls: { ...localhost, mode: "off" } },
      RangeError,
      'tls.mode must be "required" or "detect" or "starttls", got "off"',
    ],
    [
      { handshakeTimeout: 0 },
      RangeError,
      "handshakeTimeout must be more than 0 ms (Infinity for none), got 0",
    ],
    [
      { tls: localhost, handshakeTimeout: "5s" },
      TypeError,
      "handshakeTimeout must be a number of milliseconds, got a string",
    ],
  ];
  for (const [options, kind, says] of cases) {
    assertThrows(() => serve({ port: 0, ...options } as ServeOptions, echo), kind, says);
  }
});

Deno.test("serve() supports TLS on a Unix socket", {
  ...overTls,
  ignore: overTls.ignore || !canUnix,
}, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/greet.sock`;
  await using _server = serve({ path, tls: localhost }, echo);
  await using client = await connect({ path, tls: { ca, serverName: "localhost" } });
  assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(client.tls!.protocol, "TLSv1.3");
});

Deno.test("serve() sees through that a TLS session was cut off", overTls, async () => {
  const ends: unknown[] = [];
  const observer = {
    onSessionEnd: (_: Session, { cause }: { cause?: unknown }) => ends.push(cause),
  };
  await using tls = serveTls({ observer });
  const raw = await Deno.connect({ port: tls.port });
  const client = await dialTls(raw, { serverName: "localhost", ca }, new AbortController().signal);
  await client.write(new TextEncoder().encode("half a li"));
  await until(() => tls.server.stats().bytesRead === 9);
  raw.close();
  client.close();
  await until(() => ends.length === 1);
  assertInstanceOf(ends[0], Deno.errors.UnexpectedEof);
});

Deno.test("serve() leaves no descriptor of sessions under TLS", overTlsCounting, async () => {
  await assertNoDescriptorLeft(async () => {
    await using tls = serveTls();
    for (let i = 0; i < 20; i++) {
      const client = await tls.dial();
      assertEquals(await ask(client, "rose"), "rose!");
      if (i % 3 === 0) client.abort();
      else if (i % 3 === 1) await client.close();
      else {
        await client.closeWrite();
        assertEquals(await readAll(client), "");
        await client.close();
      }
    }
  });
  await settle();
});
