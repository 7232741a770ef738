// Clients and servers of others: curl, socat, Python's ssl, openssl.

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { CertificateError } from "../../errors.ts";
import { serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { canRun, canUnix } from "../_permissions.ts";
import { Program } from "../_programs.ts";
import { ask, echo, readAll, until } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import {
  ca,
  caFile,
  client as roses,
  clientFiles,
  localhostFiles,
  overTls,
  serveTls,
} from "../_tls_serving.ts";

const withCurl = { ...overTls, ignore: overTls.ignore || !await canRun("curl") };
const withPython = { ...overTls, ignore: overTls.ignore || !await canRun("python3") };
const canSocat = await canRun("socat");

/** As much of HTTP/1.1 as curl asks for: one connection, requests with a length or without a body. */
async function http(session: Session): Promise<void> {
  for await (const request of session.lines()) {
    let length = 0;
    for (;;) {
      const header = await session.readLine();
      if (!header) break;
      const [, digits] = /^content-length: (\d+)$/i.exec(header) ?? [];
      if (digits !== undefined) length = Number(digits);
    }
    const body = await session.readExactly(length);
    const { protocol, peerCertificate } = session.tls!;
    const text = `${request}, ${body.length}, ${protocol}, ${peerCertificate?.subject}\n`;
    await session.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
  }
}

Deno.test("serve() answers curl under TLS, with and without a certificate", withCurl, async () => {
  await using server = serveTls({
    tls: { alpn: ["http/1.1"], ca, clientCertificate: "optional" },
  }, http);
  const url = `https://localhost:${server.port}/`;
  const to = [
    "--silent",
    "--show-error",
    "--no-progress-meter",
    "--resolve",
    `localhost:${server.port}:127.0.0.1`,
  ];
  const trust = ["--cacert", caFile];
  const curl = async (...args: string[]): Promise<[number, string]> => {
    await using program = new Program("curl", [...to, ...args]);
    const { code, stdout, stderr } = await program.ended();
    return [code, stdout + stderr];
  };
  assertEquals(await curl(...trust, url), [0, "GET / HTTP/1.1, 0, TLSv1.3, undefined\n"]);
  const old = [...trust, "--tlsv1.2", "--tls-max", "1.2"];
  const data = ["--data-binary", "x".repeat(100_000)];
  const certified = ["--cert", clientFiles.certFile, "--key", clientFiles.keyFile];
  assertEquals(await curl(...old, ...certified, ...data, url, `${url}again`), [
    0,
    "POST / HTTP/1.1, 100000, TLSv1.2, CN=rose,O=Garden\n" +
    "POST /again HTTP/1.1, 100000, TLSv1.2, CN=rose,O=Garden\n",
  ]);
  const [code, problem] = await curl(url);
  assertEquals(code, 60, problem); // the server is not trusted
  assertEquals(server.server.stats().accepted, 2);
});

Deno.test("serve() answers socat under TLS and on a Unix socket", {
  ...overTls,
  ignore: overTls.ignore || !canUnix || !canSocat,
}, async () => {
  await using dir = await makeTempDir();
  const path = `${dir.path}/greet.sock`;
  await using tls = serveTls();
  await using _unix = serve({ path }, echo);
  for (
    const address of [
      `OPENSSL:127.0.0.1:${tls.port},cafile=${caFile},snihost=localhost,commonname=localhost`,
      `UNIX-CONNECT:${path}`,
    ]
  ) {
    await using socat = new Program("socat", ["-t", "60", "-", address]);
    await socat.type("rose\nthink\n");
    await socat.stdout.until(/^rose!\nthink!\n$/);
    await socat.type("babala");
    await socat.endInput(); // a half-close
    const { code, stdout } = await socat.ended();
    assertEquals([code, stdout], [0, "rose!\nthink!\nbabala!\n"]);
  }
});

const CLIENT = `
import hashlib, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.set_alpn_protocols(["greet/1"])
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30) as raw:
    tls = context.wrap_socket(raw, server_hostname="localhost")
    print(tls.version(), tls.selected_alpn_protocol(), tls.getpeercert()["subject"][0][0][1])
    tls.sendall(b"rose\\n")
    print(tls.recv(100))
    tls.sendall(b"x" * 3000000 + b"\\n")
    digest, left = hashlib.sha256(), 3000002
    while left > 0:
        data = tls.recv(65536)
        digest.update(data)
        left -= len(data)
    print(digest.hexdigest() == hashlib.sha256(b"x" * 3000000 + b"!\\n").hexdigest())
    tls.unwrap()
    print("closed")
`;

Deno.test("serve() talks to Python's ssl, and ends it properly", withPython, async () => {
  const ends: string[] = [];
  await using server = serveTls({
    tls: { alpn: ["greet/2", "greet/1"] },
    observer: { onSessionEnd: (_, { reason, cause }) => void ends.push(`${reason} ${cause}`) },
  }, async (session) => {
    const long = { maxLength: 4_000_000 };
    for await (const line of session.lines(long)) await session.send(`${line}!\n`);
  });
  await using python = new Program("python3", ["-c", CLIENT, `${server.port}`, caFile]);
  const { stdout, stderr } = await python.ended();
  assertEquals(stderr, "");
  assertEquals(stdout, "TLSv1.3 greet/1 garden\nb'rose!\\n'\nTrue\nclosed\n");
  await until(() => ends.length === 1);
  assertEquals(ends, ["peer undefined"]);
});

Deno.test("connect() talks to openssl s_server", overTls, async () => {
  const { certFile, keyFile } = localhostFiles;
  const files = ["-cert", certFile, "-key", keyFile, "-CAfile", caFile];
  const ask = ["-Verify", "1", "-verify_return_error", "-alpn", "greet/1"];
  await using program = new Program("openssl", [
    "s_server",
    "-accept",
    "127.0.0.1:0",
    ...files,
    ...ask,
  ]);
  const [, port] = await program.stdout.until(/ACCEPT 127\.0\.0\.1:(\d+)/);
  const options = { hostname: "localhost", port: Number(port) };
  const client = await connect({ ...options, tls: { ...roses, ca, alpn: ["greet/1"] } });
  assertEquals([client.tls!.alpn, client.tls!.peerCertificate!.subject], ["greet/1", "CN=garden"]);
  await client.send("rose\n");
  await client.flush();
  await program.stdout.until(/rose\n/);
  await program.type("hello, rose!\n");
  assertEquals(await client.readLine(), "hello, rose!");
  assertEquals((await client.close()).reason, "local");

  // It sees our certificate after we are done with the handshake.
  const nobody = async (): Promise<void> => {
    await using session = await connect({ ...options, tls: { ca } });
    await session.readLine();
  };
  const error = await assertRejects(nobody, Error);
  assertMatch(String(error.cause ?? error), /CertificateError|certificate/);
});

Deno.test("connect() does not trust openssl s_server without a reason", overTls, async () => {
  const { certFile, keyFile } = localhostFiles;
  const args = ["s_server", "-accept", "127.0.0.1:0", "-cert", certFile, "-key", keyFile, "-www"];
  await using program = new Program("openssl", args);
  const [, digits] = await program.stdout.until(/ACCEPT 127\.0\.0\.1:(\d+)/);
  const port = Number(digits);
  await assertRejects(
    () => connect({ port, tls: {} }),
    CertificateError,
    "not signed by a trusted authority",
  );
  await using client = await connect({ port, tls: { ca, maxVersion: "TLSv1.2" } });
  await client.send("GET / HTTP/1.0\r\n\r\n");
  assertMatch(await readAll(client), /^HTTP\/1\.0 200 ok\r\n[^]*TLSv1\.2/);
});

Deno.test("connect() talks to socat, a server under TLS", {
  ...overTls,
  ignore: overTls.ignore || !canSocat,
}, async () => {
  const { certFile, keyFile } = localhostFiles;
  const files = `cert=${certFile},key=${keyFile},verify=0`;
  const listen = `OPENSSL-LISTEN:0,bind=127.0.0.1,${files}`;
  await using program = new Program("socat", ["-d", "-d", listen, "PIPE"]);
  const [, port] = await program.stderr.until(/listening on .*127\.0\.0\.1:(\d+)/);
  const client = await connect({ hostname: "localhost", port: Number(port), tls: { ca } });
  assertEquals(await ask(client, "rose"), "rose");
  await client.closeWrite();
  assertEquals(await readAll(client), "");
  assertEquals((await client.close()).reason, "peer");
});
