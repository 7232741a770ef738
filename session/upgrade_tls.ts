/** TLS that begins within a session; `session.ts` publishes the types. */

import { checkDuration } from "../_internal/checks.ts";
import { withinLimit } from "../_internal/time_limit.ts";
import { TlsHandshakeError } from "../errors.ts";
import {
  type Address,
  type Connection,
  formatAddress,
  normalizeAddress,
} from "../transport/connection.ts";
import { checkTlsClientOptions, dialTls } from "../transport/tls/client.ts";
import { checkServerName, type TlsClientOptions } from "../transport/tls/options.ts";

/** Options of {@linkcode Session.upgradeTls}, of a client. */
export interface UpgradeTlsOptions extends TlsClientOptions {
  /**
   * Gives up when it aborts: `upgradeTls()` rejects with its reason, and the session ends. One that has aborted before
   * leaves the session as it is.
   */
  signal?: AbortSignal;
  /**
   * How long the handshake may take, in milliseconds.
   *
   * @default {5000}
   */
  handshakeTimeout?: number;
}

/** The host of an address, where it has one. */
export function hostOf(address: Address): string | undefined {
  return "hostname" in address ? address.hostname : undefined;
}

/** Checks the options, and returns what takes the client's part in TLS. */
export function tlsDialler(
  options: UpgradeTlsOptions,
  serverName: string | undefined,
): (connection: Connection) => Promise<Connection> {
  const { signal } = options;
  const timeout = checkDuration("handshakeTimeout", options.handshakeTimeout ?? 5_000);
  const tls = { ...options, serverName: checkServerName(options.serverName ?? serverName) };
  checkTlsClientOptions(tls);
  signal?.throwIfAborted();
  return (connection) =>
    withinLimit((giveUp) => dialTls(connection, tls, giveUp), {
      timeout,
      signal,
      onTimeout: () => {
        const address = formatAddress(normalizeAddress(connection.remoteAddr));
        const problem = `no handshake within ${timeout} ms (handshakeTimeout)`;
        return new TlsHandshakeError(address, "timeout", problem);
      },
    });
}
