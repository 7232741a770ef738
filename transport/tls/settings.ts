import { Duplex } from "node:stream";
import tls, { type SecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
import { checkObject, checkOneOf, shown } from "../../_internal/checks.ts";
import { canonicalPattern, ServerNames } from "./server_names.ts";
import {
  checkCertificate,
  type CheckedCertificate,
  checkTlsOptions,
  type NamedCertificate,
  type TlsCertificate,
  type TlsServerOptions,
} from "./options.ts";
import type { CertificateNames } from "./x509.ts";

/** What a server goes by until its certificates are reloaded. */
export interface ServerSettings {
  /** The TLS server, which never listens. */
  readonly server: tls.Server;
  readonly clientCertificate: "none" | "optional" | "required";
  /** Who may have signed the clients' certificates, as a text to compare. */
  readonly authorities: string;
}

/** Thrown at a client that asks for a server name that is not served. */
export class UnknownServerName extends Error {
  constructor(name: string) {
    super(`the client asks for the server name ${JSON.stringify(name)}, which is not served`);
  }
}

/** Checks the options of a server and makes what they ask for. */
export function serverSettings(options: TlsServerOptions): ServerSettings {
  checkObject("tls", options);
  const { clientCertificate = "none" } = options;
  checkOneOf("clientCertificate", clientCertificate, ["none", "optional", "required"]);
  const { ALPNProtocols, ...context } = checkTlsOptions(options);
  const asks = clientCertificate !== "none";
  if (asks !== (context.ca !== undefined)) {
    throw new TypeError(
      asks
        ? `clientCertificate ${JSON.stringify(clientCertificate)} needs a ca`
        : `ca is for clients' certificates, but clientCertificate is "none"`,
    );
  }
  const { cert, key, says } = usable(options, "");
  const SNICallback = chooser(options, says, context);
  const server = tls.createServer({
    ...context,
    cert,
    key,
    ...(ALPNProtocols !== undefined && { ALPNProtocols }),
    requestCert: asks,
    rejectUnauthorized: clientCertificate === "required",
    handshakeTimeout: -1, // without a number it would be 120 s, by a timer that outlives the connection
    ...(SNICallback !== undefined && { SNICallback }),
  });
  return { server, clientCertificate, authorities: JSON.stringify(context.ca ?? []) };
}

type SniCallback = (
  name: string,
  done: (error: Error | null, context?: SecureContext) => void,
) => void;

/** What chooses a certificate by server name, where there is a choice. */
function chooser(
  { certificates = [], unknownServerName = "default" }: TlsServerOptions,
  says: CertificateNames,
  context: SecureContextOptions,
): SniCallback | undefined {
  checkOneOf("unknownServerName", unknownServerName, ["default", "refuse"]);
  if (!Array.isArray(certificates)) {
    throw new TypeError(`certificates must be an array, got ${shown(certificates)}`);
  }
  const contexts = new ServerNames<SecureContext | undefined>();
  certificates.forEach((one: NamedCertificate, at) => {
    checkObject(`certificates[${at}]`, one);
    const where = `certificates[${at}].`;
    const { cert, key, says } = usable(one, where);
    const secureContext = tls.createSecureContext({ ...context, cert, key });
    for (const name of namesOf(one.names, says, where)) contexts.add(name, secureContext);
  });
  const refuses = unknownServerName === "refuse";
  if (certificates.length === 0 && !refuses) return undefined;
  for (const name of namesOf(undefined, says, "")) contexts.add(name, undefined);
  return (name, done) => {
    if (name !== "" && refuses && !contexts.has(name)) done(new UnknownServerName(name));
    else done(null, contexts.get(name));
  };
}

/** The server names that a certificate is shown for. */
function namesOf(names: unknown, says: CertificateNames, where: string): string[] {
  if (names === undefined) {
    return says.altNames.filter(({ kind }) => kind === "DNS").map(({ value }) => value);
  }
  if (!Array.isArray(names)) {
    throw new TypeError(`${where}names must be an array of host names, got ${shown(names)}`);
  }
  return names.map((name, at) => {
    const pattern = typeof name === "string" ? canonicalPattern(name) : "";
    if (pattern !== "") return pattern;
    const got = typeof name === "string" ? JSON.stringify(name) : shown(name);
    const wanted = "a host name, of which the first label may be *";
    throw new TypeError(`${where}names[${at}] must be ${wanted}, got ${got}`);
  });
}

/** Throws unless the TLS layer can use the certificate: it says so only when the first connection comes. */
function usable(certificate: TlsCertificate, where: string): CheckedCertificate {
  const checked = checkCertificate(certificate, where);
  const { cert, key } = checked;
  let problem: unknown;
  try {
    const server = tls.createServer({ cert, key, handshakeTimeout: -1 });
    const nobody = new Duplex({ read: () => {}, write: () => {} });
    receive(server, nobody, { onSecure: () => {}, onError: (error) => problem ??= error });
    nobody.destroy();
  } catch (error) {
    problem = error;
  }
  if (problem === undefined) return checked;
  throw new TypeError(`${where}key is of a kind or size that cannot be used for TLS`, {
    cause: problem,
  });
}

/** Whom a server tells what became of a connection. */
export interface Receiver {
  /** TLS is agreed on. */
  onSecure(socket: TLSSocket): void;
  /** It is not. Told at most once. */
  onError(error: Error, socket: TLSSocket): void;
}

/**
 * Gives a server a connection. `tls.Server` tells all who listen on it of every connection, with a socket from which
 * no way leads back to the stream it was made for; so each connection is given a view of the server of its own.
 */
export function receive(server: tls.Server, stream: Duplex, receiver: Receiver): void {
  const view: tls.Server = Object.create(server, {
    emit: {
      value(event: string, ...args: unknown[]): boolean {
        if (event === "secureConnection") receiver.onSecure(args[0] as TLSSocket);
        if (event === "tlsClientError") receiver.onError(args[0] as Error, args[1] as TLSSocket);
        return true;
      },
    },
  });
  Reflect.apply(server.emit, view, ["connection", stream]);
}
