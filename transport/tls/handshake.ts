import { systemErrors } from "../../_internal/system_error_classes.ts";
import { closeQuietly } from "../../_internal/close_quietly.ts";
import { PeerLeft } from "../../_internal/peer_left.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress, type TlsInfo } from "../connection.ts";
import { TlsConnection } from "./connection.ts";
import { explain } from "./errors.ts";
import type { TlsContext, TlsRecords } from "./records.ts";
import { alertFor } from "./x509/problem.ts";

/** Most handshake messages of a side fit into it. */
const READ_SIZE = 2 * 1024;
export const UNRECOGNIZED_NAME = 112;

/** This side of a handshake. */
export interface Side {
  readonly role: "client" | "server";
  readonly records: TlsRecords;
  /** The context for a server name, which is `""` if the client asks for none; `undefined` if it is not served. */
  readonly choose?: ((name: string) => TlsContext | undefined) | undefined;
  /** Verifies the peer and returns what was negotiated. Throws if the peer is not accepted. */
  finish(): TlsInfo;
}

/**
 * Performs a handshake.
 *
 * @param connection The raw connection. If the handshake fails, it is closed and its descriptor is free.
 * @param begin Makes this side. It may throw.
 * @param signal Aborts the handshake, which then rejects with the signal's reason.
 * @returns The connection over TLS.
 * @throws {TlsHandshakeError} If the handshake fails.
 */
export async function handshake(
  connection: Connection,
  begin: (remoteAddr: string) => Side,
  signal: AbortSignal,
): Promise<Connection> {
  let isClosed = false;
  const close = (): void => {
    if (!isClosed) closeQuietly(connection);
    isClosed = true;
  };
  signal.addEventListener("abort", close);
  const remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
  let side: Side | undefined;
  try {
    signal.throwIfAborted();
    side = begin(remoteAddr);
    const tls = await exchange(connection, remoteAddr, side);
    signal.throwIfAborted();
    return new TlsConnection(connection, side.records, tls);
  } catch (error) {
    side?.records.destroy();
    const { cause } = error as { cause?: unknown };
    isClosed ||= isByUs(cause);
    close();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

/** Whether the error of a connection means that this side has closed it. */
export function isByUs(cause: unknown): boolean {
  return cause instanceof systemErrors.Interrupted || cause instanceof systemErrors.BadResource;
}

/** Exchanges messages until the handshake is done. The last output is left to the caller to send. */
async function exchange(connection: Connection, remoteAddr: string, side: Side): Promise<TlsInfo> {
  const { role, records } = side;
  const failed = (code: "closed" | "server-name", problem: string, cause?: unknown): Error =>
    new TlsHandshakeError(remoteAddr, code, problem, { cause });
  let hasReceived = false;
  const ended = (problem: string, cause?: unknown): Error => {
    const isSilent = role === "server" && !hasReceived && !isByUs(cause);
    return failed("closed", problem, isSilent ? new PeerLeft({ cause }) : cause);
  };
  const lost = (error: unknown): never => {
    throw ended("the connection was lost before the handshake was done", error);
  };
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      at += await connection.write(bytes.subarray(at)).catch(lost);
    }
  };

  const finish = async (): Promise<TlsInfo> => {
    try {
      return side.finish();
    } catch (error) {
      if (error instanceof CertificateError && takesPlainAlerts(side)) {
        await write(fatalAlert(alertFor(error.cause)));
      }
      throw error;
    }
  };

  const buffer = new Uint8Array(READ_SIZE);
  let tls: TlsInfo | undefined;
  for (;;) {
    // With TLS 1.2, a client can verify the server before it sends its own certificate.
    const isKnown = records.isSecure || role === "client" && records.peerCertificates.length > 0;
    if (isKnown) tls ??= await finish();
    if (records.isSecure) return tls!;
    await write(records.drain());
    if (records.fault !== undefined) throw explain(remoteAddr, role, records.fault);
    const count = await connection.read(buffer).catch(lost);
    if (count === null) throw ended("the peer closed the connection before the handshake was done");
    hasReceived = true;
    records.receive(buffer.subarray(0, count));
    if (!records.needsContext) continue;
    const name = records.serverName;
    const context = side.choose!(name);
    if (context === undefined) {
      await write(fatalAlert(UNRECOGNIZED_NAME));
      const problem = `the client asks for the server name ${
        JSON.stringify(name)
      }, which is not served`;
      throw failed("server-name", problem);
    }
    records.accept(context);
  }
}

/** Whether this side has encrypted nothing yet, so that the peer still accepts a plaintext alert (RFC 8446 §6). */
function takesPlainAlerts({ role, records }: Side): boolean {
  return role === "client" || records.negotiated.protocol === "TLSv1.2" && !records.isResumed;
}

/** A plaintext alert (RFC 8446 §6), for a peer that has no keys yet. */
export function fatalAlert(code: number): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, 2, code);
}
