import { lazy } from "../lazy.ts";
import type { SecureContext, SecureContextOptions } from "node:tls";
import { checkOneOf, shown } from "../../_internal/checks.ts";
import { isBun, isDeno, runtimeName } from "../../_internal/runtime.ts";
import { checkOptions } from "../../_internal/options.ts";
import { canonicalPattern, ServerNames } from "./server_names.ts";
import {
  checkCertificate,
  checkTlsOptions,
  NAMED_CERTIFICATE,
  type NamedCertificate,
  type TlsCertificate,
  type TlsServerOptions,
  unusableKey,
} from "./options.ts";
import { requireLayer, type TlsContext, TlsRecords } from "./records.ts";
import {
  socketContext,
  socketServer,
  type StartServer,
  UnknownServerName,
} from "./socket_handshake.ts";
import type { Certificate } from "./x509/certificate.ts";
import type { AltName } from "./x509/names.ts";

/** The TLS settings of a server, until they are reloaded. */
export interface ServerSettings {
  /** The context with the main certificate. */
  readonly context: TlsContext;
  /**
   * The context for a server name, which is `""` if the client asks for none. Returns `undefined` to refuse the client.
   * There is no such function if all clients get the main certificate.
   */
  readonly choose: ((name: string) => TlsContext | undefined) | undefined;
  readonly clientCertificate: "none" | "optional" | "required";
  /** The trusted certificates for clients. */
  readonly anchors: readonly Certificate[] | undefined;
  /** Starts handshakes by the sockets of `node:tls`, on Node and Bun. */
  readonly start: StartServer | undefined;
}

/** Makes the context for a certificate. `where` goes before the option names in messages. */
type ContextMaker = (certificate: TlsCertificate, where: string) => NamedContext;

/** A context and the names in its certificate. */
interface NamedContext {
  readonly context: TlsContext;
  readonly altNames: AltName[];
}

/** Checks the options of a server and makes its contexts. */
export function serverSettings(options: TlsServerOptions): ServerSettings {
  const { clientCertificate = "none" } = options;
  checkOneOf("clientCertificate", clientCertificate, ["none", "optional", "required"]);
  const { alpn, anchors, ...common } = checkTlsOptions(options);
  const asks = clientCertificate !== "none";
  if (asks !== (anchors !== undefined)) {
    throw new TypeError(
      asks
        ? `clientCertificate ${JSON.stringify(clientCertificate)} needs a ca`
        : `ca is for clients' certificates, but clientCertificate is "none"`,
    );
  }
  if (isDeno) requireLayer();
  const policy = { requestCert: asks, rejectUnauthorized: clientCertificate === "required" };
  const make = isDeno ? maker(common, alpn, policy) : socketMaker(common, alpn, asks);
  const main = make(options, "");
  const choose = chooser(options, main, make);
  if (isBun && choose !== undefined) {
    const option = options.certificates?.length ? "certificates" : 'unknownServerName "refuse"';
    throw new TypeError(
      `${option} is not supported on ${runtimeName()}: its TLS cannot choose a certificate`,
    );
  }
  const start = isDeno ? undefined : socketServer({
    ...socketOptions(common, asks, checkCertificate(options)),
    ...policy,
    ...(alpn && { ALPNProtocols: alpn }),
    handshakeTimeout: -1, // no timer, which would keep the socket: TlsAcceptor has its own
    ...(choose && { SNICallback: sniCallback(choose) }),
  });
  return { context: main.context, choose, clientCertificate, anchors, start };
}

type SniCallback = (
  name: string,
  done: (error: Error | null, context?: SecureContext) => void,
) => void;

function sniCallback(choose: (name: string) => TlsContext | undefined): SniCallback {
  return (name, done) => {
    const chosen = choose(name);
    if (chosen === undefined) done(new UnknownServerName(name));
    else done(null, chosen.context as SecureContext);
  };
}

/** The contexts are tried at once: the TLS layer reports a certificate that it cannot use only once it is used. */
function maker(
  common: SecureContextOptions,
  alpn: string[] | undefined,
  policy: object,
): ContextMaker {
  return (certificate, where) => {
    const { cert, key, altNames } = checkCertificate(certificate, where);
    try {
      const { context } = lazy.tls.createSecureContext({ ...common, cert, key });
      const made = { context: { ...context, ...policy }, alpn };
      TlsRecords.server(made, false).destroy();
      return { context: made, altNames };
    } catch (cause) {
      throw unusableKey(where, cause);
    }
  };
}

function socketMaker(
  common: SecureContextOptions,
  alpn: string[] | undefined,
  asks: boolean,
): ContextMaker {
  return (certificate, where) => {
    const checked = checkCertificate(certificate, where);
    const context = socketContext(socketOptions(common, asks, checked), checked, where);
    return { context: { context, alpn }, altNames: checked.altNames };
  };
}

function socketOptions(
  common: SecureContextOptions,
  asks: boolean,
  { cert, key }: TlsCertificate,
): SecureContextOptions {
  // A session resumed by a ticket has the client's own certificate, but no longer the ones that lead to `ca`.
  const secureOptions = asks ? lazy.crypto.constants.SSL_OP_NO_TICKET : 0;
  return { ...common, cert, key, secureOptions };
}

/** The function that chooses a context by server name, if there is a choice. */
function chooser(
  { certificates = [], unknownServerName = "default" }: TlsServerOptions,
  main: NamedContext,
  make: ContextMaker,
): ServerSettings["choose"] {
  checkOneOf("unknownServerName", unknownServerName, ["default", "refuse"]);
  if (!Array.isArray(certificates)) {
    throw new TypeError(`certificates must be an array, got ${shown(certificates)}`);
  }
  const contexts = new ServerNames<TlsContext>();
  certificates.forEach((one: NamedCertificate, at) => {
    checkOptions(one, NAMED_CERTIFICATE, `certificates[${at}]`);
    const where = `certificates[${at}].`;
    const { context, altNames } = make(one, where);
    for (const name of namesOf(one.names, altNames, where)) contexts.add(name, context);
  });
  const refuses = unknownServerName === "refuse";
  if (certificates.length === 0 && !refuses) return undefined;
  for (const name of namesOf(undefined, main.altNames, "")) contexts.add(name, main.context);
  return (name) => contexts.get(name) ?? (refuses && name !== "" ? undefined : main.context);
}

/** The server names that a certificate is used for. */
function namesOf(names: unknown, altNames: AltName[], where: string): string[] {
  if (names === undefined) {
    return altNames.filter(({ kind }) => kind === "DNS").map(({ value }) => value);
  }
  if (!Array.isArray(names)) {
    throw new TypeError(`${where}names must be an array of host names, got ${shown(names)}`);
  }
  return names.map((name, at) => {
    const pattern = typeof name === "string" ? canonicalPattern(name) : "";
    if (pattern !== "") return pattern;
    const got = typeof name === "string" ? JSON.stringify(name) : shown(name);
    const wanted = "a host name, whose first label may be *";
    throw new TypeError(`${where}names[${at}] must be ${wanted}, got ${got}`);
  });
}
