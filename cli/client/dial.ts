/** How the client dials, and the messages for failed dials. */

import {
  CertificateError,
  connect,
  ConnectError,
  ConnectionRefusedError,
  type ConnectOptions,
  ConnectTimeoutError,
  formatAddress,
  type Session,
  systemErrors,
  type TlsClientOptions,
  TlsHandshakeError,
} from "../../mod.ts";
import { captureFiles } from "../capturing.ts";
import type { Place, Plan, TlsPlan } from "./options.ts";
import { describeTls } from "./describe_tls.ts";
import { permissionError, ProgramError, readOptionFile, UsageError } from "../program.ts";
import { say } from "../standard_error.ts";

/** Options whose values only the library checks: its names, and those of the command line. */
const NAMES: Readonly<Record<string, string>> = {
  hostname: "--hostname",
  path: "--unix",
  serverName: "--servername",
  alpn: "--alpn",
};

/** The options of `connect()` for a plan. Reads the files of TLS. `more` are options of the sessions. */
export function dialOptions(plan: Plan, more: Partial<ConnectOptions>): ConnectOptions {
  const { place, transport, tls, proxyHeader, timeout, idle, readIdle } = plan;
  try {
    return {
      ...place,
      ...(transport && { transport }),
      ...(tls && { tls: readTls(tls) }),
      ...(proxyHeader && { proxyHeader: { version: proxyHeader } }),
      connectTimeout: timeout,
      idleTimeout: idle,
      readIdleTimeout: readIdle,
      closeTimeout: 1_000, // the server has nothing more to send
      maxCloseTime: 5_000,
      ...more,
    };
  } catch (error) {
    throw dialError(error, plan);
  }
}

/** Dials once. With `--verbose`, it reports that. */
export async function dial(options: ConnectOptions, plan: Plan): Promise<Session> {
  const start = performance.now();
  if (plan.verbose) say(`dialling ${formatPlace(plan.place)}`);
  try {
    const session = await connect(options);
    plan.onSession?.(session);
    if (plan.verbose) describe(session, performance.now() - start);
    return session;
  } catch (error) {
    throw dialError(error, plan);
  }
}

/** Reports the address of a connection, how long it took, and its TLS parameters. */
export function describe(session: Session, duration: number): void {
  say(`connected to ${formatAddress(session.remoteAddr)} in ${Math.round(duration)} ms`);
  if (session.tls !== undefined) { for (const line of describeTls(session.tls)) say(line); }
}

/** An address as people write it. */
export function formatPlace(place: Place): string {
  return formatAddress(
    "path" in place ? { transport: "unix", ...place } : { transport: "tcp", ...place },
  );
}

/** Turns the error of a dial into one line that says what to do about it. */
export function dialError(error: unknown, plan: Plan): unknown {
  if (error instanceof systemErrors.NotCapable) return permissionError(error, filesOf(plan));
  if (isOurTimeout(error)) {
    return new ProgramError(`${dialProblem(error)}: try a longer --timeout`);
  }
  if (error instanceof CertificateError) {
    const { message } = error;
    const hint = certificateHint(message);
    return new ProgramError(hint === undefined ? message : `${message}: ${hint}`);
  }
  if (error instanceof TlsHandshakeError) return new ProgramError(error.message);
  if (error instanceof ConnectError) {
    return new ProgramError(`${error.message}: ${hintFor(error, plan)}`);
  }
  if (error instanceof TypeError || error instanceof RangeError) return misuse(error, plan.tls);
  return error;
}

/** What to do about a certificate. Nothing helps against one that has expired, for example. */
function certificateHint(message: string): string | undefined {
  if (!message.includes("the server's certificate")) return "choose another with --cert and --key";
  if (message.includes(' is not for "')) return "name the host that it is for with --servername";
  return /trusted|self-signed/.test(message) ? "name who has signed it with --ca" : undefined;
}

/** Why a dial has failed, without what to do about it. */
export function dialProblem(error: unknown): string {
  return (error as Error).message.replace(/ \(connectTimeout\)$/, ""); // the library's name of the option
}

/** Whether `--timeout` is over. The system has a timeout, too. */
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
function filesOf({ place, tls, raw, capture }: Plan): { read: string[]; written: string[] } {
  const written = capture === undefined ? [] : captureFiles(capture);
  if ("path" in place) written.push(place.path);
  if (raw?.output !== undefined) written.push(raw.output);
  return {
    read: [tls?.ca, tls?.cert, tls?.key, ...written].filter((path) => path !== undefined),
    written,
  };
}

/** Turns an error about an option of the library into one about the option of the command line. */
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
