// The example of SMTP with the clients of others: swaks, Python's smtplib and curl; and what a client may do wrong.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { SmtpError } from "../../examples/smtp/reply.ts";
import { serveSmtp } from "../../examples/smtp/server.ts";
import type { Mail, SmtpOptions } from "../../examples/smtp/smtp.ts";
import {
  connect,
  type ServeOptions,
  type Server,
  type Session,
  type SessionEnd,
} from "../../mod.ts";
import { canRun } from "../_permissions.ts";
import { cannotStart, type Ended, isInstalled, Program, start } from "../_programs.ts";
import { fromBytes } from "../_redis.ts";
import { overNet, portOf, readAll, settle, until } from "../_serving.ts";
import { caFile, localhost, overTls } from "../_tls_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

interface Receiver {
  readonly server: Server;
  readonly port: number;
  readonly mails: Mail[];
  readonly errors: unknown[];
}

function receive(
  options: Partial<SmtpOptions> = {},
  serving: Partial<ServeOptions> = {},
): Receiver {
  const mails: Mail[] = [];
  const errors: unknown[] = [];
  const deliver = (mail: Mail): unknown => mails.push(mail);
  const onError = (error: unknown): unknown => errors.push(error);
  const server = serveSmtp({ port: 0, onError, ...serving }, { deliver, ...options });
  return {
    server,
    port: portOf(server),
    mails,
    errors,
  };
}

/** What the messages say, without the line on top. */
function textsOf(mails: readonly Mail[]): string[] {
  return mails.map(({ message }) => {
    const text = fromBytes(message);
    assertMatch(text, TRACE);
    return text.replace(TRACE, "");
  });
}

/** How they came, by the line on top. */
function tracesOf(mails: readonly Mail[]): string[] {
  return mails.map(({ message }) => {
    const [, client, protocol] = TRACE.exec(new TextDecoder().decode(message))!;
    return `${client} ${protocol}`;
  });
}

/** What the server says to all that a client sends, until it is done. */
async function replies(port: number, ...parts: (string | Uint8Array)[]): Promise<string[]> {
  await using client = await connect({ port });
  for (const part of parts) {
    await client.send(part);
    await client.flush();
    await settle();
  }
  await client.closeWrite();
  return (await readAll(client)).split("\r\n").slice(0, -1);
}

const TRACE =
  /^Received: from (\S+) \(127\.0\.0\.1:\d+\)\r\n\tby localhost with (E?SMTPS?); \w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\r\n/;
const HELLO = "220 localhost ESMTP";
const BYE = "221 localhost closes the connection";
const OPENING = "EHLO me\r\nMAIL FROM:<a@test>\r\nRCPT TO:<b@test>\r\n";

Deno.test("smtp() answers commands that come all at once, in order", overNet, async () => {
  const { server, port, mails, errors } = receive({ maxSize: 1000 });
  await using _ = server;
  const said = await replies(
    port,
    "EHLO [127.0.0.1]\r\nmail from:<a@test> size=20 body=8BITMIME\r\nRCPT TO:<b@test>\r\n" +
      'RCPT TO:<@relay.test:"c d>"@test>\r\nDATA\r\n',
    "Subject: one\r\n\r\n..\r\n..two\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<d@test>\r\nRSET\r\n" +
      "HELO me\r\nNOOP x\r\nVRFY b\r\nMAIL FROM: <e@test>\r\nRCPT TO:<f@test>\r\nDATA\r\n",
    ".\r\nQUIT\r\nNOOP\r\n",
  );
  assertEquals(said, [
    HELLO,
    ...["250-localhost", "250-PIPELINING", "250-SIZE 1000", "250 8BITMIME"],
    ...["250 OK", "250 OK", "250 OK", "354 end with a dot on a line by itself"],
    ...["250 OK", "250 OK", "250 OK", "250 OK"],
    ...["250 localhost", "250 OK", "252 send it, and see"],
    ...["250 OK", "250 OK", "354 end with a dot on a line by itself"],
    ...["250 OK", BYE],
  ]);
  assertEquals(mails.map(({ from, to }) => [from, ...to]), [
    ["a@test", "b@test", '"c d>"@test'],
    ["e@test", "f@test"],
  ]);
  assertEquals(tracesOf(mails), ["[127.0.0.1] ESMTP", "me SMTP"]);
  assertEquals([textsOf(mails), errors], [["Subject: one\r\n\r\n.\r\n.two\r\n", ""], []]);
});

