import { withinLimit } from "../../_internal/time_limit.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import {
  type Connection,
  formatAddress,
  normalizeAddress,
  type PeerCertificate,
} from "../connection.ts";
import { certificateProblem } from "./errors.ts";
import { shakeHands, type Side } from "./handshake.ts";
import { readCertificate, tlsInfo } from "./info.ts";
import type { TlsServerOptions } from "./options.ts";
import { TlsRecords } from "./records.ts";
import { type ServerSettings, serverSettings } from "./settings.ts";

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
    const { context, choose, clientCertificate } = this.#settings;
    const verified = this.#verified;
    const begin = (remoteAddr: string): Side => {
      const records = TlsRecords.server(context, choose !== undefined);
      return {
        role: "server",
        records,
        choose,
        agree: () => {
          const peer = clientCertificate === "none"
            ? undefined
            : clientOf(remoteAddr, records, verified, clientCertificate === "required");
          return tlsInfo(records, records.serverName, peer);
        },
      };
    };
    return withinLimit((giveUp) => shakeHands(connection, begin, giveUp), {
      timeout,
      signal: undefined,
      onTimeout: () => {
        const remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
        const problem = `no handshake within ${timeout} ms (handshakeTimeout)`;
        return new TlsHandshakeError(remoteAddr, "timeout", problem);
      },
    });
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
  records: TlsRecords,
  verified: Set<string>,
  isRequired: boolean,
): PeerCertificate | undefined {
  const [der] = records.peerCertificates;
  const { verifyError } = records;
  if (verifyError !== "") {
    const problem = `the client's certificate ${certificateProblem(verifyError)}`;
    throw new CertificateError(remoteAddr, problem);
  }
  if (der === undefined) {
    if (!isRequired) return undefined;
    throw new CertificateError(remoteAddr, "the client has shown no certificate");
  }
  const certificate = readCertificate(remoteAddr, "client", der);
  const { fingerprint256, validTo } = certificate;
  if (!records.isResumed) {
    verified.delete(fingerprint256); // so that it comes last
    if (verified.size >= MAX_VERIFIED) verified.delete(verified.values().next().value!);
    verified.add(fingerprint256);
  } else if (!verified.has(fingerprint256) || validTo.getTime() < Date.now()) {
    const problem = "the client resumes a session whose certificate this server has not verified";
    throw new CertificateError(remoteAddr, problem);
  }
  return certificate;
}
