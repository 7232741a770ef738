import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { CertificateError } from "../../../errors.ts";
import type { Connection } from "../../../transport/connection.ts";
import { memoryPair } from "../../../transport/memory.ts";
import type { TlsServerOptions } from "../../../transport/tls/options.ts";
import { TlsAcceptor } from "../../../transport/tls/server.ts";
import { badCertificates } from "../../_bad_certificates.ts";
import { type Certificate, makeCertificate } from "../../_certificates.ts";
import { Program } from "../../_programs.ts";
import { makeTempDir } from "../../_temp_dir.ts";
import {
  certificates,
  clientOptions,
  connectionOf,
  failureOf,
  handshake,
  HANDSHAKE_TIMEOUT,
  overTls,
  serverOptions,
  tlsPair,
} from "../../_tls.ts";
import { Peer } from "../../_transports.ts";

/** A server that asks for certificates of `ca`. */
function asking(
  clientCertificate: "optional" | "required",
  options: Partial<TlsServerOptions> = {},
): TlsServerOptions {
  return serverOptions({ clientCertificate, ca: certificates.ca.cert, ...options });
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  for (const mode of ["optional", "required"] as const) {
    Deno.test(`A bad client certificate is refused (${mode}, ${version})`, overTls, async (t) => {
      for (const [name, { cert, key }, problem] of await badCertificates(certificates, "client")) {
        await t.step(name, async () => {
          const client = clientOptions({ cert, key, maxVersion: version });
          const { server, client: dialled } = await handshake(memoryPair(), asking(mode), client);
          if (dialled.status === "fulfilled") dialled.value.close();
          const error = failureOf(server);
          assertInstanceOf(error, CertificateError);
          assert(error.message.includes(`the client's certificate ${problem}`), error.message);
        });
      }
    });
  }
}

Deno.test(
  "A client without a certificate is accepted only if optional",
  overTls,
  async () => {
    const [server, client] = await tlsPair(asking("optional"));
    assertEquals(server.tls!.peerCertificate, undefined);
    for (const connection of [server, client]) connection.close();

    const results = await handshake(memoryPair(), asking("required"));
    const error = failureOf(results.server);
    assertInstanceOf(error, CertificateError);
    assert(error.message.endsWith("the client sent no certificate"), error.message);
    const refused = connectionOf(results.client); // which is done before the server has looked
    await assertRejects(
      () => refused.read(new Uint8Array(1)),
      CertificateError,
      "requires a certificate",
    );
    await assertRejects(
      () => refused.write(new Uint8Array(1)),
      CertificateError,
      "requires a certificate",
    );
    refused.close();
  },
);

Deno.test("A client's certificate is not looked at unless asked for", overTls, async () => {
  const { cert, key } = certificates.client;
  const [server, client] = await tlsPair(serverOptions(), clientOptions({ cert, key }));
  assertEquals(server.tls!.peerCertificate, undefined);
  for (const connection of [server, client]) connection.close();
});

Deno.test("TlsAcceptor refuses clients that send an invalid certificate", overTls, async () => {
  const { ca, client } = certificates;
  const garbage = `-----BEGIN CERTIFICATE-----\n${btoa("0\x05hello")}\n-----END CERTIFICATE-----\n`;
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dialled = Deno.connectTls({ // which does not look at what it shows
    hostname: "localhost",
    port: listener.addr.port,
    caCerts: [ca.cert],
    cert: client.cert + garbage,
    key: client.key,
  });
  const acceptor = new TlsAcceptor(asking("optional"));
  await assertRejects(
    async () => acceptor.accept(await listener.accept(), HANDSHAKE_TIMEOUT),
    CertificateError,
    "the client's certificate comes with another certificate that cannot be read",
  );
  (await dialled).close();
});

/** Lets openssl connect to an acceptor, and gives what came of that. */
async function connectWith(acceptor: TlsAcceptor, ...args: string[]): Promise<Connection> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = ["-connect", `127.0.0.1:${listener.addr.port}`, "-servername", "localhost"];
  await using program = new Program("openssl", ["s_client", ...address, ...args]);
  const raw = await listener.accept();
  try {
    const connection = await acceptor.accept(raw, HANDSHAKE_TIMEOUT);
    const peer = new Peer(connection);
    await program.type("hello\n");
    assertEquals(await peer.text(6), "hello\n"); // it has read the tickets before
    await peer.send("bye\n");
    await program.stdout.until(/bye/);
    await Promise.all([connection.closeWrite(), program.ended()]);
    return connection;
  } catch (error) {
    await program.ended();
    throw error;
  }
}