Deno.test(
  "smtp() refuses what comes in the wrong order or form, and goes on",
  overNet,
  async () => {
    const { server, port, mails } = receive({ maxRecipients: 2 });
    await using _ = server;
    const commands: [command: string, reply: RegExp][] = [
      ["MAIL FROM:<a@test>", /^503 say EHLO/],
      ["RCPT TO:<a@test>", /^503 say MAIL/],
      ["DATA", /^503 say MAIL/],
      ["EHLO", /^501 a host name/],
      ["HELO a b", /^501 a host name/],
      [`HELO ${"a".repeat(256)}`, /^501 a host name/],
      ["DANCE", /^500 there is no such command/],
      ["", /^500 there is no such command/],
      ["x".repeat(3000), /^500 a line has at most 2048 bytes/],
      ["STARTTLS", /^502 there is no TLS/],
      ["HELO me", /^250 localhost/],
      ["MAIL a@test", /^501 FROM:<address>/],
      ["MAIL FROM:a@test", /^501 FROM:<address>/],
      ["MAIL FROM:<a@test", /^501 FROM:<address>/],
      ['MAIL FROM:<"a@test>', /^501 FROM:<address>/],
      [`MAIL FROM:<${"a".repeat(255)}>`, /^501 the address is too long/],
      ["MAIL FROM:<a@test> SIZE=many", /^555 SIZE is not understood/],
      ["MAIL FROM:<a@test> AUTH=<>", /^555 AUTH is not understood/],
      ["MAIL FROM:<a@test>", /^250/],
      ["MAIL FROM:<a@test>", /^503 one message/],
      ["DATA", /^554 nobody/],
      ["RCPT TO:<>", /^501/],
      ["RCPT TO:<b@test> NOTIFY=NEVER", /^555 NOTIFY/],
      ["RCPT TO:<b@test>", /^250/],
      ["RCPT TO:<b@test>", /^250/],
      ["RCPT TO:<b@test>", /^452 a message has at most 2 recipients/],
    ];
    for (let at = 0; at < commands.length; at++) { // each after all those before that were right
      const good = commands.slice(0, at).filter(([, reply]) => reply.source.startsWith("^250"));
      const [command, reply] = commands[at]!;
      const said = await replies(
        port,
        [...good, commands[at]!].map(([line]) => `${line}\r\n`).join(""),
      );
      assertEquals(said.length, good.length + 2, command);
      assertMatch(said.at(-1)!, reply);
    }
    const tooMany = await replies(port, "DANCE\r\n".repeat(30));
    assertEquals([tooMany.length, tooMany.at(-1)], [22, "421 too many errors"]);
    const tooLong = await replies(port, `${"x".repeat(3000)}\r\n`.repeat(30));
    assertEquals([tooLong.length, tooLong.at(-1)], [22, "421 too many errors"]);
    assertEquals(mails, []);
  },
);

Deno.test("smtp() accepts only CRLF as the end of a line", overNet, async () => {
  const { server, port, mails, errors } = receive();
  await using _ = server;
  const ends = ["\n", "\r", "\r\r\n", "\n\r\n", "\r\n\r", "\n\r"];
  for (const before of [...ends, "\r\n"]) {
    for (const after of [...ends, "\r\n"]) {
      if (before + after === "\r\n\r\n") continue;
      const smuggled =
        `body${before}.${after}MAIL FROM:<evil@test>\r\nRCPT TO:<b@test>\r\nDATA\r\n`;
      const said = await replies(port, `${OPENING}DATA\r\n`, `${smuggled}evil\r\n.\r\nQUIT\r\n`);
      assertMatch(said.at(-1)!, /^500 lines must end with CR LF/, JSON.stringify([before, after]));
    }
  }
  for (const end of ["\n", "\r", "\r\r\n"]) {
    const said = await replies(port, `NOOP${end}NOOP\r\n`);
    assertMatch(said.at(-1)!, /^500 lines must end with CR LF/, JSON.stringify(end));
  }
  // One of them ends as it should, and what follows it is no command.
  assertEquals(mails.map(({ from }) => from), ["a@test"]);
  assertEquals([textsOf(mails), errors], [["body\r\n"], []]);
});

