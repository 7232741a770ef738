import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { TlsHandshakeError } from "../../../errors.ts";
import { TlsAcceptor } from "../../../transport/tls/server.ts";
import { Doors, WAYS } from "../../_hostile_peers.ts";
import { canRun } from "../../_permissions.ts";
import { runModule } from "../../_serving.ts";
import { makeTempDir } from "../../_temp_dir.ts";
import { overTls, serverOptions } from "../../_tls.ts";
import {
  commonName,
  der,
  extension,
  type Fields,
  forHost,
  makeKeys,
  makeX509,
  octets,
  ofAuthority,
  ofLeaf,
  oid,
  pemOf,
  sequence,
  text,
  validFor,
} from "../../_x509.ts";

/** An authority that is trusted, a peer that it knows, and one that it does not. */
const ca = makeKeys("P-256");
const own = makeKeys("P-256");
const stranger = makeKeys("P-256");
const CA = commonName("ca");
const caDer = makeX509(
  { issuer: CA, subject: CA, publicKey: ca.publicKey, extensions: [ofAuthority] },
  ca.privateKey,
);
const ROSE: Fields = {
  issuer: CA,
  subject: commonName("rose"),
  publicKey: own.publicKey,
  extensions: [ofLeaf, forHost("localhost")],
};
const NOTHING = new Uint8Array();
const VERSION_1 = { version: NOTHING, extensions: [] };
const CLIENTS = WAYS.filter(({ asks }) => asks !== "server");

/** A certificate of the authority, which is like another apart from some fields. */
function signedByCa(fields: Partial<Fields> = {}): Uint8Array {
  return makeX509({ ...ROSE, ...fields }, ca.privateKey);
}

Deno.test(
  "A peer is let in by a certificate with its key, and by nothing less",
  overTls,
  async () => {
    const doors = new Doors(pemOf(caDer));
    const chain = [signedByCa()];
    await doors.letIn({ chain, key: own.privateKey });
    await doors.refuse("has not proved that it has the key of its certificate", {
      chain,
      key: stranger.privateKey,
    });
    const forged = makeX509(ROSE, stranger.privateKey);
    await doors.refuse("has a bad signature", { chain: [forged], key: own.privateKey });
  },
);

Deno.test("A peer is not accepted without a proof of its key", overTls, async () => {
  const doors = new Doors(pemOf(caDer));
  const chain = [signedByCa()];
  const { privateKey: key } = own;
  const numbers = der(0x30, der(0x02, [1]), der(0x02, [1]));
  const signatures = [[], [0x30], [0x30, 0], numbers, [...numbers, 0], new Uint8Array(64)];
  const schemes = [[4, 3], [5, 3], [8, 4], [8, 7], [4, 1], [2, 1], [0, 0]];
  for (const scheme of schemes) {
    for (const signature of signatures) {
      const proof = Uint8Array.of(...scheme, 0, signature.length, ...signature);
      for (const way of WAYS) {
        const verdict = await doors.judge({ chain, key, proof }, way);
        assertInstanceOf(verdict, TlsHandshakeError, `${JSON.stringify(way)} ${proof.toHex()}`);
      }
    }
  }
});

