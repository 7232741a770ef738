import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CertificateError } from "../../../errors.ts";
import { memoryPair } from "../../../transport/memory.ts";
import type { TlsServerOptions } from "../../../transport/tls/options.ts";
import { TlsAcceptor } from "../../../transport/tls/server.ts";
import { type Certificate, makeCertificate } from "../../_certificates.ts";
import { Program } from "../../_programs.ts";
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
import { makeTempDir } from "../../_temp_dir.ts";
import { Peer } from "../../_transports.ts";

/** A certificate for some names. */
function certificateFor(subject: string, ...names: string[]): Promise<Certificate> {
  const altNames = names.map((name) => `DNS:${name}`).join(",");
  const extensions = names.length > 0
    ? [`subjectAltName=${altNames}`]
    : ["keyUsage=digitalSignature"];
  return makeCertificate({ subject: `/CN=${subject}`, extensions, by: certificates.ca });
}

/** Whose certificate a client is shown, or what it says against it. */
async function shownTo(serverName: string, acceptor: TlsAcceptor): Promise<string> {
  const { server, client } = await handshake(memoryPair(), acceptor, clientOptions({ serverName }));
  if (client.status === "rejected") {
    failureOf(server); // the client has not finished
    return String(client.reason);
  }
  const accepted = connectionOf(server);
  accepted.close();
  client.value.close();
  assertEquals(accepted.tls!.serverName, /^[\d.]+$/.test(serverName) ? undefined : serverName);
  return client.value.tls!.peerCertificate!.subject;
}

Deno.test("TlsAcceptor chooses a certificate by server name", overTls, async () => {
  const exact = await certificateFor("exact", "www.example.org");
  const wild = await certificateFor("wild", "*.example.org", "example.org");
  const dns = ["a.example.net", "b.example.net", "*.xn--bcher-kva.example"];
  const named = await certificateFor("named", ...dns);
  const acceptor = new TlsAcceptor(serverOptions({
    certificates: [wild, exact, { ...named, names: ["A.Example.NET", "*.bücher.example"] }],
  }));
  assertEquals(await shownTo("www.example.org", acceptor), "CN=exact");
  assertEquals(await shownTo("other.example.org", acceptor), "CN=wild");
  assertEquals(await shownTo("example.org", acceptor), "CN=wild");
  assertEquals(await shownTo("a.example.net", acceptor), "CN=named");
  assertEquals(await shownTo("www.xn--bcher-kva.example", acceptor), "CN=named");
  assertEquals(await shownTo("localhost", acceptor), "CN=garden");
  assertEquals(await shownTo("127.0.0.1", acceptor), "CN=garden"); // which is not sent as a name
  for (const unknown of ["a.b.example.org", "b.example.net", "org"]) {
    const problem = await shownTo(unknown, acceptor);
    assert(problem.includes(`not for "${unknown}" but for DNS:localhost`), problem);
  }
});

Deno.test("TlsAcceptor knows no final dot in a server name", overTls, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = ["-connect", `127.0.0.1:${listener.addr.port}`];
  const args = ["s_client", ...address, "-servername", "LocalHost."];
  await using openssl = new Program("openssl", args);
  const acceptor = new TlsAcceptor(serverOptions({ unknownServerName: "refuse" }));
  const connection = await acceptor.accept(await listener.accept(), HANDSHAKE_TIMEOUT);
  assertEquals(connection.tls!.serverName, "localhost");
  connection.close();
  await openssl.ended();
});

/** What openssl makes of a certificate and its key: one file for both, with remarks. */
async function inOneFile({ certFile, keyFile }: Certificate): Promise<string> {
  await using dir = await makeTempDir();
  const path = `${dir.path}/both.p12`;
  const run = async (...args: string[]): Promise<string> => {
    await using openssl = new Program("openssl", ["pkcs12", ...args]);
    const { code, stdout, stderr } = await openssl.ended();
    assertEquals(code, 0, stderr);
    return stdout;
  };
  const secret = ["-passin", "pass:", "-passout", "pass:"];
  await run("-export", "-in", certFile, "-inkey", keyFile, "-out", path, "-passout", "pass:");
  return await run("-in", path, "-nodes", ...secret);
}

Deno.test("A certificate and its key may stand in one text", overTls, async () => {
  const { server, client, ca } = certificates;
  const other = await certificateFor("other", "other");
  const texts: Record<string, [server: string, client: string]> = {
    "the certificate first": [server.cert + server.key, client.cert + client.key],
    "the key first": [server.key + server.cert, client.key + client.cert],
    "as from openssl pkcs12": [await inOneFile(server), await inOneFile(client)],
    "with another key": [
      other.key + server.cert + server.key,
      client.cert + other.key + client.key,
    ],
  };
  for (const [name, [ofServer, ofClient]] of Object.entries(texts)) {
    const asking = { clientCertificate: "required", ca: ca.cert } as const;
    const [accepted, dialled] = await tlsPair(
      { cert: ofServer, key: ofServer, ...asking },
      clientOptions({ cert: ofClient, key: ofClient }),
    );
    assertEquals(accepted.tls!.peerCertificate!.subject, "CN=rose,O=Garden", name);
    for (const connection of [accepted, dialled]) connection.close();
  }
});