Deno.test("smtp() refuses a message that is too large, before it or after", overNet, async () => {
  const { server, port, mails } = receive({ maxSize: 200_000 });
  await using _ = server;
  const [refused] = (await replies(port, "EHLO me\r\nMAIL FROM:<a@test> SIZE=200001\r\n")).slice(
    -1,
  );
  assertEquals(refused, "552 a message has at most 200000 bytes");
  const line = `.${"x".repeat(997)}\r\n`;
  const messages: [text: string, isTaken: boolean][] = [
    [`${line.repeat(200)}`, true],
    [`${line.repeat(200)}\r\n`, false],
    ["\r\n".repeat(100_000), true],
    ["\r\n".repeat(100_001), false],
    [`${"x".repeat(60_000)}\r\n`, true],
    [`${"x".repeat(70_000)}\r\n`, false], // a line by itself
    [line.repeat(20_000), false],
  ];
  for (const [text, isTaken] of messages) {
    const stuffed = text.replace(/^\./gm, "..");
    const said = await replies(port, `${OPENING}DATA\r\n`, `${stuffed}.\r\nNOOP\r\n`);
    const reply = isTaken ? "250 OK" : "552 a message has at most 200000 bytes";
    assertEquals(said.slice(-2), [reply, "250 OK"]);
    if (isTaken) assert(textsOf(mails).at(-1) === text);
  }
  assertEquals(textsOf(mails).length, messages.filter(([, isTaken]) => isTaken).length);
});

Deno.test("smtp() keeps nothing of a message that is cut off", overNet, async () => {
  const { server, port, mails, errors } = receive();
  await using _ = server;
  for (const text of ["", "half", "half\r\n", "half\r\n.", "half\r\n.\r"]) {
    await replies(port, `${OPENING}DATA\r\n`, text);
  }
  await until(() => server.sessions.size === 0);
  assertEquals([mails, errors], [[], []]);
});

Deno.test("smtp() replies what happened to recipients and messages", overNet, async () => {
  const failure = new Error("the disk is full");
  const outcomes = [undefined, new SmtpError(554, "no, thanks"), failure];
  const { server, port, errors } = receive({
    verify(recipient): void {
      if (recipient !== "b@test") throw new SmtpError(550, `nobody is called ${recipient}`);
    },
    deliver(): void {
      const outcome = outcomes.shift();
      if (outcome !== undefined) throw outcome;
    },
  });
  await using _ = server;
  await using client = await connect({ port });
  const lines = client.lines({ ending: "\r\n", strict: true });
  assertEquals(await lines.read(), HELLO);
  await client.send("HELO me\r\n");
  assertEquals(await lines.read(), "250 localhost");
  for (const reply of ["250 OK", "554 no, thanks", "451 try again later"]) {
    await client.send("MAIL FROM:<a@test>\r\nRCPT TO:<c@test>\r\nRCPT TO:<b@test>\r\nDATA\r\n");
    const said = [await lines.read(), await lines.read(), await lines.read(), await lines.read()];
    assertEquals(said.map((line) => line!.slice(0, 3)), ["250", "550", "250", "354"]);
    await client.send("x\r\n.\r\n");
    assertEquals(await lines.read(), reply);
  }
  await until(() => errors.length > 0);
  assertEquals(errors, [failure]);
});

Deno.test("smtp() lets a message come to its end when the server drains", overNet, async () => {
  const { server, port, mails } = receive();
  await using idle = await connect({ port });
  await using busy = await connect({ port });
  assertEquals([await idle.readLine(), await busy.readLine()], [HELLO, HELLO]);
  await busy.send(`${OPENING}DATA\r\n`);
  while (!(await busy.readLine())!.startsWith("354"));
  await busy.send("half\r\n");
  const stopped = server.shutdown();
  assertEquals(await readAll(idle), "421 localhost is shutting down\r\n");
  await busy.send("and half\r\n.\r\n");
  assertEquals(await readAll(busy), "250 OK\r\n421 localhost is shutting down\r\n");
  await Promise.all([stopped, idle.close(), busy.close()]);
  assertEquals(textsOf(mails), ["half\r\nand half\r\n"]);
});

