// Certificates for the tests of TLS, made by openssl in a directory that goes with the test file that asked for them.

import { canNet, canRead, canRun, canWrite } from "./_permissions.ts";

/** Whether the tests of TLS can make certificates and talk to themselves. */
export const cannotTls: boolean =
  !(canNet && canRead && canWrite && await canRun("openssl") && Deno.build.os !== "windows");

/** A certificate and its key, as PEM and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a certificate says. */
interface Wanted {
  /** As openssl takes it, such as `/CN=rose/O=Garden`. */
  subject: string;
  /** Lines of extensions, such as `subjectAltName=DNS:localhost`; without any it is of X.509 version 1. */
  extensions?: string[];
  /** How long it is valid; negative if it is so no more. */
  days?: number;
  /** Who signs it; itself by default. */
  by?: Certificate;
}

let directory: string | undefined;
let made = 0;

/** Where the files lie. */
async function tempDir(): Promise<string> {
  if (directory === undefined) {
    directory = await Deno.makeTempDir({ prefix: "parley-tls-" });
    const path = directory;
    addEventListener("unload", () => Deno.removeSync(path, { recursive: true }));
  }
  return directory;
}

async function openssl(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, stdin: "null" }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** Makes a certificate. */
export async function makeCertificate(wanted: Wanted): Promise<Certificate> {
  const { subject, extensions = [], days = 2, by } = wanted;
  const path = `${await tempDir()}/${made++}`;
  const [certFile, keyFile, request, extFile] = ["pem", "key", "csr", "ext"]
    .map((kind) => `${path}.${kind}`) as [string, string, string, string];
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl("req", "-new", ...newKey, "-keyout", keyFile, "-out", request, "-subj", subject);
  await Deno.writeTextFile(extFile, `${extensions.join("\n")}\n`);
  const signer = by === undefined
    ? ["-signkey", keyFile]
    : ["-CA", by.certFile, "-CAkey", by.keyFile, "-set_serial", `${Date.now()}${made}`];
  const withExtensions = extensions.length > 0 ? ["-extfile", extFile] : [];
  const signing = ["x509", "-req", "-in", request, "-days", `${days}`, "-out", certFile];
  await openssl(...signing, ...signer, ...withExtensions);
  const [cert, key] = await Promise.all([certFile, keyFile].map((file) => Deno.readTextFile(file)));
  return { cert: cert!, key: key!, certFile, keyFile };
}

/** Makes an authority that signs others. */
export function makeAuthority(name: string): Promise<Certificate> {
  const extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
  return makeCertificate({ subject: `/CN=${name}`, extensions });
}

/** The certificates that most tests need. */
export interface Certificates {
  readonly ca: Certificate;
  /** An authority that nobody trusts. */
  readonly rogueCa: Certificate;
  /** For `localhost`, `127.0.0.1` and `::1`. */
  readonly server: Certificate;
  /** Of `CN=rose,O=Garden`. */
  readonly client: Certificate;
}

/** Makes those; empty where {@linkcode cannotTls}. */
export async function makeCertificates(): Promise<Certificates> {
  if (cannotTls) return {} as Certificates;
  const [ca, rogueCa] = await Promise.all([makeAuthority("ca"), makeAuthority("rogue")]);
  const [server, client] = await Promise.all([
    makeCertificate({
      subject: "/CN=garden",
      extensions: ["subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"],
      by: ca,
    }),
    makeCertificate({
      subject: "/CN=rose/O=Garden",
      extensions: ["subjectAltName=DNS:rose"],
      by: ca,
    }),
  ]);
  return { ca, rogueCa, server, client };
}
