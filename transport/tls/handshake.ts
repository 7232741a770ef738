import { closeQuietly } from "../../_internal/close_quietly.ts";
import { PeerLeft } from "../../_internal/peer_left.ts";
import { CertificateError, TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress, type TlsInfo } from "../connection.ts";
import { TlsConnection } from "./connection.ts";
import { explain } from "./errors.ts";
import type { TlsContext, TlsRecords } from "./records.ts";
import { alertFor } from "./x509/problem.ts";

/** Most of what a side says at once fits in. */
const READ_SIZE = 2 * 1024;
const UNRECOGNIZED_NAME = 112;

/** This side of a handshake. */
export interface Side {
  readonly role: "client" | "server";
  readonly records: TlsRecords;
  /** What a client is shown that asks for a server name, or for none (`""`); `undefined` if that is not served. */
  readonly choose?: ((name: string) => TlsContext | undefined) | undefined;
  /** Judges the peer once it has proved who it is, and tells what was agreed on. Throws if it is not to be let in. */
  agree(): TlsInfo;
}

/**
 * Shakes hands.
 *
 * @param connection The raw connection. It is closed, and its descriptor free, where there is no TLS.
 * @param begin Makes this side, and may throw.
 * @param giveUp Gives up when it aborts: rejects with its reason.
 * @returns The connection under TLS.
 * @throws {TlsHandshakeError} If there is none.
 */
export async function shakeHands(
  connection: Connection,
  begin: (remoteAddr: string) => Side,
  giveUp: AbortSignal,
): Promise<Connection> {
  let isClosed = false;
  const close = (): void => {
    if (!isClosed) closeQuietly(connection);
    isClosed = true;
  };
  giveUp.addEventListener("abort", close);
  const remoteAddr = formatAddress(normalizeAddress(connection.remoteAddr));
  let side: Side | undefined;
  try {
    giveUp.throwIfAborted();
    side = begin(remoteAddr);
    const tls = await exchange(connection, remoteAddr, side);
    giveUp.throwIfAborted();
    return new TlsConnection(connection, side.records, tls);
  } catch (error) {
    side?.records.destroy();
    const { cause } = error as { cause?: unknown };
    isClosed ||= isByUs(cause);
    close();
    throw giveUp.aborted ? giveUp.reason : error;
  } finally {
    giveUp.removeEventListener("abort", close);
  }
}

/** Whether a connection has rejected with this because this side has closed it. */
function isByUs(cause: unknown): boolean {
  return cause instanceof Deno.errors.Interrupted || cause instanceof Deno.errors.BadResource;
}

/** Goes on until there is TLS. What is to be said then is left to whoever takes over. */
async function exchange(connection: Connection, remoteAddr: string, side: Side): Promise<TlsInfo> {
  const { role, records } = side;
  const failed = (code: "closed" | "server-name", problem: string, cause?: unknown): Error =>
    new TlsHandshakeError(remoteAddr, code, problem, { cause });
  let hasHeard = false;
  const gone = (problem: string, cause?: unknown): Error => {
    const isSilent = role === "server" && !hasHeard && !isByUs(cause);
    return failed("closed", problem, isSilent ? new PeerLeft({ cause }) : cause);
  };
  const lost = (error: unknown): never => {
    throw gone("the connection was lost before the handshake was done", error);
  };
  const write = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) {
      at += await connection.write(bytes.subarray(at)).catch(lost);
    }
  };

  const agree = async (): Promise<TlsInfo> => {
    try {
      return side.agree();
    } catch (error) {
      if (error instanceof CertificateError && isPlain(side)) {
        await write(fatalAlert(alertFor(error.cause)));
      }
      throw error;
    }
  };

  const buffer = new Uint8Array(READ_SIZE);
  let agreed: TlsInfo | undefined;
  for (;;) {
    // In TLS 1.2 a client knows the server before it has said who it is itself.
    const isKnown = records.isSecure || role === "client" && records.peerCertificates.length > 0;
    if (isKnown) agreed ??= await agree();
    if (records.isSecure) return agreed!;
    await write(records.drain());
    if (records.fault !== undefined) throw explain(remoteAddr, role, records.fault);
    const count = await connection.read(buffer).catch(lost);
    if (count === null) throw gone("the peer closed the connection before the handshake was done");
    hasHeard = true;
    records.receive(buffer.subarray(0, count));
    if (!records.isHeld) continue;
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

/** Whether this side has encrypted nothing yet, so that the peer still takes an alert as it is (RFC 8446 §6). */
function isPlain({ role, records }: Side): boolean {
  return role === "client" || records.agreed.protocol === "TLSv1.2" && !records.isResumed;
}

function fatalAlert(code: number): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, 2, code);
}
