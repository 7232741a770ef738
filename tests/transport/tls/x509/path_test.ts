import { assertEquals, assertThrows } from "@std/assert";
import { readCertificate } from "../../../../transport/tls/x509/certificate.ts";
import { checkPath } from "../../../../transport/tls/x509/path.ts";
import { Signatures } from "../../../../transport/tls/x509/signature.ts";
import {
  commonName,
  der,
  extension,
  type Fields,
  forHost,
  type KeyPair,
  makeKeys,
  makeX509,
  octets,
  ofAuthority,
  ofLeaf,
  oid,
  sequence,
  text,
  TRUE,
  validFor,
} from "../../../_x509.ts";

const KEY_USAGE = "2.5.29.15";
const DIGITAL_SIGNATURE = der(0x03, [7, 0x80]);
const KEY_ENCIPHERMENT = der(0x03, [5, 0x20]);
const CRL_SIGN = der(0x03, [1, 0x02]);
const EXTENDED = "2.5.29.37";
const SERVER_AUTH = sequence(oid("1.3.6.1.5.5.7.3.1"));
const CLIENT_AUTH = sequence(oid("1.3.6.1.5.5.7.3.2"));
const ANY_USAGE = sequence(oid("2.5.29.37.0"));
const SUBJECT_KEY = "2.5.29.14";
const AUTHORITY_KEY = "2.5.29.35";
const NETSCAPE_TYPE = "2.16.840.1.113730.1.1";

/** Somebody with a name and a key. */
interface Party {
  readonly name: Uint8Array;
  readonly keys: KeyPair;
}

function party(name: string, keys: KeyPair = makeKeys("Ed25519")): Party {
  return { name: commonName(name), keys };
}

const root = party("root");
const between = party("between");
const below = party("below");
const leaf = party("leaf");

/** The certificate that somebody gives somebody. */
function given(
  by: Party,
  to: Party,
  extensions: Uint8Array[],
  fields: Partial<Fields> = {},
): Uint8Array {
  const { name: issuer } = by;
  const { name: subject, keys: { publicKey } } = to;
  return makeX509({ issuer, subject, publicKey, extensions, ...fields }, by.keys.privateKey);
}

/** An authority's, of which at most so many come between. */
function upTo(count: number): Uint8Array {
  return extension("2.5.29.19", sequence(TRUE, der(0x02, [count])), true);
}

function constraints(permitted: Uint8Array[], excluded: Uint8Array[] = []): Uint8Array {
  const subtrees = (tag: number, bases: Uint8Array[]): Uint8Array =>
    bases.length === 0 ? new Uint8Array() : der(tag, ...bases.map((base) => sequence(base)));
  const value = sequence(subtrees(0xa0, permitted), subtrees(0xa1, excluded));
  return extension("2.5.29.30", value, true);
}

const dns = (name: string): Uint8Array => text(0x82, name);
const ip = (...bytes: number[]): Uint8Array => der(0x87, bytes);
const named = (...names: Uint8Array[]): Uint8Array => extension("2.5.29.17", sequence(...names));
const keyId = (byte: number): Uint8Array => extension(SUBJECT_KEY, octets(Uint8Array.of(byte)));
const byKeyId = (byte: number): Uint8Array => extension(AUTHORITY_KEY, sequence(der(0x80, [byte])));

const rootDer = given(root, root, [ofAuthority]);
const betweenDer = given(root, between, [ofAuthority]);
const leafDer = given(between, leaf, [ofLeaf, forHost("localhost")]);

interface Case {
  shown: Uint8Array[];
  anchors?: Uint8Array[];
  role?: "server" | "client";
  signatures?: Signatures;
}

function check(
  { shown, anchors = [rootDer], role = "server", signatures = new Signatures() }: Case,
): void {
  const [first, ...others] = shown.map(readCertificate);
  const trusted = anchors.map(readCertificate);
  const limits = { now: Date.now(), signatures, maxSignatures: 10 };
  checkPath([first!, ...others], { anchors: trusted, role, ...limits });
}

/** A leaf below an intermediate that has these extensions. */
function below1(extensions: Uint8Array[], leafExtensions: Uint8Array[] = [ofLeaf]): Uint8Array[] {
  return [given(between, leaf, leafExtensions), given(root, between, [ofAuthority, ...extensions])];
}

