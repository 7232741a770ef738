import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { CertificateError, TlsHandshakeError } from "../../../errors.ts";
import { memoryPair } from "../../../transport/memory.ts";
import { checkTlsClientOptions, dialTls } from "../../../transport/tls/client.ts";
import type { TlsClientOptions } from "../../../transport/tls/options.ts";
import { type Certificate, makeCertificate } from "../../_certificates.ts";
import { Program } from "../../_programs.ts";
import {
  certificates,
  clientOptions,
  connectionOf,
  failureOf,
  handshake,
  overTls,
  serverOptions,
  tlsPair,
} from "../../_tls.ts";
import { Peer, tcpPair } from "../../_transports.ts";

const never = new AbortController().signal;

/** Shakes hands with a server that has this certificate; what the client says against it, if anything. */
async function verdict(
  { cert, key }: { cert: string; key: string },
  options: TlsClientOptions = {},
): Promise<unknown> {
  const { server, client } = await handshake(memoryPair(), { cert, key }, clientOptions(options));
  for (const side of [server, client]) if (side.status === "fulfilled") side.value.close();
  return client.status === "rejected" ? client.reason : undefined;
}

/** A certificate for a server. */
function certificateFor(altName: string, by: Certificate = certificates.ca): Promise<Certificate> {
  const extensions = [`subjectAltName=${altName}`];
  return makeCertificate({ subject: "/CN=localhost", extensions, by });
}

Deno.test("dialTls() wants a certificate for the host", overTls, async () => {
  const certificate = await certificateFor(
    "DNS:*.example.org,DNS:xn--bcher-kva.example,IP:192.0.2.1,IP:2001:db8::1",
  );
  for (
    const serverName of [
      "www.example.org",
      "WWW.Example.ORG.",
      "bücher.example",
      "192.0.2.1",
      "2001:0db8:0::1",
    ]
  ) assertEquals(await verdict(certificate, { serverName }), undefined);
  for (
    const serverName of [
      "example.org",
      "a.b.example.org",
      "localhost", // the certificate's common name does not count (RFC 9525 §2)
      "192.0.2.2",
      "2001:db8::2",
      "b.example",
    ]
  ) {
    const error = await verdict(certificate, { serverName });
    assertInstanceOf(error, CertificateError);
    assertStringIncludes(error.message, `not for "${serverName}" but for DNS:*.example.org, `);
    assertEquals([error.code, error.remoteAddr], ["certificate", "memory a"]);
  }
});

Deno.test("dialTls() verifies the dialled address by default", overTls, async () => {
  const results = await handshake(await tcpPair(), serverOptions(), { ca: certificates.ca.cert });
  const client = connectionOf(results.client);
  assertEquals(client.tls!.serverName, undefined);
  for (const connection of [client, connectionOf(results.server)]) connection.close();
  const [near, far] = memoryPair();
  await assertRejects(
    () => dialTls(far, { ca: certificates.ca.cert }, never),
    TypeError,
    "serverName must be a host name or an IP address, got undefined",
  );
  assertEquals(await new Peer(near).countToEnd(), 0); // it is closed
  near.close();
});

Deno.test("dialTls() does not read one name as two", overTls, async () => {
  const certificate = await makeCertificate({
    subject: "/CN=x",
    extensions: ["subjectAltName=@names", "[names]", 'DNS.1="a.example, DNS:localhost"'],
    by: certificates.ca,
  });
  assertInstanceOf(await verdict(certificate), CertificateError);
});

