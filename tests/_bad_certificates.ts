// Certificates that must not be accepted, for the tests of TLS.

import { type Certificate, type Certificates, makeCertificate } from "./_certificates.ts";

/** A certificate that must not be accepted, and what is wrong with it, by the name of the case. */
export type BadCertificate = [name: string, certificate: Certificate, problem: string];

/** Certificates of a peer that must not be accepted. A server's are for `localhost`. */
export async function badCertificates(
  { ca, rogueCa, client }: Certificates,
  role: "client" | "server",
): Promise<BadCertificate[]> {
  const says = { subject: "/CN=rose", extensions: ["subjectAltName=DNS:localhost"] };
  const other = role === "client" ? "server" : "client";
  const forOthers = [...says.extensions, `extendedKeyUsage=${other}Auth`];
  const forSecrets = [...says.extensions, "keyUsage=keyAgreement"];
  const authority = ["basicConstraints=CA:TRUE"];
  const expiredCa = await makeCertificate({
    subject: "/CN=old",
    extensions: authority,
    by: ca,
    since: 30,
    days: -1,
  });
  const below = async (signer: Certificate): Promise<Certificate> => {
    const child = await makeCertificate({ ...says, by: signer });
    return { ...child, cert: child.cert + signer.cert };
  };
  return [
    [
      "of another authority",
      await makeCertificate({ ...says, by: rogueCa }),
      "is not signed by a trusted authority",
    ],
    [
      "of another authority, which is shown",
      await below(rogueCa),
      "chains to a root that is not trusted",
    ],
    [
      "that has expired",
      await makeCertificate({ ...says, by: ca, since: 30, days: -1 }),
      "has expired: it was valid until 20",
    ],
    [
      "that is not valid yet",
      await makeCertificate({ ...says, by: ca, since: -1 }),
      "is not valid yet: it is valid from 20",
    ],
    [
      `for ${other}s`,
      await makeCertificate({ ...says, by: ca, extensions: forOthers }),
      `is not for a ${role} (extended key usage)`,
    ],
    [
      "for something else",
      await makeCertificate({ ...says, by: ca, extensions: forSecrets }),
      "has a key that is not for TLS (key usage)",
    ],
    [
      "of X.509 version 1",
      await makeCertificate({ subject: "/CN=rose", by: ca }),
      "is of X.509 version 1, must be of version 3",
    ],
    ["signed by itself", await makeCertificate(says), "is self-signed and not trusted"],
    [
      "signed by somebody who is no authority",
      await below(client),
      'chains to "CN=rose,O=Garden", whose certificate is not a CA certificate',
    ],
    [
      "signed by an authority that has expired",
      await below(expiredCa),
      'chains to "CN=old", whose certificate has expired: it was valid until 20',
    ],
  ];
}
