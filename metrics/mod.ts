/**
 * The numbers of servers and clients, for Prometheus and OpenTelemetry: {@linkcode Metrics}.
 *
 * @example Numbers for Prometheus, on another port
 * ```ts
 * import { serve } from "@parley/tcp";
 * import { Metrics } from "@parley/tcp/metrics";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("welcome!"));
 * const metrics = new Metrics();
 * metrics.addServer("greeter", server);
 * await using http = Deno.serve({ hostname: "127.0.0.1", port: 0 }, metrics.handler);
 * console.log(metrics.prometheus());
 * ```
 *
 * @module
 */

export type { MeasuredCapture } from "./capture_source.ts";
export type { MeasuredDatagramServer } from "./datagram_source.ts";
export type { MeasuredHub } from "./hub_source.ts";
export { type ActiveSpans, traceMessages, type TraceMessagesOptions } from "./message_links.ts";
export { Metrics } from "./metrics.ts";
export type {
  BatchCallback,
  BatchResult,
  HistogramInstrument,
  InstrumentOptions,
  Meter,
} from "./opentelemetry.ts";
export type { MeasuredPool } from "./pool_source.ts";
export type { MeasuredServer } from "./server_source.ts";
export {
  type SessionSpan,
  type SessionTracer,
  type SpanContext,
  type Tracer,
  traceSessions,
  type TraceSessionsOptions,
} from "./session_spans.ts";
export type {
  Metric,
  MetricAttributes,
  MetricDefinition,
  MetricKind,
  MetricPoint,
} from "../workers/metrics.ts";