Deno.test("dialTls() refuses certificates that it cannot trust", overTls, async (t) => {
  const { ca, rogueCa, client } = certificates;
  const extensions = ["subjectAltName=DNS:localhost"];
  const subject = "/CN=localhost";
  const child = await makeCertificate({ subject, extensions, by: client });
  const cases: [string, { cert: string; key: string }, string][] = [
    [
      "of another authority",
      await certificateFor("DNS:localhost", rogueCa),
      "is not signed by a trusted authority",
    ],
    ["signed by itself", await makeCertificate({ subject, extensions }), "is self-signed"],
    [
      "expired",
      await makeCertificate({ subject, extensions, by: ca, since: 30, days: -1 }),
      "has expired: it was valid until 20",
    ],
    [
      "not valid yet",
      await makeCertificate({ subject, extensions, by: ca, since: -1 }),
      "is not valid yet: it is valid from 20",
    ],
    [
      "for clients",
      await makeCertificate({
        subject,
        extensions: [...extensions, "extendedKeyUsage=clientAuth"],
        by: ca,
      }),
      "is not for a server (extended key usage)",
    ],
    [
      "signed by no authority",
      { ...child, cert: child.cert + client.cert },
      'chains to "CN=rose,O=Garden", whose certificate is not a CA certificate',
    ],
    [
      "without any name",
      await makeCertificate({
        subject,
        extensions: ["keyUsage=digitalSignature"],
        by: ca,
      }),
      'not for "localhost" but for no host at all',
    ],
    // Of such a one, Deno 2.9.6 does not even check that the server has its key.
    ["of X.509 version 1", await makeCertificate({ subject, by: ca }), "of X.509 version 1"],
  ];
  for (const [name, certificate, problem] of cases) {
    await t.step(name, async () => {
      const error = await verdict(certificate);
      assertInstanceOf(error, CertificateError);
      assertStringIncludes(error.message, problem);
    });
  }
});

Deno.test("dialTls() trusts `ca` alone, and without it the roots of Deno", overTls, async () => {
  const { ca, rogueCa, server } = certificates;
  assertEquals(await verdict(server, { ca: [rogueCa.cert, ca.cert] }), undefined);
  assertEquals(await verdict(server, { ca: rogueCa.cert + ca.cert }), undefined);
  assertInstanceOf(await verdict(server, { ca: rogueCa.cert }), CertificateError);
  const { cert, key } = server;
  const results = await handshake(memoryPair(), { cert, key }, { serverName: "localhost" });
  assertInstanceOf(failureOf(results.client), CertificateError);
});

Deno.test("dialTls() ignores certificate errors only on demand", overTls, async () => {
  const rogue = await certificateFor("DNS:elsewhere", certificates.rogueCa);
  const { cert, key } = rogue;
  const careless = { serverName: "localhost", unsafelyIgnoreCertificateErrors: true };
  // Twice, since a session of the careless client must not be resumed by the other.
  for (let round = 0; round < 2; round++) {
    const [server, client] = await tlsPair({ cert, key }, careless);
    assertEquals(client.tls!.peerCertificate, undefined);
    const peer = new Peer(client);
    await new Peer(server).send("with tickets");
    assertEquals(await peer.text(12), "with tickets");
    for (const connection of [server, client]) connection.close();
    const strict = await handshake(memoryPair(), { cert, key }, { serverName: "localhost" });
    assertInstanceOf(failureOf(strict.client), CertificateError);
  }
});

Deno.test("dialTls() refuses servers that show what is no certificate", overTls, async () => {
  const { ca, server } = certificates;
  const garbage = `-----BEGIN CERTIFICATE-----\n${btoa("0\x05hello")}\n-----END CERTIFICATE-----\n`;
  // Deno's own server does not look at what it shows.
  using listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    cert: server.cert + garbage,
    key: server.key,
  });
  const raw = await Deno.connect({
    hostname: "127.0.0.1",
    port: (listener.addr as Deno.NetAddr).port,
  });
  const accepted = listener.accept();
  await assertRejects(
    () => dialTls(raw, clientOptions({ ca: ca.cert }), never),
    CertificateError,
    "the server's certificate comes with another certificate that cannot be read",
  );
  using conn = await accepted;
  await assertRejects(() => conn.handshake(), Error, "CertificateUnknown"); // it is told
});

Deno.test("dialTls() reports a server without TLS", overTls, async () => {
  const [near, far] = memoryPair();
  const dialled = dialTls(far, clientOptions(), never);
  await new Peer(near).send("220 mail.example ESMTP\r\n");
  const error = await assertRejects(() => dialled, TlsHandshakeError, "does not speak TLS");
  assertEquals(error.code, "not-tls");
  near.close();
});

Deno.test("dialTls() reports a server that leaves", overTls, async () => {
  const [near, far] = memoryPair();
  const dialled = dialTls(far, clientOptions(), never);
  await near.closeWrite();
  const error = await assertRejects(() => dialled, TlsHandshakeError, "before the handshake");
  assertEquals(error.code, "closed");
  near.close();
});

