/** STARTTLS: TLS that begins within a session. `session.ts` publishes the types. */

import { checkDuration, checkSignal } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { withinLimit } from "../_internal/time_limit.ts";
import { TlsHandshakeError } from "../errors.ts";
import {
  type Address,
  type Connection,
  formatAddress,
  normalizeAddress,
} from "../transport/connection.ts";
import { checkTlsClientOptions, dialTls } from "../transport/tls/client.ts";
import {
  checkServerName,
  TLS_CLIENT_OPTIONS,
  type TlsClientOptions,
} from "../transport/tls/options.ts";

/** Options of {@linkcode Session.upgradeTls} for a client. */
export interface UpgradeTlsOptions extends TlsClientOptions {
  /**
   * Cancels the handshake: `upgradeTls()` rejects with the signal's reason, and the session ends. If it has aborted
   * before the call, the session does not change.
   */
  signal?: AbortSignal;
  /**
   * How long the handshake may take, in milliseconds.
   *
   * @default {5000}
   */
  handshakeTimeout?: number;
}

const UPGRADE_TLS_OPTIONS: Known<UpgradeTlsOptions> = {
  ...TLS_CLIENT_OPTIONS,
  signal: checkSignal,
  handshakeTimeout: elsewhere,
};

/** The host of an address, if it has one. */
export function hostOf(address: Address): string | undefined {
  return "hostname" in address ? address.hostname : undefined;
}

/** Throws if there is any option: a server's session has none. */
export function refuseOptions(options: UpgradeTlsOptions): void {
  for (const name in options) {
    if (options[name as keyof UpgradeTlsOptions] === undefined) continue;
    throw new TypeError(
      `${name} is for a client: a server uses its own option tls`,
    );
  }
}

/** Checks the options, and returns a function that performs the handshake as a client. */
export function tlsDialler(
  options: UpgradeTlsOptions,
  serverName: string | undefined,
): (connection: Connection) => Promise<Connection> {
  checkOptions(options, UPGRADE_TLS_OPTIONS);
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
