import { closeQuietly } from "../../_internal/close_quietly.ts";
import { PeerLeft } from "../../_internal/peer_left.ts";
import { TlsHandshakeError } from "../../errors.ts";
import { type Connection, formatAddress, normalizeAddress } from "../connection.ts";
import { PrefixedConnection } from "../prefixed.ts";
import { isByUs } from "./handshake.ts";

/** The type of a handshake record, with which every TLS connection begins (RFC 8446 §5.1). */
const HANDSHAKE = 22;
/** The first message of most clients fits into it. The rest is read as usual. */
const FIRST_READ = 512;

/** A connection whose first bytes were looked at and will be read again. */
export interface Detected {
  readonly connection: Connection;
  /** Whether they are the beginning of a TLS handshake. */
  readonly isTls: boolean;
}

/**
 * Waits for the first bytes of a connection.
 *
 * @param connection The raw connection, which is closed if there are none.
 * @param signal Ends the wait, which then rejects with the signal's reason.
 * @returns The connection, with those bytes.
 * @throws {TlsHandshakeError} If the connection ends first.
 */
export async function detectTls(connection: Connection, signal: AbortSignal): Promise<Detected> {
  const onAbort = (): void => closeQuietly(connection);
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    const buffer = new Uint8Array(FIRST_READ);
    const count = await connection.read(buffer);
    signal.throwIfAborted();
    if (count === null) throw ended(connection, undefined);
    const isTls = buffer[0] === HANDSHAKE;
    return { connection: new PrefixedConnection(connection, buffer.subarray(0, count)), isTls };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (!isByUs(error)) closeQuietly(connection);
    throw error instanceof TlsHandshakeError ? error : ended(connection, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function ended({ remoteAddr }: Connection, cause: unknown): TlsHandshakeError {
  return new TlsHandshakeError(
    formatAddress(normalizeAddress(remoteAddr)),
    "closed",
    "the peer closed the connection before it had sent anything",
    { cause: isByUs(cause) ? cause : new PeerLeft({ cause }) },
  );
}
