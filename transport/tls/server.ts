import { runtimeName } from "../../_internal/runtime.ts";
import { withinLimit } from "../../_internal/time_limit.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import {
  type Connection,
  formatAddress,
  normalizeAddress,
  type PeerCertificate,
  type TlsInfo,
} from "../connection.ts";
import { detectTls } from "./detect.ts";
import { handshake, type Side } from "./handshake.ts";
import { tlsInfo } from "./info.ts";
import { certificatesIn, type TlsServerOptions } from "./options.ts";
import { peerCertificate, type PeerChain, verifyPeer } from "./peer_certificate.ts";
import { TlsRecords } from "./records.ts";
import { keyOf } from "./server_names.ts";
import { type ServerSettings, serverSettings } from "./settings.ts";
import {
  chainOf,
  negotiatedBy,
  socketHandshake,
  type SocketSide,
  type StartServer,
} from "./socket_handshake.ts";
import { readExtensions } from "./x509/extensions.ts";
import { altNamesOf } from "./x509/names.ts";
import { alertFor, UNKNOWN_CA } from "./x509/problem.ts";
import { Signatures } from "./x509/signature.ts";

/** The TLS of a server: certificates by server name, client certificates, reload. */
export class TlsAcceptor {
  #settings: ServerSettings;
  /** The certificates in PEM. */
  #shown: readonly string[];
  readonly #signatures = new Signatures();

  /** Checks the options. */
  constructor(options: TlsServerOptions) {
    this.#settings = serverSettings(options);
    this.#shown = shownBy(options);
  }

  /** The certificates that clients are shown, without those of authorities. */
  get certificates(): PeerCertificate[] {
    return this.#shown.map((pem) => {
      const [certificate] = certificatesIn("cert", pem);
      const { altNames } = readExtensions(certificate.extensions);
      return peerCertificate(certificate, altNamesOf(altNames));
    });
  }

  /** Uses new options for new connections. If they are wrong, it throws and the old ones stay. */
  reload(options: TlsServerOptions): void {
    this.#settings = serverSettings(options);
    this.#shown = shownBy(options);
  }

  /**
   * Performs the TLS handshake with a client.
   *
   * @param connection The raw connection. If the handshake fails, it is closed and its descriptor is free.
   * @param timeout How long the handshake may take, in milliseconds; `Infinity` for no limit.
   * @returns The connection over TLS.
   * @throws {TlsHandshakeError} If the handshake fails.
   */
  accept(connection: Connection, timeout: number): Promise<Connection> {
    const remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
    return withinTimeout(remoteAddr, timeout, (signal) => this.#shakeHands(connection, signal));
  }

  /**
   * The same for a client that may do without TLS. Its first byte decides.
   *
   * @returns The connection over TLS, or the same one with all its input.
   */
  detect(connection: Connection, timeout: number): Promise<Connection> {
    const remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
    return withinTimeout(remoteAddr, timeout, async (signal) => {
      const { connection: detected, isTls } = await detectTls(connection, signal);
      return isTls ? await this.#shakeHands(detected, signal) : detected;
    });
  }

  #shakeHands(connection: Connection, signal: AbortSignal): Promise<Connection> {
    const settings = this.#settings;
    const { context, choose, start } = settings;
    const begin = (remoteAddr: string): Side => {
      const records = TlsRecords.server(context, choose !== undefined);
      const finish = (): TlsInfo => {
        const peer = this.#verify(settings, remoteAddr, () => records);
        return tlsInfo(records.negotiated, nameOf(records.serverName), peer);
      };
      return { role: "server", records, choose, finish };
    };
    const beginOver = (start: StartServer) => (remoteAddr: string): SocketSide => ({
      role: "server",
      begin: (stream, events) => start(stream, events),
      finish: (socket) => {
        const chain = chainOf(socket);
        const peer = orExplain(
          chain,
          remoteAddr,
          () => this.#verify(settings, remoteAddr, () => chain),
        );
        const { servername } = socket as { servername?: unknown };
        return tlsInfo(negotiatedBy(socket), nameOf(servername), peer);
      },
    });
    return start === undefined
      ? handshake(connection, begin, signal)
      : socketHandshake(connection, beginOver(start), signal);
  }

  /** Verifies the client if it was asked for a certificate, and returns the one that it has sent. */
  #verify(
    { clientCertificate, anchors }: ServerSettings,
    remoteAddr: string,
    chain: () => PeerChain,
  ): PeerCertificate | undefined {
    if (clientCertificate === "none") return undefined;
    const signatures = this.#signatures;
    const peer = verifyPeer(chain(), { remoteAddr, role: "client", anchors, signatures });
    if (peer !== undefined || clientCertificate !== "required") return peer;
    throw new CertificateError(remoteAddr, "the client sent no certificate");
  }
}

function shownBy({ cert, certificates = [] }: TlsServerOptions): string[] {
  return [cert, ...certificates.map(({ cert }) => cert)];
}

function withinTimeout(
  remoteAddr: string,
  timeout: number,
  run: (signal: AbortSignal) => Promise<Connection>,
): Promise<Connection> {
  return withinLimit(run, {
    timeout,
    signal: undefined,
    onTimeout: () => {
      const problem = `no handshake within ${timeout} ms (handshakeTimeout)`;
      return new TlsHandshakeError(remoteAddr, "timeout", problem);
    },
  });
}

/**
 * Explains why a client is refused whom the TLS layer accepts: on Node 24, a server is given the client's own certificate
 * alone, so what leads on to `ca` cannot be verified.
 */
function orExplain<Peer>(
  { peerCertificates, verifyError }: PeerChain,
  remoteAddr: string,
  verify: () => Peer,
): Peer {
  try {
    return verify();
  } catch (error) {
    const { cause } = error as Error;
    const isIncomplete = verifyError === "" && peerCertificates.length === 1 &&
      alertFor(cause) === UNKNOWN_CA;
    if (!isIncomplete) throw error;
    const hint = `${runtimeName()} reveals no intermediate certificates: add them to ca`;
    throw new CertificateError(
      remoteAddr,
      `the client's certificate ${(cause as Error).message} (${hint})`,
      { cause },
    );
  }
}

/** A final dot is not part of a server name (RFC 6066 §3), but some clients send it. */
function nameOf(serverName: unknown): string {
  return typeof serverName === "string" ? keyOf(serverName) : "";
}