Deno.test("smtp() tells a client that takes too long", overNet, async () => {
  const { server, port, mails, errors } = receive({}, { idleTimeout: 50, frameTimeout: 50 });
  await using _ = server;
  for (const said of ["", "NO", `${OPENING}DATA\r\n`, `${OPENING}DATA\r\nhalf\r\n.`]) {
    await using client = await connect({ port });
    await client.send(said);
    const heard = await readAll(client);
    assertMatch(heard, /^220 [^]*421 localhost has timed out\r\n$/);
  }
  await until(() => server.sessions.size === 0);
  assertEquals([mails, errors], [[], []]);
});

Deno.test("smtp() forgets what came before TLS", overTls, async () => {
  const ends: SessionEnd[] = [];
  const observer = { onSessionEnd: (_: Session, end: SessionEnd) => void ends.push(end) };
  const { server, port, mails } = receive({}, { tls: localhost, observer });
  await using _ = server;
  await using client = await connect({ port });
  const say = async (text: string): Promise<string> => {
    await client.send(text);
    let line: string | undefined;
    do line = await client.readLine({ ending: "\r\n", strict: true }); while (line?.[3] === "-");
    return line!;
  };
  assertEquals(await say("EHLO me\r\n"), HELLO);
  assertEquals(await client.readLine(), "250-localhost");
  while ((await client.readLine())! !== "250 STARTTLS");
  assertEquals(await say("MAIL FROM:<evil@test>\r\n"), "250 OK");
  assertEquals(await say("STARTTLS\r\n"), "220 go ahead");
  await client.upgradeTls({ ca: await Deno.readTextFile(caFile) });
  assertEquals(await say("MAIL FROM:<a@test>\r\n"), "503 say EHLO first");
  assertEquals(await say("EHLO me\r\n"), "250 8BITMIME");
  assertEquals(await say("STARTTLS\r\n"), "503 this is TLS already");
  assertEquals(await say("MAIL FROM:<a@test>\r\n"), "250 OK");
  assertEquals(await say("RCPT TO:<b@test>\r\n"), "250 OK");
  assertMatch(await say("DATA\r\n"), /^354/);
  assertEquals(await say(".\r\n"), "250 OK");
  assertEquals([mails.length, tracesOf(mails)], [1, ["me ESMTPS"]]);
  // Somebody on the way adds a command that would count as said under TLS.
  const injected = replies(port, "EHLO me\r\nSTARTTLS\r\nMAIL FROM:<evil@test>\r\n");
  await injected.catch(() => {}); // with the node transport, it is reset
  await until(() => ends.length > 0);
  assertMatch(`${ends[0]!.cause}`, /\d+ bytes that came unencrypted are unread/);
});

const withSwaks = {
  ...overTls,
  ignore: overTls.ignore || !await isInstalled("swaks", "--version"),
};

async function run(command: string, ...args: string[]): Promise<Ended> {
  await using program = new Program(command, args);
  return await program.ended();
}

for (
  const flags of [[], ["--pipeline"], ["--tls"], ["--tls", "--pipeline"], ["--protocol", "SMTP"]]
) {
  Deno.test(`smtp() serves swaks ${flags.join(" ")}`, withSwaks, async () => {
    const { server, port, mails } = receive({}, { tls: localhost });
    await using _ = server;
    const { code, stdout } = await run(
      "swaks",
      ...["--server", `127.0.0.1:${port}`, "--helo", "swaks.test", "--from", "a@test"],
      ...["--to", "b@test,c@test", "--data", "Subject: dots\\n\\n.\\n..\\n.x\\nend\\n", ...flags],
    );
    assertEquals([code, mails[0]?.from, mails[0]?.to], [0, "a@test", ["b@test", "c@test"]], stdout);
    assertEquals(mails[0]!.client, "swaks.test");
    assertMatch(textsOf(mails)[0]!, /^Subject: dots\r\n\r\n\.\r\n\.\.\r\n\.x\r\nend\r\n/);
    const protocol = flags[0] === "--tls" ? "ESMTPS" : flags[0] === "--protocol" ? "SMTP" : "ESMTP";
    assertEquals(tracesOf(mails), [`swaks.test ${protocol}`]);
  });
}

