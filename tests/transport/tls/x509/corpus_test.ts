// Chains of all kinds that openssl makes and accepts: whoever shows one has to be let in.

import { assertEquals } from "@std/assert";
import { dialTls } from "../../../../transport/tls/client.ts";
import { memoryPair } from "../../../../transport/memory.ts";
import { TlsAcceptor } from "../../../../transport/tls/server.ts";
import { type Certificate, makeCertificate, type Wanted } from "../../../_certificates.ts";
import { makeTempDir } from "../../../_temp_dir.ts";
import { HANDSHAKE_TIMEOUT, overTls } from "../../../_tls.ts";

const P384 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
const ED25519 = ["ed25519"];
const RSA = ["rsa:2048"];
const RSA_3072 = ["rsa:3072"];
const PSS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];

const SAN = "subjectAltName=DNS:localhost";
const AUTHORITY = ["basicConstraints=critical,CA:TRUE"];
const KEY_IDS = ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"];

type Options = Partial<Wanted>;

/** Most chains end there. */
const plainRoot = overTls.ignore ? undefined : await authority("root");

function authority(name: string, options: Options = {}): Promise<Certificate> {
  return makeCertificate({ subject: `/CN=${name}`, extensions: AUTHORITY, days: 20, ...options });
}

function leaf(by: Certificate | undefined, options: Options = {}): Promise<Certificate> {
  const { extensions = [SAN] } = options;
  return makeCertificate({ subject: "/CN=leaf", ...by && { by }, ...options, extensions });
}

/** A chain, from the peer's own certificate upwards, and who is trusted. */
interface Chain {
  shown: Certificate[];
  trusted: Certificate[];
  /** What openssl needs to be told to accept it, besides. */
  args?: string[];
  /** Whom it is not for. */
  not?: "server" | "client";
}

async function rootOf(options: Options | undefined): Promise<Certificate> {
  return options === undefined ? plainRoot! : await authority("root", options);
}

/** A leaf right below a root. */
async function below(rootOptions?: Options, leafOptions?: Options): Promise<Chain> {
  const root = await rootOf(rootOptions);
  return { shown: [await leaf(root, leafOptions)], trusted: [root] };
}

/** A leaf below an intermediate below a root. */
async function between(
  options: Options,
  leafOptions?: Options,
  rootOptions?: Options,
): Promise<Chain> {
  const root = await rootOf(rootOptions);
  const middle = await authority("between", { by: root, ...options });
  return { shown: [await leaf(middle, leafOptions), middle], trusted: [root] };
}

const withLeaf = (...extensions: string[]): Promise<Chain> =>
  below(undefined, { extensions: [SAN, ...extensions] });
const constrained = (constraints: string, names: string): Promise<Chain> =>
  between(
    { extensions: [...AUTHORITY, `nameConstraints=critical,${constraints}`] },
    { extensions: [`subjectAltName=${names}`] },
  );