Deno.test("TlsAcceptor refuses unknown server names if told so", overTls, async () => {
  const wild = await certificateFor("wild", "*.example.org");
  const acceptor = new TlsAcceptor(
    serverOptions({ unknownServerName: "refuse", certificates: [wild] }),
  );
  assertEquals(await shownTo("a.example.org", acceptor), "CN=wild");
  assertEquals(await shownTo("localhost", acceptor), "CN=garden");
  assertEquals(await shownTo("127.0.0.1", acceptor), "CN=garden");
  const { server, client } = await handshake(
    memoryPair(),
    acceptor,
    clientOptions({ serverName: "elsewhere" }),
  );
  assertEquals(
    String(failureOf(server)),
    'TlsHandshakeError: TLS handshake with memory b failed: the client asks for the server name "elsewhere", which is not served',
  );
  failureOf(client);
});

Deno.test(
  "TlsAcceptor keeps ALPN and client certificates with chosen certificates",
  overTls,
  async () => {
    const exact = await certificateFor("exact", "www.example.org");
    const { client, ca } = certificates;
    const acceptor = new TlsAcceptor(serverOptions({
      certificates: [exact],
      alpn: ["greet"],
      clientCertificate: "required",
      ca: ca.cert,
      minVersion: "TLSv1.3",
    }));
    const names = { serverName: "www.example.org", alpn: ["greet"] };
    const { cert, key } = client;
    const [accepted, dialled] = await tlsPair(acceptor, clientOptions({ ...names, cert, key }));
    assertEquals(accepted.tls!.alpn, "greet");
    assertEquals(accepted.tls!.peerCertificate!.subject, "CN=rose,O=Garden");
    for (const connection of [accepted, dialled]) connection.close();
    const refused = await handshake(memoryPair(), acceptor, clientOptions(names));
    assert(failureOf(refused.server) instanceof CertificateError);
    connectionOf(refused.client).close();
    const old = { ...names, cert, key, maxVersion: "TLSv1.2" as const };
    const outdated = await handshake(memoryPair(), acceptor, clientOptions(old));
    assertEquals((failureOf(outdated.server) as { code?: string }).code, "version");
  },
);

Deno.test(
  "TlsAcceptor.reload() is for new sessions, and changes nothing if it throws",
  overTls,
  async () => {
    const renewed = await certificateFor("renewed", "localhost");
    const acceptor = new TlsAcceptor(serverOptions());
    const [server, client] = await tlsPair(acceptor);
    assertThrows(() => acceptor.reload({ cert: renewed.cert, key: "" }), TypeError, "key");
    assertEquals(await shownTo("localhost", acceptor), "CN=garden");
    acceptor.reload(renewed);
    assertEquals(await shownTo("localhost", acceptor), "CN=renewed");
    const peer = new Peer(client);
    await peer.send("still here");
    assertEquals(await new Peer(server).text(10), "still here");
    for (const connection of [server, client]) connection.close();
  },
);

Deno.test("TlsAcceptor throws at once what is wrong with its options", overTls, async () => {
  const { server, client, ca } = certificates;
  const other = await certificateFor("other");
  const wrong: [Partial<TlsServerOptions>, string][] = [
    [{ cert: undefined! }, "cert must be a string, got undefined"],
    [{ cert: "" }, "cert must not be empty"],
    [{ cert: "a.pem" }, "cert must be one or more certificates in PEM, not the name of a file"],
    [{ cert: "non\nsense" }, "cert must be one or more certificates in PEM"],
    [{ cert: server.cert + BAD_PEM }, "cert must be one or more certificates in PEM"],
    [{ key: "a.key" }, "key must be a private key in PEM, without a passphrase, not the name of"],
    [{ key: server.cert }, "key must be a private key in PEM"],
    [{ key: client.key }, "key does not belong to cert"],
    [{ ca: ca.cert }, 'ca is for clients\' certificates, but clientCertificate is "none"'],
    [{ clientCertificate: "required" }, 'clientCertificate "required" needs a ca'],
    [{ clientCertificate: "required", ca: "nonsense" }, "ca must be one or more certificates"],
    [{ clientCertificate: "required", ca: [] }, "ca must not be empty"],
    [{ certificates: [{ ...other, key: client.key }] }, "certificates[0].key does not belong to"],
    [
      { certificates: [{ ...other, names: "a.test" as never }] },
      "certificates[0].names must be an array of host names, got a string",
    ],
    ...["", "*", "*.", "a.*.test", "*a.test", "a b", "192.0.2.7"].map((
      name,
    ): [Partial<TlsServerOptions>, string] => [
      { certificates: [{ ...other, names: ["a.test", name] }] },
      `certificates[0].names[1] must be a host name, whose first label may be *, got "${name}"`,
    ]),
    [{ certificates: "all" as never }, "certificates must be an array, got a string"],
    [{ certificates: [null as never] }, "certificates[0] must be an object, got null"],
    [{ alpn: [""] }, "a protocol in alpn must not be empty"],
    [{ alpn: "http" as never }, "alpn must be an array, got a string"],
  ];
  for (const [options, problem] of wrong) {
    assertThrows(() => new TlsAcceptor(serverOptions(options)), TypeError, problem);
  }
  const outOfRange: [object, string][] = [
    [{ alpn: ["x".repeat(256)] }, "a protocol in alpn must have 1 to 255 bytes, got 256"],
    [{ minVersion: "TLSv1.1" }, 'minVersion must be "TLSv1.2" or "TLSv1.3", got "TLSv1.1"'],
    [{ maxVersion: 13 }, "maxVersion must be"],
    [{ minVersion: "TLSv1.3", maxVersion: "TLSv1.2" }, "minVersion (TLSv1.3) must not be above"],
    [{ clientCertificate: "yes" }, "clientCertificate must be"],
    [{ unknownServerName: "ignore" }, 'unknownServerName must be "default" or "refuse"'],
  ];
  for (const [options, problem] of outOfRange) {
    assertThrows(() => new TlsAcceptor(serverOptions(options)), RangeError, problem);
  }
});

