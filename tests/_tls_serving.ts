// Servers under TLS on loopback, and their clients.

import { assertInstanceOf } from "@std/assert";
import { connect, type ConnectOptions } from "../connect/connect.ts";
import { TlsHandshakeError } from "../errors.ts";
import type { Refusal } from "../serve/observer.ts";
import {
  type Handler,
  serve,
  type ServeOptions,
  type Server,
  type ServerTlsOptions,
} from "../serve/serve.ts";
import type { Session } from "../session.ts";
import { cannotTls, type Certificate, makeCertificate, makeCertificates } from "./_certificates.ts";
import { echo, overNet, overNetCounting, portOf, until } from "./_serving.ts";

interface TestOptions {
  timeout: number;
  ignore: boolean;
}

/** For tests that need certificates. */
export const overTls: TestOptions = { ...overNet, ignore: overNet.ignore || cannotTls };
/** The same for tests that also count descriptors. */
export const overTlsCounting: TestOptions = {
  ...overNetCounting,
  ignore: overNetCounting.ignore || cannotTls,
};

const made = await makeCertificates();
const nobody = { cert: "", key: "" };

/** The certificates: `ca` has signed the others, and `rose` is for a server with the names `rose.test` and `*.rose.test`. */
export const ca: string = made.ca?.cert ?? "";
/** Its file, for other programs. */
export const caFile: string = made.ca?.certFile ?? "";
export const localhost: Pair = pairOf(made.server);
/** The directory of the files. */
export const localhostFiles: Files = made.server ?? { certFile: "", keyFile: "" };
export const clientFiles: Files = made.client ?? { certFile: "", keyFile: "" };
export const client: Pair = pairOf(made.client);
export const rose: Pair = pairOf(
  cannotTls ? undefined : await makeCertificate({
    subject: "/CN=rose.test",
    extensions: ["subjectAltName=DNS:rose.test,DNS:*.rose.test"],
    by: made.ca,
  }),
);
/** A client whose certificate is not trusted. */
export const stranger: Pair = pairOf(
  cannotTls ? undefined : await makeCertificate({
    subject: "/CN=rose/O=Garden",
    extensions: ["subjectAltName=DNS:rose"],
    by: made.rogueCa,
  }),
);

type Files = Pick<Certificate, "certFile" | "keyFile">;

interface Pair {
  cert: string;
  key: string;
}

function pairOf(certificate: Certificate | undefined): Pair {
  if (certificate === undefined) return nobody;
  const { cert, key } = certificate;
  return { cert, key };
}

/** Options whose certificate may be omitted; the default is that of `localhost`. */
export interface TlsServeOptions extends Omit<ServeOptions, "tls"> {
  tls?: Partial<ServerTlsOptions>;
}

/** A server under TLS. */
export interface TlsServer extends AsyncDisposable {
  server: Server;
  port: number;
  /** The refusals so far. */
  refusals: Refusal[];
  /** Waits for the first of them, and returns its error. */
  failure(): Promise<TlsHandshakeError>;
  /** Dials it. The default is to trust it. */
  dial(options?: ConnectOptions): Promise<Session>;
}

export function serveTls(
  { tls, observer, ...options }: TlsServeOptions = {},
  handler: Handler = echo,
): TlsServer {
  const refusals: Refusal[] = [];
  const server = serve({
    port: 0,
    tls: { ...localhost, ...tls },
    observer: { ...observer, onRefusal: (refusal) => void refusals.push(refusal) },
    ...options,
  }, handler);
  const port = portOf(server);
  return {
    server,
    port,
    refusals,
    failure: async () => {
      await until(() => refusals.length > 0);
      const { reason, cause } = refusals[0]!;
      assertInstanceOf(cause, TlsHandshakeError, `${reason}: ${cause}`);
      return cause;
    },
    dial: ({ tls, ...rest } = {}) => connect({ port, tls: { ca, ...tls }, ...rest }),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