// Deno 2.9.6 asks for no proof of the key where its TLS layer cannot read the certificate.
Deno.test("A peer is not accepted by what is not DER", overTls, async (t) => {
  const doors = new Doors(pemOf(caDer));
  const good = signedByCa();
  const withExtension = (...inside: Uint8Array[]): Uint8Array =>
    signedByCa({ extensions: [sequence(...inside), forHost("localhost")] });
  const cases: Record<string, Uint8Array> = {
    "with a byte behind it": Uint8Array.of(...good, 0),
    "with a length of one byte more": Uint8Array.of(0x30, 0x83, 0, ...good.subarray(2)),
    "of X.509 version 1": signedByCa(VERSION_1),
    "of X.509 version 1 that says so": signedByCa({ version: der(0xa0, der(0x02, [0])) }),
    "of X.509 version 2": signedByCa({ version: der(0xa0, der(0x02, [1])) }),
    "of X.509 version 4": signedByCa({ version: der(0xa0, der(0x02, [3])) }),
    "with a unique identifier": signedByCa({ uniqueIds: der(0x81, [0, 1]) }),
    "with a number of one byte more": signedByCa({ serialNumber: der(0x02, [0, 1]) }),
    "with a time that there is not": signedByCa({
      validity: sequence(text(0x17, "250230000000Z"), text(0x17, "490101000000Z")),
    }),
    "with a time that has parts of a second": signedByCa({
      validity: sequence(text(0x18, "20250101000000.5Z"), text(0x17, "490101000000Z")),
    }),
    "with a BOOLEAN of another value": withExtension(
      oid("2.5.29.19"),
      der(0x01, [0xc3]),
      octets(sequence()),
    ),
    "with an object identifier that is padded": withExtension(
      der(0x06, [0x55, 0x1d, 0x80, 0x13]),
      octets(sequence()),
    ),
    "with an extension that goes on": withExtension(oid("1.2.3"), octets(sequence()), octets()),
    "with an extension twice": signedByCa({
      extensions: [ofLeaf, ofLeaf, forHost("localhost")],
    }),
    "that says in two ways how it is signed": signedByCa({
      algorithm: sequence(oid("1.2.840.10045.4.3.3")),
    }),
  };
  for (const [name, shown] of Object.entries(cases)) {
    await t.step(name, async () => {
      for (const { privateKey } of [own, stranger]) {
        await doors.refuse("certificate", { chain: [shown], key: privateKey });
      }
    });
  }
});

Deno.test("A peer is not accepted by a trusted public certificate", overTls, async () => {
  const pinned = makeX509({ ...ROSE, issuer: ROSE.subject }, own.privateKey);
  const doors = new Doors(pemOf(caDer, pinned));
  for (const chain of [[caDer], [pinned]]) {
    await doors.refuse("has not proved", { chain, key: stranger.privateKey });
  }
  await doors.letIn({ chain: [pinned], key: own.privateKey });
});

Deno.test("No peer is trusted by a certificate of X.509 version 1", overTls, () => {
  const fields = { issuer: CA, subject: CA, publicKey: ca.publicKey, ...VERSION_1 };
  for (const version of [1, 2]) {
    const old = makeX509({
      ...fields,
      version: version === 1 ? NOTHING : der(0xa0, der(0x02, [1])),
    }, ca.privateKey);
    assertThrows(
      () =>
        new TlsAcceptor(
          serverOptions({ clientCertificate: "required", ca: pemOf(caDer, old) }),
        ),
      TypeError,
      `ca must be certificates of X.509 version 3, got one of version ${version} (CN=ca)`,
    );
  }
});

Deno.test("A certificate in `ca` has to be valid as any other", overTls, async () => {
  const pinned = (validity: Uint8Array): Uint8Array =>
    makeX509({ ...ROSE, issuer: ROSE.subject, validity }, own.privateKey);
  const expired = pinned(validFor(30, -1));
  const early = pinned(validFor(-1, 30));
  const key = own.privateKey;
  await new Doors(pemOf(expired)).refuse("has expired: it was valid until", {
    chain: [expired],
    key,
  });
  await new Doors(pemOf(early)).refuse("is not valid yet: it is valid from", {
    chain: [early],
    key,
  });
  const oldCa = makeX509(
    {
      issuer: CA,
      subject: CA,
      publicKey: ca.publicKey,
      extensions: [ofAuthority],
      validity: validFor(30, -1),
    },
    ca.privateKey,
  );
  await new Doors(pemOf(oldCa)).refuse('chains to "CN=ca", whose certificate has expired', {
    chain: [signedByCa()],
    key,
  });
});

Deno.test(
  "A client that shows what is no certificate is no client without one",
  overTls,
  async () => {
    const doors = new Doors(pemOf(caDer));
    const chain = [Uint8Array.of(1, 2, 3)];
    await doors.refuse("certificate", { chain, key: own.privateKey }, CLIENTS);
  },
);

