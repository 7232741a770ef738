import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { serve } from "../../serve/serve.ts";
import { cannotRun, runClient, startClient, startOpenssl } from "../_client_program.ts";
import { cannotTls, makeCertificate, makeCertificates } from "../_certificates.ts";
import { assertOneLine, cannotStart, Program } from "../_programs.ts";
import type { Session } from "../../session.ts";
import { portOf, readAll } from "../_serving.ts";
import { isDisturbing } from "../_thrown.ts";

const ignore = cannotStart || cannotTls || await cannotRun("openssl");
const { ca, rogueCa, server: shown, client: own } = await makeCertificates();

/** A service that speaks no TLS, and speaks first. */
async function plain(session: Session): Promise<void> {
  await session.send("220 hello\r\n");
  await readAll(session);
}

const READ = ["--allow-net", "--allow-read"];
const TRUSTING = ["--tls", "--ca", ca?.certFile];

/** `openssl s_server` with the certificate that the authority has signed. */
function openssl(...args: string[]): ReturnType<typeof startOpenssl> {
  return startOpenssl("-cert", shown.certFile, "-key", shown.keyFile, ...args);
}

Deno.test({ name: "client.ts --raw --tls talks to openssl s_server", ignore }, async () => {
  await using server = await openssl("-alpn", "h2,http/1.1");
  const args = ["--raw", "--port", `${server.port}`, ...TRUSTING, "--alpn", "http/1.1,h2"];
  await using program = startClient(READ, ...args, "--verbose");
  await program.type("to openssl\n");
  await server.program.stdout.until(/\nto openssl\n/);
  await server.program.type("from openssl\n");
  await program.stdout.until(/^from openssl\n$/);
  await program.endInput();
  await server.program.stdout.until(/\nDONE\n/); // which is what it says of close_notify
  const { code, stderr } = await program.ended();
  assertEquals(code, 0);
  const lines = stderr.split("\n");
  assertEquals(lines[0], `dialling 127.0.0.1:${server.port}`);
  assertMatch(lines[1]!, /^connected to 127\.0\.0\.1:\d+ in \d+ ms$/);
  assertMatch(lines[2]!, /^TLSv1\.3, cipher TLS_\w+, ALPN (h2|http\/1\.1)$/);
  assertEquals(lines[3], "certificate: CN=garden, signed by CN=ca");
  assertEquals(lines[4], "certificate for: DNS:localhost, IP Address:127.0.0.1, IP Address:::1");
  assertMatch(
    lines[5]!,
    /^certificate valid: 20\d\d-\d\d-\d\dT[\d:]+Z to 20\d\d-\d\d-\d\dT[\d:]+Z$/,
  );
});

Deno.test({ name: "client.ts --tls shows no name that disturbs a terminal", ignore }, async () => {
  const name = "\x1b[2Jevil\x9b31m\u202e";
  const disturbing = await makeCertificate({
    subject: `/CN=${name}`,
    extensions: [`subjectAltName=DNS:localhost,DNS:\x1b[31mevil`],
    by: ca,
  });
  await using server = await startOpenssl("-cert", disturbing.certFile, "-key", disturbing.keyFile);
  const args = ["--raw", "--port", `${server.port}`, "--verbose", ...TRUSTING];
  for (const host of ["localhost", "example.org"]) {
    const { stderr } = await runClient(READ, [...args, "--servername", host]);
    assertMatch(stderr, /evil/);
    assertFalse(isDisturbing(stderr), JSON.stringify(stderr));
  }
});

Deno.test({ name: "client.ts --tls says what is wrong with a certificate", ignore }, async () => {
  await using server = await openssl();
  const address = `127.0.0.1:${server.port}`;
  const args = ["--raw", "--port", `${server.port}`, "--tls"];
  const rogue = await runClient(READ, [...args, "--ca", rogueCa.certFile]);
  assertEquals(rogue.code, 1);
  assertMatch(
    rogue.stderr,
    /^error: TLS handshake with .* failed: the server's certificate .*: name who has signed it with --ca\n$/,
  );
  assertOneLine(
    await runClient(READ, [...args, "--ca", ca.certFile, "--servername", "example.org"]),
    [
      1,
      `TLS handshake with ${address} failed: the server's certificate is not for "example.org" but for ` +
      `DNS:localhost, IP Address:127.0.0.1, IP Address:::1: name the host that it is for with --servername`,
    ],
  );
});

