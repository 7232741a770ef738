/** Spans of sessions, through a tracer of OpenTelemetry. */

import { checkOneOf } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import { textOf } from "../_internal/thrown.ts";
import type { EndReason, SessionEnd } from "../errors.ts";
import type { Session } from "../session.ts";
import type { Address } from "../transport/connection.ts";
import { checkName } from "./names.ts";
import type { MetricAttributes } from "../workers/metrics.ts";

/** What is used of a `Tracer` of `@opentelemetry/api`. */
export interface Tracer<Span extends SessionSpan = SessionSpan> {
  /**
   * Starts a span.
   *
   * @param name The name.
   * @param options The kind and the attributes.
   * @returns The span.
   */
  startSpan(name: string, options?: { kind?: number; attributes?: MetricAttributes }): Span;
}

/** What is used of a `Span` of `@opentelemetry/api`. */
export interface SessionSpan {
  /**
   * Adds attributes.
   *
   * @param attributes The attributes.
   */
  setAttributes(attributes: MetricAttributes): unknown;
  /**
   * Marks the span as failed.
   *
   * @param status The code 2, and why.
   */
  setStatus(status: { code: number; message?: string }): unknown;
  /**
   * Adds a link to a span of another trace. If there is no such method, {@linkcode traceMessages} adds none.
   *
   * @param link The context of the other span, and attributes of the link.
   */
  addLink?(link: { context: SpanContext; attributes?: MetricAttributes }): unknown;
  /** Ends the span. */
  end(): void;
}

/** What is used of a `SpanContext` of `@opentelemetry/api`: what names a span in all processes. */
export interface SpanContext {
  /** The trace: 32 hexadecimal digits. */
  traceId: string;
  /** The span: 16 hexadecimal digits. */
  spanId: string;
  /** Flags, of which 1 means that the trace is sampled. */
  traceFlags: number;
}

/** Options of {@linkcode traceSessions}. */
export interface TraceSessionsOptions {
  /**
   * The name of the spans: 1 to 100 characters.
   *
   * @default {"session"}
   */
  name?: string;
  /**
   * The side of the sessions.
   *
   * @default {"server"}
   */
  kind?: "server" | "client";
}

/** An observer that makes a span for each session. */
export interface SessionTracer<Span> {
  /**
   * A session begins.
   *
   * @param session The session.
   */
  onSessionStart(session: Session): void;
  /**
   * A session has ended.
   *
   * @param session The session.
   * @param end Why.
   */
  onSessionEnd(session: Session, end: SessionEnd): void;
  /**
   * Returns the span of a session, to add attributes, events and links, or to make it the parent of other spans.
   *
   * @param session The session.
   * @returns The span; `undefined` if the session began before it was observed.
   */
  spanOf(session: Session): Span | undefined;
}

export const TRACE_SESSIONS_OPTIONS: Known<TraceSessionsOptions> = {
  name: elsewhere,
  kind: elsewhere,
};

/** The numbers of the kinds and of the status in OpenTelemetry's API. */
const KINDS = { server: 1, client: 2 };
const ERROR = 2;
/** Ends with these reasons are no errors, and neither is that of a peer without a cause. */
const USUAL: readonly EndReason[] = ["local", "idle", "lifetime", "drain", "handover"];
/** The longest text that comes from a peer. */
const MAX_TEXT = 256;

/**
 * Makes an observer for `serve()` or `reconnect()` that makes a span for each session.
 *
 * A span has the addresses, the parameters of TLS, how the session has ended, and how many bytes it received and sent. Texts
 * that come from a peer have at most 256 characters. Spans cost much more than metrics: use a sampler if there are many
 * sessions.
 *
 * @param tracer A `Tracer` of `@opentelemetry/api`.
 * @param options The name and the kind of the spans.
 * @returns The observer. To observe more, add methods: `{ ...traceSessions(tracer), onRefusal }`.
 * @throws {TypeError | RangeError} If an option is invalid.
 *
 * @example
 * ```ts ignore
 * import { trace } from "@opentelemetry/api";
 * import { serve } from "@parley/tcp";
 * import { traceSessions } from "@parley/tcp/metrics";
 *
 * const spans = traceSessions(trace.getTracer("greeter"));
 * serve({ port: 1234, observer: spans }, async (session) => {
 *   for await (const name of session.lines()) {
 *     spans.spanOf(session)?.addEvent("greeting");
 *     await session.send(`hello, ${name}!\n`);
 *   }
 * });
 * ```
 */
export function traceSessions<Span extends SessionSpan>(
  tracer: Tracer<Span>,
  options: TraceSessionsOptions = {},
): SessionTracer<Span> {
  checkOptions(options, TRACE_SESSIONS_OPTIONS);
  const { name = "session", kind = "server" } = options;
  checkName(name);
  checkOneOf("kind", kind, ["server", "client"]);
  const spans = new WeakMap<Session, Span>();
  return {
    onSessionStart(session): void {
      const attributes = attributesOf(session, kind);
      spans.set(session, tracer.startSpan(name, { kind: KINDS[kind], attributes }));
    },
    onSessionEnd(session, { reason, cause }): void {
      const span = spans.get(session);
      if (span === undefined) return;
      const isError = !USUAL.includes(reason) && (reason !== "peer" || cause !== undefined);
      span.setAttributes({
        ...tlsAttributes(session), // it may have begun later
        "parley.session.end_reason": reason,
        "parley.session.bytes_received": session.bytesRead,
        "parley.session.bytes_transmitted": session.bytesWritten,
        ...(isError && { "error.type": reason }),
      });
      if (isError) {
        span.setStatus({
          code: ERROR,
          ...(cause !== undefined && { message: bounded(textOf(cause)) }),
        });
      }
      span.end();
    },
    spanOf: (session) => spans.get(session),
  };
}

function attributesOf(session: Session, kind: "server" | "client"): MetricAttributes {
  const { id, localAddr, remoteAddr } = session;
  const [server, client] = kind === "server" ? [localAddr, remoteAddr] : [remoteAddr, localAddr];
  return {
    "parley.session.id": id,
    "network.transport": remoteAddr.transport,
    ...addressAttributes("server", server),
    ...addressAttributes("client", client),
  };
}

function addressAttributes(side: string, addr: Address): MetricAttributes {
  if ("hostname" in addr) {
    return { [`${side}.address`]: bounded(addr.hostname), [`${side}.port`]: addr.port };
  }
  return "path" in addr ? { [`${side}.address`]: bounded(addr.path) } : {};
}

function tlsAttributes({ tls }: Session): MetricAttributes {
  if (tls === undefined) return {};
  const { protocol, cipher, alpn, serverName } = tls;
  return {
    "tls.protocol.name": "tls",
    "tls.protocol.version": protocol.replace("TLSv", ""),
    "tls.cipher": cipher,
    ...(alpn !== undefined && { "tls.next_protocol": bounded(alpn) }),
    ...(serverName !== undefined && { "tls.client.server_name": bounded(serverName) }),
  };
}

function bounded(text: string): string {
  return text.slice(0, MAX_TEXT);
}
