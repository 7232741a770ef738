import { withinLimit } from "../../_internal/time_limit.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress } from "../connection.ts";
import { shakeHands, type Side } from "./handshake.ts";
import { tlsInfo } from "./info.ts";
import type { TlsServerOptions } from "./options.ts";
import { verifyPeer } from "./peer_certificate.ts";
import { TlsRecords } from "./records.ts";
import { keyOf } from "./server_names.ts";
import { type ServerSettings, serverSettings } from "./settings.ts";
import { Signatures } from "./x509/signature.ts";

/** A server's TLS: certificates by server name, client certificates, reload. */
export class TlsAcceptor {
  #settings: ServerSettings;
  readonly #signatures = new Signatures();

  /** Throws at once what is wrong with the options. */
  constructor(options: TlsServerOptions) {
    this.#settings = serverSettings(options);
  }

  /** Puts new sessions under new options; live ones go on. If it throws, the old options stay. */
  reload(options: TlsServerOptions): void {
    this.#settings = serverSettings(options);
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
    const { context, choose, clientCertificate, anchors } = this.#settings;
    const signatures = this.#signatures;
    const begin = (remoteAddr: string): Side => {
      const records = TlsRecords.server(context, choose !== undefined);
      return {
        role: "server",
        records,
        choose,
        agree: () => {
          const peer = clientCertificate === "none"
            ? undefined
            : verifyPeer(records, { remoteAddr, role: "client", anchors, signatures });
          if (peer === undefined && clientCertificate === "required") {
            throw new CertificateError(remoteAddr, "the client sent no certificate");
          }
          // A final dot is no part of a server name (RFC 6066 §3), but some clients send it.
          return tlsInfo(records, keyOf(records.serverName), peer);
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
