import { lazy } from "../lazy.ts";
import { checkBoolean, checkOneOf, shown } from "../../_internal/checks.ts";
import { elsewhere, type Known } from "../../_internal/options.ts";
import { canonicalName } from "./server_names.ts";
import { type Certificate, readCertificate } from "./x509/certificate.ts";
import { readExtensions } from "./x509/extensions.ts";
import { type AltName, altNamesOf } from "./x509/names.ts";

/** A version of TLS. Older versions are deprecated (RFC 8996). */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** A certificate and its key. */
export interface TlsCertificate {
  /** The certificate in PEM, followed by the intermediate certificates up to a root that clients trust. */
  cert: string;
  /**
   * Its private key in PEM, without a passphrase: RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519. The
   * same text, with both in it, may be given as `cert` and as `key`.
   */
  key: string;
}

/** A certificate and the server names that it is used for. */
export interface NamedCertificate extends TlsCertificate {
  /**
   * The names, such as `example.org` or `*.example.org`, where `*` stands for one label.
   *
   * @default {the DNS names that the certificate is for}
   */
  names?: string[];
}

/** TLS options of both sides. */
export interface TlsOptions {
  /**
   * The application protocols (ALPN, RFC 7301), the preferred one first. A peer that offers protocols but none of these
   * is refused. A peer that offers none at all is accepted.
   *
   * @default {none}
   */
  alpn?: string[];
  /**
   * The lowest version to negotiate.
   *
   * @default {"TLSv1.2"}
   */
  minVersion?: TlsVersion;
  /**
   * The highest version to negotiate.
   *
   * @default {"TLSv1.3"}
   */
  maxVersion?: TlsVersion;
}

/**
 * TLS options of a server.
 *
 * TLS sessions can be resumed: a client that reconnects may skip the certificates (RFC 8446 §2.2). It then does not see a
 * certificate that is newer than its session. The client's own certificate is verified again each time, against the
 * current `ca`.
 */
export interface TlsServerOptions extends TlsCertificate, TlsOptions {
  /**
   * Further certificates, chosen by the server name that a client asks for (SNI, RFC 6066 §3): exact names first,
   * then wildcards. A client that asks for no name gets `cert`.
   *
   * @default {none}
   */
  certificates?: NamedCertificate[];
  /**
   * What happens to a client that asks for a name without a certificate: it gets `cert`, or it is refused.
   *
   * @default {"default"}
   */
  unknownServerName?: "default" | "refuse";
  /**
   * Whether clients are asked for a certificate. A client whose certificate is invalid or does not lead to `ca` is
   * refused, and with `"required"` also a client without one. The certificate is in `session.tls.peerCertificate`.
   *
   * @default {"none"}
   */
  clientCertificate?: "none" | "optional" | "required";
  /**
   * The authorities that clients' certificates must lead to, in PEM: certificates of X.509 version 3. Required if clients
   * are asked for a certificate. A certificate whose issuer is also in `ca` counts as an intermediate one. Any other is
   * trusted itself, even if it is a client's own certificate.
   */
  ca?: string | string[];
}

/** TLS options of a client. */
export interface TlsClientOptions extends TlsOptions {
  /**
   * The host name or IP address that the server's certificate must be valid for. A name is also sent to the server (SNI,
   * RFC 6066 §3).
   *
   * @default {the host that is dialled}
   */
  serverName?: string;
  /**
   * The authorities that the server's certificate must lead to, in PEM: certificates of X.509 version 3. A certificate
   * whose issuer is also in `ca` counts as an intermediate one. Any other is trusted itself, even if it is the server's
   * own self-signed certificate.
   *
   * @default {the certificate authorities that the runtime trusts}
   */
  ca?: string | string[];
  /** The client's certificate in PEM, followed by the intermediate ones, for a server that asks for it. */
  cert?: string;
  /** The private key of `cert`. */
  key?: string;
  /**
   * **Dangerous.** Accepts any certificate: expired, for another host, or made by an attacker, who can then read and
   * change everything. Use it for experiments only. To trust your own certificate, put it in `ca`.
   *
   * @default {false}
   */
  unsafelyIgnoreCertificateErrors?: boolean;
}

const TLS_OPTIONS: Known<TlsOptions> = {
  alpn: elsewhere,
  minVersion: elsewhere,
  maxVersion: elsewhere,
};

const TLS_CERTIFICATE: Known<TlsCertificate> = { cert: elsewhere, key: elsewhere };

export const NAMED_CERTIFICATE: Known<NamedCertificate> = { ...TLS_CERTIFICATE, names: elsewhere };

export const TLS_SERVER_OPTIONS: Known<TlsServerOptions> = {
  ...TLS_OPTIONS,
  ...TLS_CERTIFICATE,
  certificates: elsewhere,
  unknownServerName: elsewhere,
  clientCertificate: elsewhere,
  ca: elsewhere,
};

export const TLS_CLIENT_OPTIONS: Known<TlsClientOptions> = {
  ...TLS_OPTIONS,
  ...TLS_CERTIFICATE,
  serverName: elsewhere,
  ca: elsewhere,
  unsafelyIgnoreCertificateErrors: checkBoolean,
};

