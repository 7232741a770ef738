/** How the client dials, and what it says of a dial that has failed. */

import {
  CertificateError,
  connect,
  ConnectError,
  ConnectionRefusedError,
  type ConnectOptions,
  ConnectTimeoutError,
  formatAddress,
  type Session,
  type TlsClientOptions,
  TlsHandshakeError,
} from "../../mod.ts";
import type { Place, Plan, TlsPlan } from "./options.ts";
import { describeTls } from "./describe_tls.ts";
import { permissionError, ProgramError, readOptionFile, UsageError } from "../program.ts";
import { say } from "../standard_error.ts";

/** The library's names of options whose values it alone looks at, and those of the command line. */
const NAMES: Readonly<Record<string, string>> = {
  hostname: "--hostname",
  path: "--unix",
  serverName: "--servername",
  alpn: "--alpn",
};

/** What to hand to `connect()` for a plan: reads the files of TLS. `more` is how sessions are to behave. */
export function dialOptions(plan: Plan, more: Partial<ConnectOptions>): ConnectOptions {
  const { place, transport, tls, proxyHeader, timeout, idle, readIdle } = plan;
  try {
    return {
      ...place,
      transport,
      ...(tls && { tls: readTls(tls) }),
      ...(proxyHeader && { proxyHeader: { version: proxyHeader } }),
      connectTimeout: timeout,
      idleTimeout: idle,
      readIdleTimeout: readIdle,
      closeTimeout: 1_000, // there is nothing more to come from the server
      maxCloseTime: 5_000,
      ...more,
    };
  } catch (error) {
    throw dialError(error, plan);
  }
}

/** Dials once. With `--verbose`, tells of it. */
export async function dial(options: ConnectOptions, plan: Plan): Promise<Session> {
  const start = performance.now();
  if (plan.verbose) say(`dialling ${formatPlace(plan.place)}`);
  try {
    const session = await connect(options);
    if (plan.verbose) describe(session, performance.now() - start);
    return session;
  } catch (error) {
    throw dialError(error, plan);
  }
}

/** Says where a connection leads, how long it took, and what TLS has agreed on. */
export function describe(session: Session, duration: number): void {
  say(`connected to ${formatAddress(session.remoteAddr)} in ${Math.round(duration)} ms`);
  if (session.tls !== undefined) { for (const line of describeTls(session.tls)) say(line); }
}

/** The place as people write it. */
export function formatPlace(place: Place): string {
  return formatAddress(
    "path" in place ? { transport: "unix", ...place } : { transport: "tcp", ...place },
  );
}

/** What to throw instead of what a dial has thrown: one line that says what to do about it. */
export function dialError(error: unknown, plan: Plan): unknown {
  if (error instanceof Deno.errors.NotCapable) return permissionError(error, filesOf(plan));
  if (isOurTimeout(error)) {
    return new ProgramError(`${dialProblem(error)}: try a longer --timeout`);
  }
  if (error instanceof CertificateError) {
    const hint = "name who has signed it with --ca, or the host that it is for with --servername";
    const isTheirs = error.message.includes("the server's certificate");
    return new ProgramError(
      `${error.message}: ${isTheirs ? hint : "choose another with --cert and --key"}`,
    );
  }
  if (error instanceof TlsHandshakeError) return new ProgramError(error.message);
  if (error instanceof ConnectError) {
    return new ProgramError(`${error.message}: ${hintFor(error, plan)}`);
  }
  if (error instanceof TypeError || error instanceof RangeError) return misuse(error, plan.tls);
  return error;
}

/** Why a dial has failed, without what to do about it. */
export function dialProblem(error: unknown): string {
  return (error as Error).message.replace(/ \(connectTimeout\)$/, ""); // as the library calls it
}

/** Whether it is `--timeout` that is over. The system stops waiting some time, too. */
function isOurTimeout(error: unknown): boolean {
  return error instanceof ConnectTimeoutError && error.cause instanceof DOMException;
}

function hintFor(error: ConnectError, { place }: Plan): string {
  const options = "path" in place ? "--unix" : "--hostname and --port";
  return error instanceof ConnectionRefusedError
    ? `start the server, or choose another with ${options}`
    : `choose another server with ${options}`;
}

/** The files that the options need. */
function filesOf({ place, tls, raw }: Plan): { read: string[]; written: string[] } {
  const socket = "path" in place ? [place.path] : [];
  return {
    read: [tls?.ca, tls?.cert, tls?.key, raw?.output, ...socket]
      .filter((path) => path !== undefined),
    written: [raw?.output, ...socket].filter((path) => path !== undefined),
  };
}

/** Says of an option of the command line what the library says of its own. */
function misuse(error: TypeError | RangeError, tls: TlsPlan | undefined): Error {
  const { message } = error;
  const file = /^(ca|cert|key) /.exec(message)?.[1] as "ca" | "cert" | "key" | undefined;
  if (file !== undefined && tls !== undefined) {
    return new ProgramError(`cannot use --${file} ${tls[file]}: ${message}`);
  }
  const [, before, name, problem] = /^(a protocol in )?(\w+) (must [^]*)$/.exec(message) ?? [];
  const option = NAMES[name ?? ""];
  return option === undefined ? error : new UsageError(`${before ?? ""}${option} ${problem}`);
}

function readTls({ ca, cert, key, serverName, alpn, isInsecure }: TlsPlan): TlsClientOptions {
  return {
    ...(ca !== undefined && { ca: readOptionFile("--ca", ca) }),
    ...(cert !== undefined && { cert: readOptionFile("--cert", cert) }),
    ...(key !== undefined && { key: readOptionFile("--key", key) }),
    ...(serverName !== undefined && { serverName }),
    ...(alpn !== undefined && { alpn }),
    unsafelyIgnoreCertificateErrors: isInsecure,
  };
}