// An intermediate for example.com alone has put another host where some read a subjectAltName.
Deno.test("Constraints on names are not evaded", overTls, async (t) => {
  const between = makeKeys("P-256");
  const subject = commonName("between");
  const subtree = sequence(text(0x82, "example.com"));
  const constraints = extension("2.5.29.30", sequence(der(0xa0, subtree)), true);
  const intermediate = signedByCa({
    subject,
    publicKey: between.publicKey,
    extensions: [ofAuthority, constraints],
  });
  const doors = new Doors(pemOf(caDer));
  const leaf = (...extensions: Uint8Array[]): Uint8Array =>
    makeX509({ ...ROSE, issuer: subject, extensions }, between.privateKey);
  const padded = sequence(
    der(0x06, [0x55, 0x1d, 0x80, 0x11]),
    octets(sequence(text(0x82, "localhost"))),
  );
  const cases: Record<string, Uint8Array> = {
    "by another host": leaf(forHost("localhost")),
    "by an object identifier that is padded": leaf(forHost("www.example.com"), padded),
    "by two names": leaf(
      extension("2.5.29.17", sequence(text(0x82, "www.example.com"), text(0x82, "localhost"))),
    ),
    "by a final dot": leaf(forHost("localhost.")),
  };
  for (const [name, shown] of Object.entries(cases)) {
    await t.step(name, async () => {
      const chain = [shown, intermediate];
      await doors.refuse("certificate", { chain, key: own.privateKey });
    });
  }
});

const JUDGE = `
  import { createPrivateKey } from "node:crypto";
  import { serveHostile } from "library/tests/_hostile_tls.ts";
  import { memoryPair } from "library/transport/memory.ts";
  import { dialTls } from "library/transport/tls/client.ts";
  for (const [name, chain, key] of SHOWN) {
    for (const version of ["TLSv1.2", "TLSv1.3"]) {
      const [near, far] = memoryPair();
      const shown = { chain: chain.map((der) => Uint8Array.fromHex(der)), key: createPrivateKey(key) };
      const served = serveHostile(far, version, shown).catch(() => {});
      const options = { serverName: "localhost" };
      const outcome = await dialTls(near, options, new AbortController().signal).then(
        (connection) => connection.close() ?? "let in",
        (error) => error.name,
      );
      await served;
      far.close();
      console.log(name + ": " + outcome);
    }
  }
`;

Deno.test("Without a `ca`, the roots of Deno let nobody else in", {
  ...overTls,
  ignore: overTls.ignore || !await canRun("deno"),
}, async () => {
  await using dir = await makeTempDir();
  await Deno.writeTextFile(`${dir.path}/ca.pem`, pemOf(caDer));
  const good = signedByCa();
  const forged = makeX509(ROSE, stranger.privateKey);
  const changed = forged.slice();
  changed[forged.findIndex((byte, at) => byte === 0xff && forged[at - 2] === 0x01)] = 0xc3;
  const cases: [name: string, chain: Uint8Array[], keys: typeof own][] = [
    ["good", [good], own],
    ["without its key", [good], stranger],
    ["with a byte behind it, without its key", [Uint8Array.of(...good, 0)], stranger],
    ["forged", [forged], own],
    ["forged, and no DER", [changed], own],
    ["of X.509 version 1, without its key", [signedByCa(VERSION_1)], stranger],
    ["of a root, without its key", [caDer], stranger],
    ["expired", [signedByCa({ validity: validFor(30, -1) })], own],
    ["for another host", [signedByCa({ extensions: [ofLeaf, forHost("elsewhere")] })], own],
  ];
  const shown = cases.map(([name, chain, { privateKey }]) => [
    name,
    chain.map((der) => der.toHex()),
    privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  ]);
  const { stdout, stderr } = await runModule(JUDGE.replace("SHOWN", JSON.stringify(shown)), {
    flags: ["--cert", `${dir.path}/ca.pem`],
  });
  assertEquals(stderr, "");
  const expected = cases.flatMap(([name]) => {
    const outcome = `${name}: ${name === "good" ? "let in" : "CertificateError"}\n`;
    return [outcome, outcome];
  });
  assertEquals(stdout, expected.join(""));
});