for (const version of ["-tls1_2", "-tls1_3"]) {
  Deno.test(`A session is resumed, with its client certificate (${version})`, overTls, async () => {
    await using dir = await makeTempDir();
    const { certFile, keyFile } = certificates.client;
    const shows = [version, "-cert", certFile, "-key", keyFile];
    const store = `${dir.path}/session`;
    const acceptor = new TlsAcceptor(asking("required"));
    const first = await connectWith(acceptor, ...shows, "-sess_out", store);
    const second = await connectWith(acceptor, version, "-sess_in", store);
    assertEquals(second.tls!.peerCertificate, first.tls!.peerCertificate);
    acceptor.reload(asking("required"));
    const third = await connectWith(acceptor, version, "-sess_in", store);
    for (const connection of [first, second, third]) connection.close();
  });

  Deno.test(
    `A session is not resumed with a client certificate that has expired since (${version})`,
    overTls,
    async () => {
      await using dir = await makeTempDir();
      const { certFile, keyFile } = certificates.client;
      const shows = [version, "-cert", certFile, "-key", keyFile];
      const store = `${dir.path}/session`;
      const acceptor = new TlsAcceptor(asking("required"));
      const first = await connectWith(acceptor, ...shows, "-sess_out", store);
      first.close();
      const { now } = Date; // the TLS layer has a clock of its own, which resumes the session
      Date.now = () => first.tls!.peerCertificate!.validTo.getTime() + 1;
      try {
        await assertRejects(
          () => connectWith(acceptor, version, "-sess_in", store),
          CertificateError,
          "has expired",
        );
      } finally {
        Date.now = now;
      }
    },
  );

  Deno.test(
    `A session is resumed after reload() by a client that is still trusted (${version})`,
    overTls,
    async () => {
      await using dir = await makeTempDir();
      const { ca, rogueCa, client: { certFile, keyFile } } = certificates;
      const store = `${dir.path}/session`;
      const acceptor = new TlsAcceptor(asking("required"));
      const shows = [version, "-cert", certFile, "-key", keyFile];
      const first = await connectWith(acceptor, ...shows, "-sess_out", store);
      acceptor.reload(asking("required", { ca: [rogueCa.cert, ca.cert] }));
      const second = await connectWith(acceptor, version, "-sess_in", store);
      assertEquals(second.tls!.peerCertificate, first.tls!.peerCertificate);
      for (const connection of [first, second]) connection.close();
    },
  );

  // Deno 2.9.6 lets every ticket of the process resume a session at every server of the process.
  Deno.test(
    `A session is not resumed by way of another server (${version})`,
    overTls,
    async (t) => {
      await using dir = await makeTempDir();
      const { rogueCa, client } = certificates;
      const rogue = await makeCertificate({
        subject: "/CN=rose",
        extensions: ["subjectAltName=DNS:rose"],
        by: rogueCa,
      });
      const others: Record<string, [TlsServerOptions, Certificate]> = {
        "that asks for no certificate": [serverOptions(), client],
        "that trusts another authority": [asking("required", { ca: rogueCa.cert }), rogue],
        "before its authority was changed": [asking("required"), client],
      };
      for (const [name, [options, { certFile, keyFile }]] of Object.entries(others)) {
        for (const mode of ["optional", "required"] as const) {
          await t.step(`${name}: ${mode}`, async () => {
            const store = `${dir.path}/session`;
            const shows = [version, "-cert", certFile, "-key", keyFile];
            const other = new TlsAcceptor(options);
            (await connectWith(other, ...shows, "-sess_out", store)).close();
            if (name.startsWith("before")) {
              other.reload(asking(mode, { ca: rogueCa.cert }));
            }
            const acceptor = name.startsWith("before") ? other : new TlsAcceptor(asking(mode));
            const resumes = connectWith(acceptor, ...shows, "-sess_in", store);
            if (mode === "optional" && name.endsWith("no certificate")) {
              const connection = await resumes;
              assertEquals(connection.tls!.peerCertificate, undefined);
              return connection.close();
            }
            await assertRejects(() => resumes, CertificateError);
          });
        }
      }
    },
  );
}
