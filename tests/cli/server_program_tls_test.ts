// The server program under TLS, with openssl as its client.

import { assertEquals, assertMatch } from "@std/assert";
import { assertOneLine, cannotStart, Client, Program } from "../_programs.ts";
import { canRead, canWrite } from "../_permissions.ts";
import { cannotRun, runCommand, serving, startServer } from "../_server_program.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ignore = cannotStart || !canRead || !canWrite || await cannotRun("openssl");
const ignoreSignals = ignore || Deno.build.os === "windows";

/** Where a certificate and its key are. */
interface Files {
  cert: string;
  key: string;
}

/** Makes a certificate for this name, which it signs itself. */
async function makeCertificate(directory: string, name: string): Promise<Files> {
  const files = { cert: `${directory}/${name}.pem`, key: `${directory}/${name}.key` };
  const { code, stderr } = await runCommand("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-days", "2", "-subj", `/CN=${name}`, "-keyout", files.key, "-out", files.cert],
  ]);
  assertEquals(code, 0, stderr);
  return files;
}

function argsFor({ cert, key }: Files): string[] {
  return ["--port", "0", "--tls-cert", cert, "--tls-key", key];
}

function permissionsFor({ cert, key }: Files): string[] {
  return ["--allow-net", `--allow-read=${cert},${key}`];
}

/** The name that the server's certificate is for. */
async function nameAt(place: string): Promise<string> {
  const args = ["s_client", "-connect", place];
  const { code, stdout, stderr } = await runCommand("openssl", args);
  assertEquals(code, 0, stderr);
  return stdout.match(/^subject=CN ?= ?(\w+)$/m)?.[1] ?? stdout;
}

Deno.test({ name: "server.ts --tls-mode detect serves with TLS and without", ignore }, async () => {
  await using dir = await makeTempDir();
  const files = await makeCertificate(dir.path, "one");
  const args = [...argsFor(files), "--tls-mode", "detect", "--service", "echo"];
  await using server = await serving(permissionsFor(files), ...args);
  assertEquals(await nameAt(server.place), "one");
  using plain = await Client.connect(Number(server.place.split(":")[1]));
  await plain.say("rose\n");
  await plain.hear("rose\n");
});

