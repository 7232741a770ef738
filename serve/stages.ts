/** The stages that connections of a server pass before they become sessions. */

import { CidrList } from "./cidr.ts";
import { checkDuration, checkInteger, checkOneOf } from "../_internal/checks.ts";
import type { Stage } from "./admission.ts";
import type { ServeOptions, ServerStats } from "./options.ts";
import { countHandshake } from "./stats.ts";
import type { Connection } from "../transport/connection.ts";
import { readProxyHeader } from "../transport/proxied.ts";
import type { TlsAcceptor } from "../transport/tls/server.ts";

/** The stages in their order: a PROXY header comes before TLS. Handshakes are counted in `stats`. */
export function stagesOf(
  options: ServeOptions,
  tls: TlsAcceptor | undefined,
  stats: ServerStats,
): Stage[] {
  const timeout = handshakeTimeoutOf(options);
  const stages = proxyStages(options);
  if (tls === undefined) return stages;
  const { mode = "required" } = options.tls!;
  checkOneOf("tls.mode", mode, ["required", "detect", "starttls"]);
  if (mode === "starttls") return stages;
  const accept = mode === "detect" ? "detect" : "accept";
  const run = (connection: Connection): Promise<Connection> =>
    countHandshake(stats, tls[accept](connection, timeout));
  return [...stages, { reason: "handshake", run }];
}

/** Returns the function that `session.upgradeTls()` of a server accepts TLS with. */
export function tlsUpgrade(
  options: ServeOptions,
  tls: TlsAcceptor | undefined,
  stats: ServerStats,
): () => (connection: Connection) => Promise<Connection> {
  const timeout = handshakeTimeoutOf(options);
  return () => {
    if (tls === undefined) throw new TypeError("upgradeTls() needs the server's option tls");
    return (connection) => countHandshake(stats, tls.accept(connection, timeout));
  };
}

function handshakeTimeoutOf({ handshakeTimeout = 5_000 }: ServeOptions): number {
  return checkDuration("handshakeTimeout", handshakeTimeout);
}

function proxyStages(options: ServeOptions): Stage[] {
  const { proxyProtocol = "off", untrusted = "refuse" } = options;
  checkOneOf("proxyProtocol", proxyProtocol, ["off", "required"]);
  checkOneOf("untrusted", untrusted, ["refuse", "direct"]);
  const timeout = checkDuration("proxyHeaderTimeout", options.proxyHeaderTimeout ?? 5_000);
  const maxLength = checkInteger("maxProxyHeader", options.maxProxyHeader ?? 4096, 16, 65551);
  const blocks = trustedBlocks(options, proxyProtocol === "required");
  if (proxyProtocol === "off") return [];
  const isTrusted = ({ remoteAddr }: Connection): boolean =>
    !("hostname" in remoteAddr) || (blocks?.includes(remoteAddr) ?? false);
  const takeHeader: Stage = {
    reason: "proxy-header",
    isProxy: (connection) => connection.proxy?.source === undefined && isTrusted(connection),
    run: async (connection) =>
      isTrusted(connection)
        ? await readProxyHeader(connection, { timeout, maxLength })
        : connection,
  };
  if (untrusted === "direct") return [takeHeader];
  const askTrust: Stage = {
    reason: "untrusted",
    run: (connection) =>
      isTrusted(connection) ? Promise.resolve(connection) : Promise.reject(undefined),
  };
  return [askTrust, takeHeader];
}

/** The peers that may send a header. On TCP, they must be listed, because such a peer can claim any address. */
function trustedBlocks(options: ServeOptions, isRequired: boolean): CidrList | undefined {
  const { trusted, path, listener } = options;
  if (trusted !== undefined) {
    if (!isRequired) throw new TypeError('trusted is of no use without proxyProtocol: "required"');
    return new CidrList("trusted", trusted);
  }
  if (isRequired && path === undefined && listener === undefined) {
    throw new TypeError(
      'proxyProtocol: "required" needs trusted, the addresses of the proxies (["0.0.0.0/0", "::/0"] for everybody)',
    );
  }
}
