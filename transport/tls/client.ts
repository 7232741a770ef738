import { isIP } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import { checkBoolean } from "../../_internal/checks.ts";
import { CertificateError } from "../../errors.ts";
import { type Connection, normalizeAddress, type PeerCertificate } from "../connection.ts";
import { isFor } from "./server_names.ts";
import { explain } from "./errors.ts";
import { Handshake } from "./handshake.ts";
import { peerDer, readCertificate, tlsInfo } from "./info.ts";
import {
  checkCertificate,
  checkServerName,
  checkTlsOptions,
  type TlsClientOptions,
} from "./options.ts";
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
  const onAbort = () => handshake.cancel(signal.reason);
  const handshake = new Handshake(connection, () => signal.removeEventListener("abort", onAbort));
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) handshake.cancel(signal.reason);
  else {
    try {
      begin(handshake, options, hostOf(connection, options));
    } catch (error) {
      handshake.cancel(error);
    }
  }
  return handshake.result;
}

function hostOf(connection: Connection, { serverName }: TlsClientOptions): string {
  const remoteAddr = normalizeAddress(connection.remoteAddr);
  return checkServerName(
    serverName ?? ("hostname" in remoteAddr ? remoteAddr.hostname : undefined),
  );
}

function begin(handshake: Handshake, options: TlsClientOptions, host: string): void {
  checkTlsClientOptions(options);
  const { remoteAddr, duplex } = handshake;
  const { cert, key, unsafelyIgnoreCertificateErrors: isUnsafe = false } = options;
  const serverName = isIP(host) === 0 ? host : undefined;
  const socket: TLSSocket = tls.connect({
    ...checkTlsOptions(options),
    ...(cert !== undefined && key !== undefined && { cert, key }),
    ...(serverName !== undefined && { servername: serverName }),
    socket: duplex,
    rejectUnauthorized: !isUnsafe,
    // Its own check takes a certificate for the one name "a, DNS:b" as one for two: see x509.ts.
    checkServerIdentity: () => isUnsafe ? undefined : identityProblem(remoteAddr, socket, host),
  });
  hideChain(socket);
  const onError = (error: Error) => handshake.fail(explain(remoteAddr, "client", error));
  socket.on("error", onError);
  socket.once("secureConnect", () => {
    socket.off("error", onError);
    const peer = socket.authorized ? peerOf(socket) : undefined;
    handshake.succeed(socket, tlsInfo(socket, serverName, peer));
  });
  duplex.pull();
}

/**
 * Before it asks who the server is, Deno 2.9.6 reads the whole chain of certificates, and throws in the event loop
 * where the server has put something into it that is none.
 */
function hideChain(socket: TLSSocket): void {
  const { getPeerCertificate } = socket;
  socket.getPeerCertificate = (() => {
    try {
      return getPeerCertificate.call(socket, false);
    } catch {
      return {};
    }
  }) as typeof getPeerCertificate;
}

/** Why the server's certificate, which leads to somebody who is trusted, is not accepted all the same. */
function identityProblem(
  remoteAddr: string,
  socket: TLSSocket,
  host: string,
): CertificateError | undefined {
  const problem = (text: string) =>
    new CertificateError(remoteAddr, `the server's certificate ${text}`);
  try {
    const { version, altNames } = readNames(peerDer(socket)!);
    // Deno 2.9.6 does not ask for a proof that the server has the key of such a certificate.
    if (version !== 3) return problem(`is of X.509 version ${version}, and has to be of version 3`);
    if (isFor(altNames, host)) return undefined;
    const names = altNames.slice(0, MAX_NAMES).map(({ kind, value }) => `${kind}:${value}`);
    if (altNames.length > MAX_NAMES) names.push("…");
    return problem(
      `is not for ${JSON.stringify(host)} but for ${names.join(", ") || "no host at all"}`,
    );
  } catch {
    return problem("cannot be read");
  }
}

/** So many names of a certificate are told in a message. */
const MAX_NAMES = 10;

function peerOf(socket: TLSSocket): PeerCertificate | undefined {
  const der = peerDer(socket);
  return der === undefined ? undefined : readCertificate(der);
}
