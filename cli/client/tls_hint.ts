import type { Session } from "../../mod.ts";

/** Whether a server that has sent nothing yet may be waiting for TLS. */
export function mayWantTls({ tls, bytesRead }: Session): boolean {
  return tls === undefined && bytesRead === 0;
}

/**
 * Whether the first data of a session without TLS is a TLS alert (RFC 8446 §5.1 and §6), which is how a TLS server answers
 * a client without TLS. `text` has the bytes as characters.
 */
export function isTlsAlert({ tls }: Session, text: string): boolean {
  return tls === undefined && text.startsWith("\x15\x03") && text.slice(3, 5) === "\0\x02";
}
