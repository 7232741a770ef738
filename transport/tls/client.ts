import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { checkBoolean } from "../../_internal/checks.ts";
import { CertificateError } from "../../errors.ts";
import { type Connection, normalizeAddress } from "../connection.ts";
import { isFor } from "./server_names.ts";
import { certificateProblem } from "./errors.ts";
import { shakeHands, type Side } from "./handshake.ts";
import { readCertificate, tlsInfo } from "./info.ts";
import {
  checkCertificate,
  checkServerName,
  checkTlsOptions,
  type TlsClientOptions,
} from "./options.ts";
import { TlsRecords } from "./records.ts";
import { readNames } from "./x509.ts";

/** Throws what is wrong with the options of a client, of which `serverName` may be missing. */
export function checkTlsClientOptions(options: TlsClientOptions): void {
  const { serverName, unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  if (serverName !== undefined) checkServerName(serverName);
  checkTlsOptions(options);
  checkBoolean("unsafelyIgnoreCertificateErrors", isUnsafe);
  if (options.cert === undefined && options.key === undefined) return;
  checkCertificate(options as { cert: string; key: string });
}

/**
 * Shakes hands with a server.
 *
 * @param connection The raw connection. It is closed where there is no TLS.
 * @param options What is asked of the server. Without a `serverName`, its certificate has to be for the IP address
 * that the connection leads to.
 * @param signal Gives up: rejects with its reason.
 * @returns The connection under TLS.
 * @throws {CertificateError} If the server's certificate is not accepted.
 * @throws {TlsHandshakeError} If there is no TLS for another reason.
 */
export function dialTls(
  connection: Connection,
  options: TlsClientOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const begin = (remoteAddr: string): Side =>
    clientSide(remoteAddr, options, hostOf(connection, options));
  return shakeHands(connection, begin, signal);
}

function hostOf(connection: Connection, { serverName }: TlsClientOptions): string {
  const remoteAddr = normalizeAddress(connection.remoteAddr);
  return checkServerName(
    serverName ?? ("hostname" in remoteAddr ? remoteAddr.hostname : undefined),
  );
}

function clientSide(remoteAddr: string, options: TlsClientOptions, host: string): Side {
  checkTlsClientOptions(options);
  const { cert, key, unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  const { alpn, ...common } = checkTlsOptions(options);
  const serverName = isIP(host) === 0 ? host : "";
  const own = cert !== undefined && key !== undefined && { cert, key };
  const { context } = createSecureContext({ ...common, ...own });
  const asking = { requestCert: true, rejectUnauthorized: !isUnsafe };
  const records = TlsRecords.client({ context: { ...context, ...asking }, alpn }, serverName);
  return {
    role: "client",
    records,
    agree: () => {
      const [der] = records.peerCertificates;
      const { verifyError } = records;
      if (!isUnsafe) judge(remoteAddr, verifyError, der, host);
      const peer = der !== undefined && verifyError === ""
        ? readCertificate(remoteAddr, "server", der)
        : undefined;
      return tlsInfo(records, serverName, peer);
    },
  };
}

/** Throws why the server's certificate is not accepted, if it is not. */
function judge(
  remoteAddr: string,
  verifyError: string,
  der: Uint8Array<ArrayBuffer> | undefined,
  host: string,
): void {
  const problem = (text: string) =>
    new CertificateError(remoteAddr, `the server's certificate ${text}`);
  if (verifyError !== "") throw problem(certificateProblem(verifyError));
  if (der === undefined) throw problem("is missing");
  let names;
  try {
    names = readNames(der);
  } catch {
    throw problem("cannot be read");
  }
  const { version, altNames } = names;
  // Deno 2.9.6 does not ask for a proof that the server has the key of such a certificate.
  if (version !== 3) throw problem(`is of X.509 version ${version}, and has to be of version 3`);
  if (isFor(altNames, host)) return;
  const all = altNames.slice(0, MAX_NAMES).map(({ kind, value }) => `${kind}:${value}`);
  if (altNames.length > MAX_NAMES) all.push("…");
  throw problem(`is not for ${JSON.stringify(host)} but for ${all.join(", ") || "no host at all"}`);
}

/** So many names of a certificate are told in a message. */
const MAX_NAMES = 10;