const SMTPLIB = `
import smtplib, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]

def attempt(*args, **options):
    try:
        return client.sendmail("a@test", *args, **options)
    except smtplib.SMTPException as error:
        return type(error).__name__, str(error.args)

client = smtplib.SMTP("127.0.0.1", port, local_hostname="python.test", timeout=30)
print(attempt(["b@test"], "Subject: plain\\n\\n.\\n..x\\n"))
print(client.starttls(context=ssl.create_default_context(cafile=ca))[0], client.sock.version())
body = b"Subject: \\xe4\\r\\n\\r\\n" + bytes(range(14, 256)) + b"\\r\\n"
print(attempt(["b@test", "c@test"], body, mail_options=["BODY=8BITMIME"]))
print(client.esmtp_features)
print(attempt(["b@test"], "x" * 20000))
print(attempt(["nobody@test", "b@test"], ".\\n"))
client.quit()
`;

const withPython = { ...overTls, ignore: overTls.ignore || !await canRun("python3") };

Deno.test("smtp() serves Python's smtplib", withPython, async () => {
  const { server, port, mails } = receive({
    maxSize: 10_000,
    verify(recipient): void {
      if (recipient.startsWith("nobody")) throw new SmtpError(550, "nobody");
    },
  }, { tls: localhost });
  await using _ = server;
  const { stdout, stderr } = await run("python3", "-c", SMTPLIB, `${port}`, caFile);
  assertEquals([stdout.split("\n"), stderr], [[
    "{}",
    "220 TLSv1.3",
    "{}",
    "{'pipelining': '', 'size': '10000', '8bitmime': ''}",
    `('SMTPSenderRefused', "(552, b'a message has at most 10000 bytes', 'a@test')")`,
    "{'nobody@test': (550, b'nobody')}",
    "",
  ], ""]);
  const bytes = String.fromCharCode(...Array.from({ length: 242 }, (_, at) => at + 14));
  assertEquals(textsOf(mails), [
    "Subject: plain\r\n\r\n.\r\n..x\r\n",
    `Subject: ä\r\n\r\n${bytes}\r\n`,
    ".\r\n",
  ]);
});

const withCurl = { ...overTls, ignore: overTls.ignore || !await isInstalled("curl", "--version") };

Deno.test("smtp() serves curl, and takes a megabyte", withCurl, async () => {
  const { server, port, mails } = receive({}, { tls: localhost });
  await using _ = server;
  await using dir = await makeTempDir();
  const file = `${dir.path}/mail.txt`;
  const text = `Subject: large\r\n\r\n${".x".repeat(400)}\r\n.\r\n`.repeat(1300);
  await Deno.writeTextFile(file, text);
  for (const flags of [[], ["--ssl-reqd", "--cacert", caFile]]) {
    const { code, stderr } = await run(
      "curl",
      ...[`smtp://localhost:${port}/curl.test`, "--silent", "--show-error", "--ipv4", ...flags],
      ...["--mail-from", "a@test", "--mail-rcpt", "b@test", "--upload-file", file],
    );
    assertEquals([code, stderr], [0, ""]);
    assert(textsOf(mails).at(-1) === text);
  }
});

Deno.test("examples/smtp runs and prints what it receives", {
  ...overNet,
  ignore: cannotStart,
}, async () => {
  await using example = start("examples/smtp/server.ts", "0");
  const [, port] = await example.stdout.until(/receiving mail on 127\.0\.0\.1:(\d+)\n/);
  const said = await replies(
    Number(port),
    `${OPENING}DATA\r\n`,
    "Subject: \x1b[2J\r\n.\r\nQUIT\r\n",
  );
  assertEquals(said.at(-1), BYE);
  await example.stdout.until(/me \(127\.0\.0\.1:\d+\) from <a@test> to <b@test>\n/);
  assertStringIncludes(example.stdout.text, "    Subject: \\x1b[2J\n");
});