/** A leaf with these extensions. */
function ofRoot(...extensions: Uint8Array[]): Uint8Array[] {
  return [given(root, leaf, extensions)];
}

const rsa = party("rsa", makeKeys("RSA"));
const constrained = (names: Uint8Array[], ...args: Parameters<typeof constraints>): Case => ({
  shown: below1([constraints(...args)], [named(...names)]),
});

const GOOD: Record<string, Case> = {
  "an intermediate": { shown: [leafDer, betweenDer] },
  "a root that is shown as well": { shown: [leafDer, betweenDer, rootDer] },
  "another order, and something else": {
    shown: [leafDer, rootDer, given(below, below, []), betweenDer],
  },
  "an intermediate that is trusted itself": { shown: [leafDer], anchors: [betweenDer] },
  "two roots of one name": {
    shown: [leafDer, betweenDer],
    anchors: [
      given({ ...below, name: root.name }, { ...below, name: root.name }, [ofAuthority]),
      rootDer,
    ],
  },
  "as many authorities as are allowed": {
    shown: [leafDer, betweenDer],
    anchors: [given(root, root, [upTo(1)])],
  },
  "an authority that allows none below": {
    shown: below1([]).with(1, given(root, between, [upTo(0)])),
  },
  "a key that is for signing": { shown: ofRoot(extension(KEY_USAGE, DIGITAL_SIGNATURE, true)) },
  "a server's RSA key that is for secrets": {
    shown: [given(root, rsa, [extension(KEY_USAGE, KEY_ENCIPHERMENT)])],
  },
  "a purpose": { shown: ofRoot(extension(EXTENDED, SERVER_AUTH)) },
  "an authority's purpose": { shown: below1([extension(EXTENDED, SERVER_AUTH)]) },
  "Netscape's purpose": { shown: ofRoot(extension(NETSCAPE_TYPE, der(0x03, [6, 0x40]))) },
  "an extension that nobody knows": { shown: ofRoot(extension("1.2.3.4", Uint8Array.of(1))) },
  "a BOOLEAN that need not be there": {
    shown: ofRoot(sequence(oid("1.2.3.4"), der(0x01, [0]), octets())),
  },
  "key identifiers": {
    shown: [given(root, leaf, [byKeyId(1)])],
    anchors: [given(root, root, [ofAuthority, keyId(1)])],
  },
  "a host below": constrained([dns("www.Example.com"), dns("*.example.com")], [dns("example.com")]),
  "a host beside": constrained([dns("badexample.com"), dns("*.b.test")], [], [
    dns("example.com"),
    dns("a.b.b.test"),
  ]),
  "an address": constrained([ip(10, 1, 2, 3)], [ip(10, 0, 0, 0, 255, 0, 0, 0)], [
    ip(10, 9, 0, 0, 255, 255, 0, 0),
  ]),
  "a kind of name that there is not": constrained([dns("localhost")], [text(0x81, "example.com")]),
};

for (const [name, what] of Object.entries(GOOD)) {
  Deno.test(`checkPath() accepts ${name}`, { permissions: "none" }, () => check(what));
}

const pinned = given(leaf, leaf, [ofLeaf]);
Deno.test("checkPath() takes a leaf that is trusted itself", { permissions: "none" }, () => {
  for (const role of ["server", "client"] as const) {
    check({ shown: [pinned], anchors: [pinned], role });
  }
});

