/** The context of a trace that a message belongs to: `traceparent` of W3C Trace Context, as text and in messages. */

import { concat } from "../_internal/concat.ts";

/** Version 00 (§3.2.2). */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
/** The identifiers of the trace and of the span, and the flags: 16, 8 and 1 bytes. */
export const CONTEXT_SIZE = 25;

/** Whether text is a `traceparent` of version 00. */
export function isTraceparent(text: unknown): text is string {
  return typeof text === "string" && TRACEPARENT.test(text);
}

/** The payload of a message that belongs to a trace. */
export function withContext(traceparent: string, payload: Uint8Array): Uint8Array {
  const hex = traceparent.slice(3).replaceAll("-", "");
  const context = new Uint8Array(CONTEXT_SIZE);
  for (let n = 0; n < CONTEXT_SIZE; n++) {
    context[n] = parseInt(hex.slice(2 * n, 2 * n + 2), 16);
  }
  return concat([context, payload]);
}

/** The context at the beginning of a payload; `undefined` if it has an identifier of zeros, which is none (§3.2.2.3). */
export function contextOf(payload: Uint8Array): string | undefined {
  let hex = "";
  for (let n = 0; n < CONTEXT_SIZE; n++) hex += payload[n]!.toString(16).padStart(2, "0");
  const traceparent = `00-${hex.slice(0, 32)}-${hex.slice(32, 48)}-${hex.slice(48)}`;
  return isTraceparent(traceparent) ? traceparent : undefined;
}
