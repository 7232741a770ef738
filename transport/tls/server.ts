import type { TLSSocket } from "node:tls";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import type { Connection, PeerCertificate } from "../connection.ts";
import { certificateProblem, explain } from "./errors.ts";
import { Handshake, UNRECOGNIZED_NAME } from "./handshake.ts";
import { peerDer, readCertificate, tlsInfo } from "./info.ts";
import type { TlsServerOptions } from "./options.ts";
import { receive, type ServerSettings, serverSettings, UnknownServerName } from "./settings.ts";

/** So many certificates of clients are remembered as verified; then the oldest is forgotten. */
const MAX_VERIFIED = 10_000;

/** A server's TLS: certificates by server name, client certificates, reload. */
export class TlsAcceptor {
  #settings: ServerSettings;
  #verified: Set<string> = new Set();

  /** Throws at once what is wrong with the options. */
  constructor(options: TlsServerOptions) {
    this.#settings = serverSettings(options);
  }

  /** Puts new sessions under new options; live ones go on. If it throws, the old options stay. */
  reload(options: TlsServerOptions): void {
    const { authorities } = this.#settings;
    this.#settings = serverSettings(options);
    if (this.#settings.authorities !== authorities) this.#verified = new Set();
  }

  /**
   * Shakes hands with a client.
   *
   * @param connection The raw connection. It is closed, and its descriptor free, where there is no TLS.
   * @param timeout How long the client has, in milliseconds; `Infinity` for ever.
   * @returns The connection under TLS.
   * @throws {TlsHandshakeError} If there is none.
   */
  accept(connection: Connection, timeout: number): Promise<Connection> {
    const handshake = new Handshake(connection, () => clearTimeout(timer));
    const { remoteAddr } = handshake;
    const onTimeout = () => {
      const problem = `no handshake within ${timeout} ms (handshakeTimeout)`;
      handshake.cancel(new TlsHandshakeError(remoteAddr, "timeout", problem));
    };
    const timer = timeout < Infinity ? setTimeout(onTimeout, timeout) : undefined;
    const { server, clientCertificate } = this.#settings;
    const verified = this.#verified;
    receive(server, handshake.duplex, {
      onSecure: (socket) => {
        try {
          const peer = clientCertificate === "none"
            ? undefined
            : clientOf(remoteAddr, socket, verified, clientCertificate === "required");
          handshake.succeed(socket, tlsInfo(socket, serverNameOf(socket), peer));
        } catch (error) { // and not a word more to it: least of all a ticket to come back with
          handshake.cancel(error);
        }
      },
      onError: (error, socket) => {
        if (error instanceof UnknownServerName) {
          const failure = new TlsHandshakeError(remoteAddr, "server-name", error.message);
          return handshake.fail(failure, UNRECOGNIZED_NAME);
        }
        const code = socket.authorizationError;
        if (code) handshake.cancel(refused(remoteAddr, code));
        else handshake.fail(explain(remoteAddr, "server", error));
      },
    });
    handshake.duplex.pull();
    return handshake.result;
  }
}

/**
 * The certificate of a client that was asked for one. Throws unless it is valid.
 *
 * In Deno 2.9.6 a ticket of any server in the process resumes a session with any other, and what a resumed session
 * shows counts as authorized, even if it was refused before or verified against another `ca`. So of those only what
 * this server has verified itself is accepted.
 */
function clientOf(
  remoteAddr: string,
  socket: TLSSocket,
  verified: Set<string>,
  isRequired: boolean,
): PeerCertificate | undefined {
  const der = peerDer(socket);
  const code = socket.authorizationError as unknown;
  if (der === undefined && code === NO_CERTIFICATE) {
    if (!isRequired) return undefined;
    throw new CertificateError(remoteAddr, "the client has shown no certificate");
  }
  if (der === undefined || !socket.authorized) throw refused(remoteAddr, code);
  const certificate = readCertificate(der);
  const { fingerprint256, validTo } = certificate;
  if (!socket.isSessionReused()) {
    verified.delete(fingerprint256); // so that it comes last
    if (verified.size >= MAX_VERIFIED) verified.delete(verified.values().next().value!);
    verified.add(fingerprint256);
  } else if (!verified.has(fingerprint256) || validTo.getTime() < Date.now()) {
    const problem = "the client resumes a session whose certificate this server has not verified";
    throw new CertificateError(remoteAddr, problem);
  }
  return certificate;
}

/** What Deno 2.9.6 says where a certificate was asked for and none was shown. */
const NO_CERTIFICATE = "UNABLE_TO_GET_ISSUER_CERT";

function refused(remoteAddr: string, code: unknown): CertificateError {
  const problem = `the client's certificate ${certificateProblem(String(code))}`;
  return new CertificateError(remoteAddr, problem);
}

function serverNameOf(socket: TLSSocket & { servername?: unknown }): string | undefined {
  const { servername } = socket;
  return typeof servername === "string" && servername !== "" ? servername : undefined;
}
