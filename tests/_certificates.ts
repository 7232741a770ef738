// Certificates for the tests of TLS. openssl makes them in a directory that is removed after the test file.

import { canNet, canRead, canRun, canWrite } from "./_permissions.ts";

/** Whether the tests of TLS cannot run: they need openssl to make certificates, and the loopback interface. */
export const cannotTls: boolean =
  !(canNet && canRead && canWrite && await canRun("openssl") && Deno.build.os !== "windows");

/** A certificate and its key, as PEM and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** The contents of a certificate. */
export interface Wanted {
  /** In the syntax of openssl, such as `/CN=rose/O=Garden`. */
  subject: string;
  /** Lines of extensions, such as `subjectAltName=DNS:localhost`. Without any, the certificate has version 1 of X.509. */
  extensions?: string[];
  /** How many days ago its validity began (negative: will begin), and in how many days it ends. */
  since?: number;
  days?: number;
  /** Who signs it; itself by default. */
  by?: Certificate;
  /** The kind of the key, in the syntax of openssl; P-256 by default. */
  newKey?: string[];
  /** The certificate whose key it uses, instead of a new one. */
  like?: Certificate;
  /** The options of the signature, in the syntax of openssl. */
  signing?: string[];
  /** Its serial number; a new one by default. */
  serialNumber?: string;
}

let directory: string | undefined;
let made = 0;

/** The directory of the files. */
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

const P256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/** Makes a certificate. */
export async function makeCertificate(wanted: Wanted): Promise<Certificate> {
  const { subject, extensions = [], since = 0, days = 2, by, newKey = P256, signing = [] } = wanted;
  const { like, serialNumber = `${Date.now()}${made}` } = wanted;
  const path = `${await tempDir()}/${made++}`;
  const [certFile, keyFile, request, extFile] = ["pem", "key", "csr", "ext"]
    .map((kind) => `${path}.${kind}`) as [string, string, string, string];
  if (like !== undefined) await Deno.copyFile(like.keyFile, keyFile);
  const keys = like === undefined
    ? ["-newkey", ...newKey, "-nodes", "-keyout", keyFile]
    : ["-key", keyFile];
  await openssl("req", "-new", "-utf8", ...keys, "-out", request, "-subj", subject);
  await Deno.writeTextFile(extFile, `${extensions.join("\n")}\n`);
  const withExtensions = extensions.length > 0 ? ["-extfile", extFile] : [];
  const inAndOut = ["-in", request, "-out", certFile, ...withExtensions];
  if (since === 0 && days > 0) {
    const signer = by === undefined
      ? ["-signkey", keyFile]
      : ["-CA", by.certFile, "-CAkey", by.keyFile, "-set_serial", serialNumber];
    await openssl("x509", "-req", "-days", `${days}`, ...inAndOut, ...signer, ...signing);
  } else {
    const config = `${path}.cnf`;
    await Deno.writeTextFile(config, configOfCa(path));
    await Deno.writeTextFile(`${path}.index`, "");
    const signer = by === undefined
      ? ["-selfsign", "-keyfile", keyFile]
      : ["-cert", by.certFile, "-keyfile", by.keyFile];
    const dates = ["-startdate", dateIn(-since), "-enddate", dateIn(days)];
    await openssl("ca", "-batch", "-notext", "-config", config, ...dates, ...inAndOut, ...signer);
  }
  const [cert, key] = await Promise.all([certFile, keyFile].map((file) => Deno.readTextFile(file)));
  const certificate = { cert: cert!, key: key! };
  // Not enumerable: it would be passed on as an unknown option of TLS.
  return Object.defineProperties(certificate, {
    certFile: { value: certFile },
    keyFile: { value: keyFile },
  }) as Certificate;
}

/** The configuration of the openssl command that can set any validity. */
function configOfCa(path: string): string {
  return `[ca]
default_ca = default
[default]
database = ${path}.index
new_certs_dir = ${path.slice(0, path.lastIndexOf("/"))}
rand_serial = yes
default_md = sha256
policy = policy
unique_subject = no
preserve = yes
[policy]
commonName = supplied
`;
}

function dateIn(days: number): string {
  const iso = new Date(Date.now() + days * 86_400_000).toISOString();
  return `${iso.slice(0, 19).replaceAll(/\D/g, "")}Z`;
}

/** Makes a certificate authority. */
export function makeAuthority(name: string): Promise<Certificate> {
  const extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
  return makeCertificate({ subject: `/CN=${name}`, extensions });
}

/** The certificates that most tests need. */
export interface Certificates {
  readonly ca: Certificate;
  /** An authority that is not trusted. */
  readonly rogueCa: Certificate;
  /** For `localhost`, `127.0.0.1` and `::1`. */
  readonly server: Certificate;
  /** Of `CN=rose,O=Garden`. */
  readonly client: Certificate;
}

/** Makes them; empty if {@linkcode cannotTls}. */
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