const CHAINS: Record<string, () => Promise<Chain>> = {
  "of P-256": () => below(),
  "of P-384": () =>
    below({ newKey: P384, signing: ["-sha384"] }, { newKey: P384, signing: ["-sha384"] }),
  "of P-384 with SHA-256": () => below({ newKey: P384 }, { signing: ["-sha256"] }),
  "of P-256 with SHA-512": () => below(undefined, { signing: ["-sha512"] }),
  "of P-521": () =>
    below({ newKey: P521, signing: ["-sha512"] }, { newKey: P521, signing: ["-sha512"] }),
  "of RSA": () => below({ newKey: RSA }, { newKey: RSA }),
  "of RSA with SHA-512": () => below({ newKey: RSA_3072 }, { newKey: RSA, signing: ["-sha512"] }),
  "of RSA with PSS": () => below({ newKey: RSA }, { newKey: RSA, signing: PSS }),
  "of Ed25519": () => below({ newKey: ED25519 }, { newKey: ED25519 }),
  "of all kinds of keys": async () => {
    const root = await authority("root", { newKey: RSA });
    const first = await authority("first", { by: root, newKey: P384 });
    const second = await authority("second", { by: first, newKey: ED25519, signing: ["-sha384"] });
    return { shown: [await leaf(second), second, first], trusted: [root] };
  },
  "of five steps": async () => {
    const root = plainRoot!;
    const shown: Certificate[] = [];
    for (let i = 0; i < 4; i++) {
      shown.unshift(await authority(`step ${i}`, { by: shown[0] ?? root }));
    }
    return { shown: [await leaf(shown[0]!), ...shown], trusted: [root] };
  },
  "with its root": async () => {
    const { shown, trusted } = await between({});
    return { shown: [...shown, ...trusted], trusted };
  },
  "in another order": async () => {
    const root = plainRoot!;
    const first = await authority("first", { by: root });
    const second = await authority("second", { by: first });
    return { shown: [await leaf(second), first, second], trusted: [root] };
  },
  "with another certificate": async () => {
    const { shown, trusted } = await between({});
    return { shown: [...shown, await authority("other")], trusted };
  },
  "with an intermediate of version 1 that is not needed": async () => {
    const { shown, trusted } = await between({});
    return { shown: [...shown, await makeCertificate({ subject: "/CN=old" })], trusted };
  },
  "with key identifiers": () =>
    between(
      { extensions: [...AUTHORITY, ...KEY_IDS] },
      {
        extensions: [
          SAN,
          "subjectKeyIdentifier=hash",
          "authorityKeyIdentifier=keyid,issuer:always",
        ],
      },
      { extensions: [...AUTHORITY, "subjectKeyIdentifier=hash"] },
    ),
  "of one of two roots of a name": async () => {
    const { shown, trusted } = await between({});
    return { shown, trusted: [await authority("root"), ...trusted] };
  },
  "of an authority that two roots have signed": async () => {
    const [root, other] = [await authority("root"), await authority("other")];
    const middle = await authority("between", { by: root });
    const crossed = await authority("between", { by: other, like: middle });
    return { shown: [await leaf(middle), middle, crossed], trusted: [root] };
  },
  "of an intermediate that is trusted itself": async () => {
    const { shown: [own, middle] } = await between({});
    return { shown: [own!], trusted: [middle!], args: ["-partial_chain"] };
  },
  "of itself, which somebody unknown has signed": async () => {
    const own = await leaf(plainRoot);
    return { shown: [own], trusted: [own], args: ["-partial_chain"], not: "server" };
  },
  "of an intermediate that is trusted with its root": async () => {
    const { shown: [own, middle], trusted } = await between({});
    return { shown: [own!], trusted: [middle!, ...trusted] };
  },
  "of just as many authorities as are allowed": () =>
    between(
      { extensions: ["basicConstraints=critical,CA:TRUE,pathlen:0"] },
      {},
      { extensions: ["basicConstraints=critical,CA:TRUE,pathlen:1"] },
    ),
  "of authorities that say all": () =>
    between({
      extensions: [
        ...AUTHORITY,
        ...KEY_IDS,
        "keyUsage=critical,keyCertSign,cRLSign",
        "extendedKeyUsage=serverAuth,clientAuth",
        "certificatePolicies=1.2.3.4",
        "crlDistributionPoints=URI:http://crl.example/1",
        "authorityInfoAccess=OCSP;URI:http://ocsp.example/",
        "issuerAltName=URI:http://example/",
        "nsCertType=sslCA",
        "nsComment=made here",
      ],
    }),
  "of itself, not as an authority": async () => {
    const own = await leaf(undefined);
    return { shown: [own], trusted: [own] };
  },
  "of itself, as an authority": async () => {
    const own = await leaf(undefined, {
      extensions: [SAN, ...AUTHORITY, "subjectKeyIdentifier=hash"],
    });
    return { shown: [own], trusted: [own] };
  },
  "for all purposes": () =>
    withLeaf("extendedKeyUsage=serverAuth,clientAuth,emailProtection,anyExtendedKeyUsage"),
  "for a server": async () => ({
    ...await withLeaf("extendedKeyUsage=critical,serverAuth"),
    not: "client",
  }),
  "for a client": async () => ({ ...await withLeaf("extendedKeyUsage=clientAuth"), not: "server" }),
  "for signing": () => withLeaf("keyUsage=critical,digitalSignature,nonRepudiation"),
  "for signing and secrets": () =>
    withLeaf("keyUsage=digitalSignature,keyEncipherment,keyAgreement"),
  "for a server's secrets": async () => ({
    ...await below(undefined, { newKey: RSA, extensions: [SAN, "keyUsage=keyEncipherment"] }),
    not: "client",
  }),
  "of Netscape's types": () => withLeaf("nsCertType=server,client", "nsComment=x"),
  "of what is no authority": () => withLeaf("basicConstraints=critical,CA:FALSE"),
  "with lists that are critical": () =>
    withLeaf("crlDistributionPoints=critical,URI:http://crl.example/1"),
  "with what nobody knows": () =>
    withLeaf("1.2.3.4=ASN1:UTF8String:hello", "tlsfeature=status_request"),
  "with names of all kinds": () =>
    below(undefined, {
      extensions: [
        "subjectAltName=@names",
        "[names]",
        "DNS.1=example.com",
        "DNS.2=*.example.com",
        "DNS.3=localhost",
        "IP.1=192.0.2.1",
        "IP.2=2001:db8::1",
        "email=rose@example.com",
        "URI=https://example.com/",
        "RID=1.2.3.4",
        "otherName=1.2.3.4;UTF8:rose",
        "dirName=rose",
        "[rose]",
        "CN=rose",
      ],
    }),
  "with nothing but an alternative name": () =>
    below(undefined, { subject: "/", extensions: ["subjectAltName=critical,DNS:localhost"] }),
  "with a long name": () =>
    below(undefined, {
      subject: "/C=DE/ST=Berlin/L=Berlin/O=Garden, Ltd./OU=Röse \\+ Sons/CN=Ö/emailAddress=r@x",
    }),
  "with a number of no bits": () => below(undefined, { serialNumber: "0" }),
  "with a large number": () => below(undefined, { serialNumber: `0x${"f".repeat(38)}` }),
  "that lasts": () => below({ days: 20_000 }, { days: 20_000 }),
  "whose root lasts less": () => below({ days: 3 }, { days: 20_000 }),
  "within permitted hosts": () =>
    constrained(
      "permitted;DNS:localhost,permitted;DNS:example.com",
      "DNS:localhost,DNS:a.example.com",
    ),
  "beside excluded hosts": () =>
    constrained("excluded;DNS:example.com,excluded;DNS:.org", "DNS:localhost,DNS:badexample.com"),
  "within permitted addresses": () =>
    constrained(
      "permitted;IP:10.0.0.0/255.0.0.0,permitted;IP:2001:db8::/ffff:ffff::,excluded;IP:10.9.0.0/255.255.0.0",
      "DNS:localhost,IP:10.1.2.3,IP:2001:db8::1",
    ),
  "beside constraints on names that it has not": () =>
    constrained("permitted;email:example.com,excluded;URI:example.com", "DNS:localhost"),
};