/** A checked certificate and its key, without any other text of the PEM. */
export interface CheckedCertificate extends TlsCertificate {
  /** The names in it. */
  readonly altNames: AltName[];
  /** Its key: a SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

/** The checked TLS options of both sides. */
export interface CheckedTlsOptions {
  alpn?: string[];
  ca?: string[];
  /** The certificates in `ca`. */
  anchors?: Certificate[];
  minVersion: TlsVersion;
  maxVersion: TlsVersion;
}

/** Checks the TLS options of both sides. */
export function checkTlsOptions(
  options: TlsOptions & { ca?: string | string[] },
): CheckedTlsOptions {
  const { alpn, ca, minVersion = "TLSv1.2", maxVersion = "TLSv1.3" } = options;
  checkOneOf("minVersion", minVersion, VERSIONS);
  checkOneOf("maxVersion", maxVersion, VERSIONS);
  if (minVersion > maxVersion) {
    throw new RangeError(`minVersion (${minVersion}) must not be above maxVersion (${maxVersion})`);
  }
  return {
    minVersion,
    maxVersion,
    ...(alpn !== undefined && alpn.length > 0 && { alpn: checkAlpn(alpn) }),
    ...(ca !== undefined && checkCa(ca)),
  };
}

/** Throws unless the key belongs to the certificate. `where` goes before the option names in messages. */
export function checkCertificate({ cert, key }: TlsCertificate, where = ""): CheckedCertificate {
  checkText(`${where}cert`, cert);
  checkText(`${where}key`, key);
  const [certificate] = certificatesIn(`${where}cert`, cert);
  const own = new lazy.crypto.X509Certificate(certificate.der);
  const wanted = "a private key in PEM, without a passphrase";
  const keys = parse(`${where}key`, wanted, key, () => {
    return blocksIn(key, PRIVATE_KEY).map((block) => ({
      block,
      key: lazy.crypto.createPrivateKey(block),
    }));
  });
  const mine = keys.find(({ key }) => own.checkPrivateKey(key));
  if (mine === undefined) throw new TypeError(`${where}key does not belong to ${where}cert`);
  const { altNames } = readExtensions(certificate.extensions);
  return {
    cert: blocksIn(cert, CERTIFICATE).join("\n"),
    key: mine.block,
    altNames: altNamesOf(altNames),
    publicKey: certificate.publicKey,
  };
}

/** The error for a key that the TLS layer cannot use. */
export function unusableKey(where: string, cause: unknown): TypeError {
  const problem = `${where}key is of a kind or size that cannot be used for TLS`;
  return new TypeError(problem, { cause });
}

/** The host that a server's certificate must be valid for, in canonical form. */
export function checkServerName(serverName: unknown): string {
  const name = typeof serverName === "string" ? canonicalName(serverName) : "";
  if (name !== "") return name;
  const got = typeof serverName === "string" ? JSON.stringify(serverName) : shown(serverName);
  throw new TypeError(`serverName must be a host name or an IP address, got ${got}`);
}

const VERSIONS = ["TLSv1.2", "TLSv1.3"];
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----[^]+?-----END \1PRIVATE KEY-----/g;

function checkAlpn(alpn: unknown): string[] {
  if (!Array.isArray(alpn)) throw new TypeError(`alpn must be an array, got ${shown(alpn)}`);
  for (const protocol of alpn) {
    checkText("a protocol in alpn", protocol);
    const { length } = new TextEncoder().encode(protocol);
    if (length > 255) {
      throw new RangeError(`a protocol in alpn must have 1 to 255 bytes, got ${length}`);
    }
  }
  return [...alpn];
}

function checkCa(ca: string | string[]): { ca: string[]; anchors: Certificate[] } {
  const all = Array.isArray(ca) ? ca : [ca];
  if (all.length === 0) throw new TypeError("ca must not be empty");
  for (const pem of all) checkText("ca", pem);
  const anchors = all.flatMap((pem) => certificatesIn("ca", pem));
  const old = anchors.find(({ version }) => version !== 3);
  if (old === undefined) return { ca: all, anchors };
  const { version, subject } = old;
  throw new TypeError(
    `ca must be certificates of X.509 version 3, got one of version ${version} (${subject.text})`,
  );
}

export function certificatesIn(name: string, pem: string): [Certificate, ...Certificate[]] {
  return parse(name, "one or more certificates in PEM", pem, () => {
    const [first, ...others] = blocksIn(pem, CERTIFICATE).map((block) => {
      return readCertificate(new lazy.crypto.X509Certificate(block).raw);
    });
    return [first!, ...others];
  });
}

/** The blocks of one kind in a PEM text, which may contain certificates, keys and comments. */
function blocksIn(pem: string, kind: RegExp): string[] {
  const blocks = pem.match(kind);
  if (blocks === null) throw new Error("no such block found");
  return blocks;
}

function checkText(name: string, value: unknown): asserts value is string {
  if (typeof value !== "string") {
    throw new TypeError(`${name} must be a string, got ${shown(value)}`);
  }
  if (value === "") throw new TypeError(`${name} must not be empty`);
}

/** What `read` returns. Its error becomes the cause; the message does not repeat it. */
function parse<Value>(name: string, wanted: string, pem: string, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    const isName = /^[^\n]{1,255}$/.test(pem); // which PEM never is: it has several lines
    throw new TypeError(`${name} must be ${wanted}${isName ? ", not the name of a file" : ""}`, {
      cause,
    });
  }
}
