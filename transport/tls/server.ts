import { withinLimit } from "../../_internal/time_limit.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress } from "../connection.ts";
import { handshake, type Side } from "./handshake.ts";
import { tlsInfo } from "./info.ts";
import type { TlsServerOptions } from "./options.ts";
import { verifyPeer } from "./peer_certificate.ts";
import { TlsRecords } from "./records.ts";
import { keyOf } from "./server_names.ts";
import { type ServerSettings, serverSettings } from "./settings.ts";
import { Signatures } from "./x509/signature.ts";

/** The TLS of a server: certificates by server name, client certificates, reload. */
export class TlsAcceptor {
  #settings: ServerSettings;
  readonly #signatures = new Signatures();

  /** Checks the options. */
  constructor(options: TlsServerOptions) {
    this.#settings = serverSettings(options);
  }

  /** Uses new options for new connections. If they are wrong, it throws and the old ones stay. */
  reload(options: TlsServerOptions): void {
    this.#settings = serverSettings(options);
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
    const { context, choose, clientCertificate, anchors } = this.#settings;
    const signatures = this.#signatures;
    const begin = (remoteAddr: string): Side => {
      const records = TlsRecords.server(context, choose !== undefined);
      return {
        role: "server",
        records,
        choose,
        finish: () => {
          const peer = clientCertificate === "none"
            ? undefined
            : verifyPeer(records, { remoteAddr, role: "client", anchors, signatures });
          if (peer === undefined && clientCertificate === "required") {
            throw new CertificateError(remoteAddr, "the client sent no certificate");
          }
          // A final dot is not part of a server name (RFC 6066 §3), but some clients send it.
          return tlsInfo(records, keyOf(records.serverName), peer);
        },
      };
    };
    return withinLimit((signal) => handshake(connection, begin, signal), {
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