Deno.test(
  { name: "client.ts has no advice on a certificate that has expired", ignore },
  async () => {
    const extensions = ["subjectAltName=DNS:localhost"];
    const expired = await makeCertificate({
      subject: "/CN=garden",
      extensions,
      by: ca,
      since: 30,
      days: -1,
    });
    await using server = await startOpenssl("-cert", expired.certFile, "-key", expired.keyFile);
    const args = ["--raw", "--port", `${server.port}`, ...TRUSTING, "--servername", "localhost"];
    const { code, stderr } = await runClient(READ, args);
    assertEquals(code, 1);
    assertMatch(stderr, /: the server's certificate has expired: it was valid until [-\dT:.Z]+\n$/);
  },
);

Deno.test({ name: "client.ts suggests --tls where the server may want it", ignore }, async () => {
  await using sslServer = await openssl();
  const raw = await runClient(["--allow-net"], ["--raw", "--port", `${sslServer.port}`], "hi\n");
  const address = `127.0.0.1:${sslServer.port}`;
  assertEquals([raw.code, raw.stderr], [0, `${address} speaks TLS: try --tls\n`]);
  assertEquals(raw.stdout.slice(0, 2), "\x15\x03"); // as it came
  const long = ["--raw", "--verbose", "--port", `${sslServer.port}`];
  const { stderr: silence } = await runClient(["--allow-net"], long, "EHLO garden\r\n");
  assertMatch(silence, /\n\S+ closed the connection without a word: it may want --tls\n/);

  const alert = "\x15\x03\x03\0\x02\x02\x32";
  await using alerting = serve({ port: 0 }, (session) => session.send(alert));
  assertOneLine(await runClient(["--allow-net"], ["--port", `${portOf(alerting)}`, "rose"]), [
    1,
    `the server at 127.0.0.1:${portOf(alerting)} speaks TLS: try --tls`,
  ]);

  await using waiting = serve({ port: 0, tls: shown, handshakeTimeout: 100 }, plain);
  const port = `${portOf(waiting)}`;
  const { code, stderr } = await runClient(["--allow-net"], ["--port", port, "rose"]);
  assertEquals(code, 1);
  assertMatch(stderr, /^error: the .*: see whether the server at \S+ still runs, or try --tls\n$/);
});

Deno.test({ name: "client.ts --servername asks for a name", ignore }, async () => {
  const tls = { cert: shown.cert, key: shown.key };
  await using server = serve({ port: 0, tls }, async (session) => {
    await session.send(`${session.tls?.serverName} ${session.tls?.alpn}`);
  });
  const args = ["--raw", "--port", `${portOf(server)}`, ...TRUSTING];
  const { stdout } = await runClient(READ, [...args, "--servername", "localhost"]);
  assertEquals(stdout, "localhost undefined");
  assertEquals((await runClient(READ, args)).stdout, "undefined undefined"); // of an IP address, there is none
});

Deno.test({ name: "client.ts --raw --tls half-closes, and receives the end", ignore }, async () => {
  await using server = serve({ port: 0, tls: shown }, async (session) => {
    for await (const chunk of session.bytes()) await session.send(chunk);
  });
  const args = ["--raw", "--port", `${portOf(server)}`, ...TRUSTING];
  assertEquals(await runClient(READ, args, "rose"), { code: 0, stdout: "rose", stderr: "" });
});

Deno.test(
  { name: "client.ts --insecure accepts any certificate, with a warning", ignore },
  async () => {
    await using server = await openssl("-rev");
    const args = ["--raw", "--port", `${server.port}`, "--tls", "--insecure"];
    const { code, stdout, stderr } = await runClient(["--allow-net"], args, "abc\n");
    assertEquals([code, stdout], [0, "cba\n"]);
    assertMatch(stderr, /^warning: --insecure accepts any certificate: .+\n$/);
  },
);

Deno.test({ name: "client.ts --cert and --key show who it is", ignore }, async () => {
  const tls = {
    cert: shown.cert,
    key: shown.key,
    clientCertificate: "required",
    ca: ca.cert,
  } as const;
  await using server = serve({ port: 0, tls }, async (session) => {
    await session.send(session.tls!.peerCertificate!.subject);
  });
  const args = ["--raw", "--port", `${portOf(server)}`, ...TRUSTING];
  const mine = ["--cert", own.certFile, "--key", own.keyFile];
  const { code, stdout } = await runClient(READ, [...args, ...mine]);
  assertEquals([code, stdout], [0, "CN=rose,O=Garden"]);
  const refused = await runClient(READ, [...args, "--recv-only"]);
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertMatch(refused.stderr, /^error: .*\n$/);
  assertOneLine(
    await runClient(READ, [...args, "--cert", own.certFile, "--key", shown.keyFile]),
    [1, `cannot use --key ${shown.keyFile}: key does not belong to cert`],
  );
});

Deno.test({ name: "client.ts --tls talks to the greeting service", ignore }, async () => {
  await using server = serve({ port: 0, tls: shown }, async (session) => {
    await session.send("welcome!");
    for await (const name of session) {
      if (name === "exit") break;
      await session.send(`hello, ${name}!`);
    }
  });
  const { port } = server.addr as Deno.NetAddr;
  const { code, stdout, stderr } = await runClient(READ, [
    "--port",
    `${port}`,
    ...TRUSTING,
    "rose",
  ]);
  assertEquals([code, stdout, stderr], [0, "welcome!\nhello, rose!\n", ""]);
});

Deno.test({ name: "client.ts --tls reports a server without TLS", ignore }, async () => {
  await using server = serve({ port: 0 }, plain);
  const { code, stderr } = await runClient(READ, ["--raw", "--port", `${portOf(server)}`, "--tls"]);
  assertEquals(code, 1);
  assertEquals(
    stderr,
    `error: TLS handshake with 127.0.0.1:${portOf(server)} failed: the peer does not speak TLS\n`,
  );
});

Deno.test({ name: "client.ts names the flags and the files that TLS needs", ignore }, async () => {
  const mine = ["--cert", own.certFile, "--key", own.keyFile];
  const { code, stderr } = await runClient(["-N"], ["--raw", ...TRUSTING, ...mine]);
  assertEquals(code, 1);
  const files = [ca.certFile, own.certFile, own.keyFile].join(",");
  assertMatch(stderr, /^error: no permission for read access to ".*": run with .*\n$/);
  assert(stderr.endsWith(`: run with --allow-net --allow-read=${files}\n`), stderr);
  assertOneLine(await runClient(READ, ["--raw", "--tls", "--ca", "no/such"]), [
    1,
    "cannot read --ca no/such: no such file or directory",
  ]);
  assertOneLine(await runClient(READ, ["--raw", "--tls", "--ca", own.keyFile]), [
    1,
    `cannot use --ca ${own.keyFile}: ca must be one or more certificates in PEM`,
  ]);
  // Without an option that needs more, nothing more is asked for.
  await using server = serve({ port: 0 }, plain);
  await using program = new Program("deno", [
    "run",
    "--quiet",
    `--allow-net=127.0.0.1:${portOf(server)}`,
    ...["env", "ffi", "import", "read", "run", "sys", "write"].map((name) => `--deny-${name}`),
    ...["client.ts", "--raw", "--hex", "--tls", "--insecure", "--port", `${portOf(server)}`],
  ]);
  assertMatch((await program.ended()).stderr, /the peer does not speak TLS\n$/);
});