const BAD: Record<string, Case & { problem: string }> = {
  "nobody's": { shown: [leafDer], problem: "is not signed by a trusted authority" },
  "its own": { shown: [pinned], problem: "is self-signed and not trusted" },
  "an unknown root's": {
    shown: [leafDer, betweenDer, rootDer],
    anchors: [pinned],
    problem: "chains to a root that is not trusted",
  },
  "an unknown intermediate's": {
    shown: [leafDer, betweenDer],
    anchors: [pinned],
    problem: "does not chain to a trusted authority",
  },
  "what another has signed in its name": {
    shown: [given({ ...root, keys: below.keys }, leaf, [])],
    problem: "has a bad signature",
  },
  "what another has signed in the name of its issuer": {
    shown: [leafDer, given({ ...root, keys: below.keys }, between, [ofAuthority])],
    problem: 'chains to "CN=between", whose certificate has a bad signature',
  },
  "another key of its issuer": {
    shown: [given(root, leaf, [byKeyId(2)])],
    anchors: [given(root, root, [ofAuthority, keyId(1)])],
    problem: 'is not signed with the key of "CN=root"',
  },
  "one that is renewed and not trusted": {
    shown: [given(leaf, leaf, [ofLeaf])],
    anchors: [pinned],
    problem: "is self-signed and not trusted",
  },
  "a leaf for an authority": {
    shown: [leafDer, given(root, between, [])],
    problem: 'chains to "CN=between", whose certificate is not a CA certificate',
  },
  "a root that is none": {
    shown: ofRoot(),
    anchors: [given(root, root, [])],
    problem: 'chains to "CN=root", whose certificate is not a CA certificate',
  },
  "a root that may not sign": {
    shown: ofRoot(),
    anchors: [given(root, root, [ofAuthority, extension(KEY_USAGE, CRL_SIGN)])],
    problem: "whose certificate has a key that is not for signing certificates",
  },
  "a root that has expired": {
    shown: ofRoot(),
    anchors: [given(root, root, [ofAuthority], { validity: validFor(30, -1) })],
    problem: 'chains to "CN=root", whose certificate has expired',
  },
  "an authority for a server": {
    shown: [betweenDer],
    problem: "is a CA certificate, not one of a server",
  },
  "too many authorities": {
    shown: [leafDer, betweenDer],
    anchors: [given(root, root, [upTo(0)])],
    problem: "allows 0 CA certificates below it, found 1",
  },
  "a leaf that has authorities below": {
    shown: ofRoot(extension("2.5.29.19", sequence(der(0x02, [1])))),
    problem: "has an extension 2.5.29.19 that cannot be read",
  },
  "what has expired": {
    shown: [given(root, leaf, [], { validity: validFor(30, -1) })],
    problem: "has expired",
  },
  "what is not valid yet": {
    shown: [given(root, leaf, [], { validity: validFor(-1) })],
    problem: "is not valid yet",
  },
  "an issuer that has expired": {
    shown: [leafDer, given(root, between, [ofAuthority], { validity: validFor(30, -1) })],
    problem: 'chains to "CN=between", whose certificate has expired',
  },
  "a client's": {
    shown: ofRoot(extension(EXTENDED, CLIENT_AUTH)),
    problem: "is not for a server (ext",
  },
  "a server's": {
    shown: ofRoot(extension(EXTENDED, SERVER_AUTH)),
    role: "client",
    problem: "is not for a client",
  },
  "what is for anything": {
    shown: ofRoot(extension(EXTENDED, ANY_USAGE)),
    problem: "is not for a server",
  },
  "an authority's for clients": {
    shown: below1([extension(EXTENDED, CLIENT_AUTH)]),
    problem: 'chains to "CN=between", whose certificate is not for a server',
  },
  "a root's for clients": {
    shown: ofRoot(),
    anchors: [given(root, root, [ofAuthority, extension(EXTENDED, CLIENT_AUTH)])],
    problem: 'chains to "CN=root", whose certificate is not for a server',
  },
  "Netscape's for clients": {
    shown: ofRoot(extension(NETSCAPE_TYPE, der(0x03, [7, 0x80]))),
    problem: "is not for a server",
  },
  "a key for something else": {
    shown: ofRoot(extension(KEY_USAGE, KEY_ENCIPHERMENT)),
    problem: "has a key that is not for TLS",
  },
  "a client's key for secrets": {
    shown: [given(root, rsa, [extension(KEY_USAGE, KEY_ENCIPHERMENT)])],
    role: "client",
    problem: "has a key that is not for TLS",
  },
  "what is critical and unknown": {
    shown: ofRoot(extension("1.2.3.4", Uint8Array.of(1), true)),
    problem: "has an unknown critical extension 1.2.3.4",
  },
  "a proxy's": {
    shown: ofRoot(extension("1.3.6.1.5.5.7.1.14", sequence())),
    problem: "has an unknown critical extension 1.3.6.1.5.5.7.1.14",
  },
  "a kind of key that is not accepted": {
    shown: [
      given(root, party("X", { ...root.keys, publicKey: makeKeys("secp256k1").publicKey }), []),
    ],
    problem: "has a key of a kind that is not accepted",
  },
  "another host": {
    ...constrained([dns("localhost")], [dns("example.com")]),
    problem: "has a name that an authority above it does not permit",
  },
  "one other host of two": {
    ...constrained([dns("example.com"), dns("badexample.com")], [dns("example.com")]),
    problem: "has a name that an authority above it does not permit",
  },
  "a host that is excluded": {
    ...constrained([dns("a.Example.com.")], [], [dns("example.com")]),
    problem: "has a name that an authority above it does not permit",
  },
  "a wildcard for a host that is excluded": {
    ...constrained([dns("*.example.com")], [], [dns("bad.example.com")]),
    problem: "has a name that an authority above it does not permit",
  },
  "a wildcard for more than is permitted": {
    ...constrained([dns("*.example.com")], [dns("www.example.com")]),
    problem: "has a name that an authority above it does not permit",
  },
  "a common name for another host": {
    shown: [
      given(between, party("www.test"), [ofLeaf]),
      given(root, between, [ofAuthority, constraints([dns("example.com")])]),
    ],
    problem: "has a name that an authority above it does not permit",
  },
  "another address": {
    ...constrained([ip(10, 1, 2, 3)], [ip(10, 2, 0, 0, 255, 255, 0, 0)]),
    problem: "has a name that an authority above it does not permit",
  },
  "an address of the other family": {
    ...constrained([ip(10, 1, 2, 3)], [ip(...new Uint8Array(32))]),
    problem: "has a name that an authority above it does not permit",
  },
  "a constraint that is not understood": {
    ...constrained([text(0x81, "rose@example.com")], [text(0x81, "example.com")]),
    problem: "has a name that an authority above it does not permit",
  },
  "an issuer that its issuer may not vouch for": {
    shown: [
      given(below, leaf, []),
      given(between, below, [ofAuthority, named(dns("localhost"))]),
      given(root, between, [ofAuthority, constraints([dns("example.com")])]),
    ],
    problem: 'chains to "CN=below", whose certificate has a name that',
  },
};