Deno.test(
  "dialTls() sends openssl a certificate, and reports if it is not accepted",
  overTls,
  async (t) => {
    const { ca, server, client, rogueCa } = certificates;
    const rogue = await makeCertificate({ subject: "/CN=rose", by: rogueCa });
    for (const { cert, key } of [client, rogue]) {
      const isTaken = cert === client.cert;
      await t.step(isTaken ? "taken" : "not taken", async () => {
        const files = ["-cert", server.certFile, "-key", server.keyFile, "-CAfile", ca.certFile];
        const args = ["s_server", "-accept", "127.0.0.1:0", ...files, "-Verify", "1"];
        await using program = new Program("openssl", [...args, "-verify_return_error"]);
        const [, port] = await program.stdout.until(/ACCEPT 127\.0\.0\.1:(\d+)/);
        const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
        const connection = await dialTls(raw, clientOptions({ cert, key }), never);
        const peer = new Peer(connection);
        if (isTaken) {
          await peer.send("hello, openssl\n");
          await program.stdout.until(/hello, openssl/);
        } else {
          await assertRejects(() => peer.bytes(1), CertificateError, "our certificate");
        }
        connection.close();
      });
    }
  },
);

Deno.test("dialTls() sends openssl an alert about its certificate", overTls, async (t) => {
  const { ca, server, client } = certificates;
  const { certFile, keyFile } = await makeCertificate({
    subject: "/CN=x",
    extensions: ["subjectAltName=DNS:localhost"],
    by: ca,
    since: 30,
    days: -1,
  });
  const expired = ["-cert", certFile, "-key", keyFile];
  const unknown = ["-cert", server.certFile, "-key", server.keyFile];
  for (const version of ["-tls1_2", "-tls1_3"]) {
    for (
      const [alert, shown, trusted] of [
        ["certificate expired", expired, ca],
        ["unknown ca", unknown, client],
      ] as const
    ) {
      await t.step(`${alert} (${version})`, async () => {
        const args = ["s_server", "-accept", "127.0.0.1:0", version, ...shown, "-Verify", "1"];
        await using program = new Program("openssl", args);
        const [, port] = await program.stdout.until(/ACCEPT 127\.0\.0\.1:(\d+)/);
        const raw = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
        const { cert, key } = client;
        const options = clientOptions({ cert, key, ca: trusted.cert });
        await assertRejects(() => dialTls(raw, options, never), CertificateError);
        await program.stderr.until(new RegExp(`alert ${alert}`));
        assert(!program.stdout.text.includes("rose")); // nor has it been shown who the client is
      });
    }
  }
});

Deno.test(
  "dialTls() resumes no session that was begun with other certificates",
  overTls,
  async () => {
    const { ca, client } = certificates;
    const asks = serverOptions({ clientCertificate: "optional", ca: ca.cert });
    const subjects: (string | undefined)[] = [];
    for (const shown of [client, undefined, client]) {
      const own = shown && { cert: shown.cert, key: shown.key };
      const [server, dialled] = await tlsPair(asks, clientOptions(own));
      await new Peer(server).send("tickets");
      assertEquals(await new Peer(dialled).text(7), "tickets");
      subjects.push(server.tls!.peerCertificate?.subject);
      for (const connection of [server, dialled]) connection.close();
    }
    assertEquals(subjects, ["CN=rose,O=Garden", undefined, "CN=rose,O=Garden"]);
  },
);

Deno.test("checkTlsClientOptions() throws what is wrong", overTls, () => {
  const { server, client } = certificates;
  const wrong: [TlsClientOptions, string][] = [
    [{ serverName: "" }, 'serverName must be a host name or an IP address, got ""'],
    [{ serverName: "a b" }, "serverName must be a host name"],
    [{ serverName: 1 as never }, "got a number"],
    [{ cert: client.cert }, "key must be a string, got undefined"],
    [{ key: client.key }, "cert must be a string, got undefined"],
    [{ cert: client.cert, key: server.key }, "key does not belong to cert"],
    [{ ca: "none" }, "ca must be one or more certificates in PEM"],
  ];
  for (const [options, problem] of wrong) {
    let error: unknown;
    try {
      checkTlsClientOptions(options);
    } catch (thrown) {
      error = thrown;
    }
    assertInstanceOf(error, TypeError);
    assert(error.message.includes(problem), error.message);
  }
});
