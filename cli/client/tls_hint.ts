import type { Session } from "../../mod.ts";

/** Whether a server that has said nothing, or nothing yet, may be waiting for TLS to begin. */
export function mayWantTls({ tls, bytesRead }: Session): boolean {
  return tls === undefined && bytesRead === 0;
}

/**
 * Whether what a session without TLS has brought first is an alert of TLS (RFC 8446 §5.1 and §6): what a server that
 * speaks TLS says to whoever does not. `text` has the bytes as characters.
 */
export function isTlsAlert({ tls }: Session, text: string): boolean {
  return tls === undefined && text.startsWith("\x15\x03") && text.slice(3, 5) === "\0\x02";
}