for (const [name, { problem, ...what }] of Object.entries(BAD)) {
  Deno.test(`checkPath() refuses ${name}`, { permissions: "none" }, () => {
    assertThrows(() => check(what), Error, problem);
  });
}

class Counted extends Signatures {
  count = 0;

  override check(...args: Parameters<Signatures["check"]>): void {
    this.count++;
    super.check(...args);
  }
}

Deno.test(
  "checkPath() verifies a few signatures, whatever it gets",
  { permissions: "none" },
  () => {
    const mazes: Record<string, [twins: Uint8Array[], problem: string]> = {
      "where nobody is the issuer": [
        Array.from(
          { length: 19 },
          () => given(root, { ...between, keys: below.keys }, [ofAuthority]),
        ),
        "has a bad signature",
      ],
      "where everybody is everybody's issuer": [
        Array.from({ length: 19 }, (_, i) => {
          return given(between, between, [ofAuthority, keyId(i % 2), byKeyId((i + 1) % 2)]);
        }),
        "does not chain to a trusted authority within 10 certificates",
      ],
    };
    for (const [twins, problem] of Object.values(mazes)) {
      const signatures = new Counted();
      const shown = [leafDer, ...twins, betweenDer];
      assertThrows(() => check({ shown, signatures }), Error, problem);
      assertEquals(signatures.count, 10);
    }
  },
);

Deno.test("checkPath() goes up 10 certificates at most", { permissions: "none" }, () => {
  const ladder = Array.from({ length: 12 }, (_, i) => party(`step ${i}`));
  const steps = ladder.slice(1).map((to, i) => given(ladder[i]!, to, [ofAuthority])).reverse();
  const anchors = [given(ladder[0]!, ladder[0]!, [ofAuthority])];
  check({ shown: [given(ladder[8]!, leaf, []), ...steps], anchors });
  assertThrows(
    () => check({ shown: [given(ladder[9]!, leaf, []), ...steps], anchors }),
    Error,
    "does not chain to a trusted authority within 10 certificates",
  );
});
