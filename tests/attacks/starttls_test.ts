// STARTTLS with the clients and servers of others: Python's smtplib and ssl, and openssl.

import { assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import { serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import type { Session, SessionEnd } from "../../session.ts";
import { canRun } from "../_permissions.ts";
import { Program } from "../_programs.ts";
import { ask, portOf, until } from "../_serving.ts";
import { ca, caFile, localhost, localhostFiles, overTls } from "../_tls_serving.ts";

const withPython = { ...overTls, ignore: overTls.ignore || !await canRun("python3") };

/** What clients of SMTP (RFC 5321, RFC 3207) need to hear. */
async function smtp(session: Session): Promise<void> {
  await session.send("220 mail.test ESMTP\r\n");
  for await (const line of session.lines()) {
    const [word] = line.toUpperCase().split(" ");
    if (word === "EHLO") await session.send("250-mail.test\r\n250 STARTTLS\r\n");
    else if (word === "NOOP") await session.send(`250 ${session.tls?.protocol ?? "plain"}\r\n`);
    else if (word === "STARTTLS") {
      await session.send("220 go ahead\r\n");
      await session.upgradeTls();
    } else if (word === "QUIT") break;
    else await session.send(`500 ${line}\r\n`);
  }
  await session.send("221 bye\r\n");
}

function serveSmtp(options?: Partial<ServeOptions>): Server & { ends: SessionEnd[] } {
  const ends: SessionEnd[] = [];
  const server = serve({
    port: 0,
    tls: { ...localhost, mode: "starttls" },
    observer: { onSessionEnd: (_, end) => void ends.push(end) },
    ...options,
  }, smtp);
  return Object.assign(server, { ends });
}

const SMTPLIB = `
import smtplib, ssl, sys
client = smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=30)
print(client.noop())
print(client.starttls(context=ssl.create_default_context(cafile=sys.argv[2])))
print(client.sock.version(), client.noop())
print(client.quit())
`;

Deno.test("Session.upgradeTls() serves Python's smtplib", withPython, async () => {
  await using server = serveSmtp();
  await using python = new Program("python3", ["-c", SMTPLIB, `${portOf(server)}`, caFile]);
  const { stdout, stderr } = await python.ended();
  assertEquals([stdout.split("\n"), stderr], [[
    "(250, b'plain')",
    "(220, b'go ahead')",
    "TLSv1.3 (250, b'TLSv1.3')",
    "(221, b'bye')",
    "",
  ], ""]);
  await until(() => server.ends.length === 1);
  assertEquals(server.ends[0]!.reason, "local");
});

Deno.test("Session.upgradeTls() serves openssl s_client -starttls smtp", overTls, async () => {
  await using server = serveSmtp();
  for (const version of ["-tls1_2", "-tls1_3"]) {
    const to = ["-connect", `127.0.0.1:${portOf(server)}`, "-servername", "localhost"];
    const trust = ["-CAfile", caFile, "-verify_return_error", "-verify_hostname", "localhost"];
    const args = ["s_client", "-starttls", "smtp", "-quiet", version, ...to, ...trust];
    await using client = new Program("openssl", args);
    await client.type("noop\r\n");
    await client.stdout.until(/250 TLSv1\.[23]\r\n/);
    await client.type("quit\r\n");
    const { code, stdout } = await client.ended();
    assertEquals(code, 0);
    assertMatch(stdout, /^250 TLSv1\.[23]\r\n221 bye\r\n$/);
  }
});

// Puts a command into the segment of STARTTLS, and then lets the client's handshake follow, as its victim would.
const INJECTION = `
import socket, ssl, sys
raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
lines = raw.makefile("rb")
lines.readline()
raw.sendall(b"STARTTLS\\r\\nNOOP injected\\r\\n")
context = ssl.create_default_context(cafile=sys.argv[2])
try:
    print(lines.readline())
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        print(tls.recv(100))
except OSError as error: # a reset destroys the answer as well
    print("refused")
`;

Deno.test(
  "Session.upgradeTls() refuses a command that is glued to STARTTLS (CVE-2011-0411)",
  withPython,
  async () => {
    await using server = serveSmtp();
    await using python = new Program("python3", ["-c", INJECTION, `${portOf(server)}`, caFile]);
    const { stdout, stderr } = await python.ended();
    assertEquals(stderr, "");
    assertMatch(stdout, /^(b'(220 go ahead\\r\\n)?'\n)?refused\n$/);
    await until(() => server.ends.length === 1);
    const { reason, cause } = server.ends[0]!;
    assertInstanceOf(cause, TlsHandshakeError);
    assertEquals(reason, "error");
    assertMatch(cause.message, /15 bytes that came unencrypted are unread/);
  },
);

// With an argument more, it glues a line to its answer, as who sits in between would.
const SERVER = `
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    raw, _ = listener.accept()
    try:
        raw.sendall(b"220 mail.test\\r\\n")
        raw.recv(100)
        raw.sendall(b"220 go ahead\\r\\n" + b"".join(word.encode() + b"\\r\\n" for word in sys.argv[3:]))
        with context.wrap_socket(raw, server_side=True) as tls:
            while data := tls.recv(100):
                tls.sendall(b"250 " + data)
    except OSError as error:
        print(type(error).__name__, flush=True)
`;

/** A server in Python, and a session that has heard its answer to STARTTLS. */
async function startServer(...injected: string[]): Promise<{
  program: Program;
  enter(): Promise<Session>;
}> {
  const files = [localhostFiles.certFile, localhostFiles.keyFile];
  const program = new Program("python3", ["-c", SERVER, ...files, ...injected]);
  const [, port] = await program.stdout.until(/^(\d+)\n/);
  return {
    program,
    enter: async () => {
      const client = await connect({ hostname: "localhost", port: Number(port) });
      assertEquals(await client.readLine(), "220 mail.test");
      assertEquals(await ask(client, "STARTTLS"), "220 go ahead");
      return client;
    },
  };
}

Deno.test("Session.upgradeTls() begins TLS with a server in Python", withPython, async () => {
  const { program, enter } = await startServer();
  await using _program = program;
  const client = await enter();
  const info = await client.upgradeTls({ ca });
  assertEquals([info.protocol, info.serverName], ["TLSv1.3", "localhost"]);
  assertEquals(await ask(client, "noop"), "250 noop");
  assertEquals((await client.close()).reason, "local");

  const suspicious = await enter();
  await assertRejects(() => suspicious.upgradeTls(), CertificateError);
  assertEquals((await suspicious.closed).reason, "error");
  await program.stdout.until(/Error/);
});

Deno.test(
  "Session.upgradeTls() refuses what is glued to a server's answer",
  withPython,
  async () => {
    const { program, enter } = await startServer("250 injected");
    await using _program = program;
    const client = await enter();
    await assertRejects(
      () => client.upgradeTls({ ca }),
      TlsHandshakeError,
      "unencrypted are unread",
    );
  },
);