for (const [name, make] of Object.entries(CHAINS)) {
  Deno.test(`A peer is accepted by a chain ${name}`, overTls, async () => {
    const chain = await make();
    for (const role of ["server", "client"] as const) {
      if (chain.not === role) continue;
      await assertTakenByOpenssl(chain, role);
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        assertEquals(await outcome(chain, role, version), "let in", `${role} ${version}`);
      }
    }
  });
}

async function assertTakenByOpenssl(
  { shown, trusted, args = [] }: Chain,
  role: string,
): Promise<void> {
  await using dir = await makeTempDir();
  const [ca, untrusted] = [`${dir.path}/ca`, `${dir.path}/untrusted`];
  await Deno.writeTextFile(ca, pem(trusted));
  await Deno.writeTextFile(untrusted, pem(shown.slice(1)));
  const purpose = role === "server"
    ? ["-purpose", "sslserver", "-verify_hostname", "localhost"]
    : ["-purpose", "sslclient"];
  const others = shown.length > 1 ? ["-untrusted", untrusted] : [];
  const all = ["verify", "-CAfile", ca, ...others, ...purpose, ...args, shown[0]!.certFile];
  const { success, stderr } = await new Deno.Command("openssl", { args: all }).output();
  assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
}

function pem(certificates: Certificate[]): string {
  return certificates.map(({ cert }) => cert).join("");
}

const other = overTls.ignore ? undefined : await leaf(undefined);

/** What comes of a peer that shows a chain. */
async function outcome(
  { shown, trusted }: Chain,
  role: string,
  maxVersion: "TLSv1.2" | "TLSv1.3",
): Promise<string> {
  const { key } = shown[0]!;
  const own = { cert: pem(shown), key };
  const [near, far] = memoryPair();
  const isServer = role === "server";
  const acceptor = new TlsAcceptor(
    isServer
      ? own
      : { cert: other!.cert, key: other!.key, clientCertificate: "required", ca: pem(trusted) },
  );
  const client = {
    serverName: "localhost",
    ...(isServer ? { ca: pem(trusted) } : { ca: other!.cert, ...own }),
  };
  const accepted = acceptor.accept(near, HANDSHAKE_TIMEOUT);
  const dialled = dialTls(far, { ...client, maxVersion }, new AbortController().signal);
  const sides = await Promise.allSettled([accepted, dialled]);
  for (const side of sides) if (side.status === "fulfilled") side.value.close();
  const problem = sides[isServer ? 1 : 0]!;
  return problem.status === "rejected" ? String(problem.reason) : "let in";
}