Deno.test({ name: "server.ts --tls-cert serves over TLS alone", ignore }, async () => {
  await using dir = await makeTempDir();
  const files = await makeCertificate(dir.path, "one");
  // TLS needs no permission but that to read its files.
  const others = ["env", "ffi", "import", "run", "sys", "write"].map((name) => `--deny-${name}`);
  await using server = await serving([...permissionsFor(files), ...others], ...argsFor(files));
  await using client = new Program("openssl", [
    ...["s_client", "-quiet", "-verify_return_error", "-CAfile", files.cert],
    ...["-connect", server.place],
  ]);
  await client.type("rose\n");
  await client.stdout.until(/welcome!hello, rose!/);
  await client.type("exit\n");
  assertEquals((await client.ended()).code, 0);
  await server.program.stderr.until(/session 1 .* ended: local, after \d+ ms, 10 bytes in, 20 /);
  using plain = await Client.connect(Number(server.place.split(":")[1]));
  await plain.say("rose\n");
  await server.program.stderr.until(/ refused: the TLS handshake failed \(TlsHandshakeError: /);
});

Deno.test({
  name: "server.ts says that it waits for a handshake when it stops",
  ignore: ignoreSignals,
}, async () => {
  await using dir = await makeTempDir();
  const files = await makeCertificate(dir.path, "one");
  await using server = await serving(permissionsFor(files), ...argsFor(files));
  const { program, place } = server;
  using _silent = await Client.connect(Number(place.split(":")[1]));
  assertEquals(await nameAt(place), "one"); // the silent one before it is accepted
  await program.stderr.until(/session 1 .* ended/);
  program.kill("SIGTERM");
  await program.stderr.until(/waiting for clients in a TLS handshake .*: another SIGTERM ends /);
  program.kill("SIGTERM");
  assertEquals((await program.ended()).code, 1);
});

Deno.test({
  name: "server.ts reads its certificate again on SIGHUP, and open sessions go on",
  ignore: ignoreSignals,
}, async () => {
  await using dir = await makeTempDir();
  const files = await makeCertificate(dir.path, "one");
  const other = await makeCertificate(dir.path, "two");
  await using server = await serving(permissionsFor(files), ...argsFor(files));
  const { program, place } = server;
  await using client = new Program("openssl", ["s_client", "-quiet", "-connect", place]);
  await client.type("rose\n");
  await client.stdout.until(/hello, rose!/);
  assertEquals(await nameAt(place), "one");

  await Deno.copyFile(other.cert, files.cert);
  await Deno.copyFile(other.key, files.key);
  assertEquals(await nameAt(place), "one");
  program.kill("SIGHUP");
  const line = /\[INF\] parley: the certificate was reloaded from "(.+)": new sessions use it\n/;
  assertEquals((await program.stderr.until(line))[1], files.cert);
  assertEquals(await nameAt(place), "two");

  await client.type("think\n");
  await client.stdout.until(/hello, think!/);
  await client.type("exit\n");
  await client.ended();
  program.kill("SIGTERM");
  const { code, stderr } = await program.ended();
  assertEquals(code, 0);
  assertMatch(stderr, /session 1 .* ended: local, after \d+ ms, 16 bytes in/);
});

Deno.test({
  name: "server.ts warns of a private key that everybody may read",
  ignore: ignoreSignals,
}, async () => {
  await using dir = await makeTempDir();
  const files = await makeCertificate(dir.path, "one");
  const warning = (mode: string) =>
    `[WRN] parley: --tls-key ${files.key} is open to everybody on this machine (mode ${mode}): chmod o= it\n`;
  for (
    const [mode, isWarned] of [[0o600, false], [0o640, false], [0o644, true], [
      0o402,
      true,
    ]] as const
  ) {
    await Deno.chmod(files.key, mode);
    await using server = await serving(permissionsFor(files), ...argsFor(files));
    const { stderr } = server.program;
    if (isWarned) await stderr.until(/\[WRN\].*\n/);
    assertEquals(stderr.text.includes(warning(mode.toString(8))), isWarned, stderr.text);
    assertEquals(stderr.text.includes("[WRN]"), isWarned, stderr.text);
    if (isWarned) continue;
    await Deno.chmod(files.key, 0o604);
    server.program.kill("SIGHUP"); // perhaps it was changed for the new key
    await stderr.until(/was reloaded.*\n.*mode 604/);
  }
});

Deno.test({
  name: "server.ts keeps its certificate on SIGHUP where the files will not do",
  ignore: ignoreSignals,
}, async () => {
  await using dir = await makeTempDir();
  const files = await makeCertificate(dir.path, "one");
  const other = await makeCertificate(dir.path, "two");
  await using server = await serving(permissionsFor(files), ...argsFor(files));
  const { program, place } = server;
  const cannotUse = `cannot use --tls-cert ${files.cert} with --tls-key ${files.key}:`;
  const faults: [change: () => Promise<void>, problem: string][] = [
    [() => Deno.copyFile(other.cert, files.cert), `${cannotUse} key does not belong to cert`],
    [() => Deno.writeTextFile(files.cert, "{nothing}"), `${cannotUse} cert must be one or`],
    [() => Deno.remove(files.cert), `cannot read --tls-cert ${files.cert}: no such file`],
  ];
  for (const [change, problem] of faults) {
    await change();
    program.kill("SIGHUP");
    await program.stderr.until(new RegExp(`was not reloaded, the old one stays: .*${problem}`));
    assertEquals(await nameAt(place), "one");
  }
  await Deno.copyFile(other.cert, files.cert);
  await Deno.copyFile(other.key, files.key);
  program.kill("SIGHUP");
  await program.stderr.until(/was reloaded from/);
  assertEquals(await nameAt(place), "two");
  assertEquals(program.stderr.text.match(/\[ERR\] parley: the certificate was not/g)?.length, 3);
});

Deno.test(
  { name: "server.ts reports in one line why it cannot use a certificate", ignore },
  async () => {
    await using dir = await makeTempDir();
    const { cert, key } = await makeCertificate(dir.path, "one");
    const other = await makeCertificate(dir.path, "two");
    const cases: [Files, string][] = [
      [
        { cert, key: other.key },
        `cannot use --tls-cert ${cert} with --tls-key ${other.key}: key does not belong to cert`,
      ],
      [
        { cert: key, key },
        `cannot use --tls-cert ${key} with --tls-key ${key}: cert must be one or more certificates in PEM`,
      ],
      [
        { cert, key: cert },
        `cannot use --tls-cert ${cert} with --tls-key ${cert}: key must be a private key in PEM, without a passphrase`,
      ],
      [
        { cert, key: `${dir.path}/none` },
        `cannot read --tls-key ${dir.path}/none: no such file or directory`,
      ],
      [
        { cert: dir.path, key },
        `cannot read --tls-cert ${dir.path}: illegal operation on a directory`,
      ],
    ];
    for (const [files, problem] of cases) {
      await using program = startServer(permissionsFor(files), ...argsFor(files));
      assertOneLine(await program.ended(), [1, problem]);
    }
  },
);

Deno.test(
  { name: "server.ts --tls-cert names the permissions that it needs", ignore },
  async () => {
    await using dir = await makeTempDir();
    const files = await makeCertificate(dir.path, "one");
    const { cert, key } = files;
    for (const [permission, missing] of [[[], cert], [[`--allow-read=${cert}`], key]] as const) {
      await using program = startServer(["--allow-net", ...permission], ...argsFor(files));
      assertOneLine(await program.ended(), [
        1,
        `no permission for read access to "${missing}": run with --allow-net --allow-read=${cert},${key}`,
      ]);
    }
  },
);