const BAD_PEM = `-----BEGIN CERTIFICATE-----\n${btoa("none")}\n-----END CERTIFICATE-----\n`;

Deno.test("TlsAcceptor never puts a key into an error", overTls, () => {
  const secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
  try {
    new TlsAcceptor(serverOptions({ key: secret }));
  } catch (error) {
    assert(!Deno.inspect(error).includes("c2VjcmV0"));
    return;
  }
  throw new Error("it took the key");
});

Deno.test("TlsAcceptor serves curl", overTls, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `https://127.0.0.1:${listener.addr.port}/`;
  await using curl = new Program("curl", ["-sS", "--cacert", certificates.ca.certFile, url]);
  const acceptor = new TlsAcceptor(serverOptions({ alpn: ["http/1.1"] }));
  const connection = await acceptor.accept(await listener.accept(), HANDSHAKE_TIMEOUT);
  const peer = new Peer(connection);
  assertEquals(await peer.text(4), "GET ");
  await peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, curl!");
  await connection.closeWrite();
  assertEquals(await curl.ended(), { code: 0, stdout: "hello, curl!", stderr: "" });
  assertEquals(connection.tls!.alpn, "http/1.1");
  connection.close();
});

/** What Python's `ssl` makes of the end of a connection. */
const READ_TO_END = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
tls = context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
try:
    while data := tls.recv(100): print(data.decode(), end="")
    print(" end")
    tls.unwrap()
    print("close_notify both ways")
except ssl.SSLEOFError:
    print(" cut")
`;

for (const [end, printed] of [["closeWrite", " end"], ["close", " cut"]] as const) {
  Deno.test(`Python sees the${printed} of a connection after ${end}()`, overTls, async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const args = ["-c", READ_TO_END, `${listener.addr.port}`, certificates.ca.certFile];
    await using python = new Program("python3", args);
    const acceptor = new TlsAcceptor(serverOptions());
    const connection = await acceptor.accept(await listener.accept(), HANDSHAKE_TIMEOUT);
    await new Peer(connection).send("hello");
    if (end === "close") connection.close();
    else {
      await connection.closeWrite();
      assertEquals(await connection.read(new Uint8Array(1)), null);
      connection.close();
    }
    const { stdout, stderr } = await python.ended();
    assertEquals(stderr, "");
    const rest = end === "close" ? "" : "close_notify both ways\n";
    assertEquals(stdout, `hello${printed}\n${rest}`);
  });
}

Deno.test("A read reports that Python has cut the connection", overTls, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  // What it has not read, the tickets among it, would make its end a reset.
  const cuts = "tls.recv(9); tls.sendall(b'half'); socket.socket(fileno=tls.detach()).close()";
  const source = READ_TO_END.replace(/try:[^]*/, cuts);
  const args = ["-c", source, `${listener.addr.port}`, certificates.ca.certFile];
  await using python = new Program("python3", args);
  const acceptor = new TlsAcceptor(serverOptions());
  const connection = await acceptor.accept(await listener.accept(), HANDSHAKE_TIMEOUT);
  const peer = new Peer(connection);
  await peer.send("go on");
  assertEquals(await peer.text(4), "half");
  await python.ended();
  await assertRejects(() => peer.bytes(1), Deno.errors.UnexpectedEof, "without close_notify");
  connection.close();
});
