/** Links from the spans of sessions to those in which the messages of a hub were published. */

import { checkInteger, checkMethods } from "../_internal/checks.ts";
import { checkOptions, elsewhere, type Known } from "../_internal/options.ts";
import type { HubTracer } from "../hub/options.ts";
import type { Session } from "../session.ts";
import type { SessionSpan, SessionTracer, SpanContext } from "./session_spans.ts";

/** What is used of `trace` of `@opentelemetry/api`. */
export interface ActiveSpans {
  /**
   * Returns the span in which the program runs now.
   *
   * @returns The span; `undefined` if there is none.
   */
  getActiveSpan(): { spanContext(): SpanContext } | undefined;
}

/** Options of {@linkcode traceMessages}. */
export interface TraceMessagesOptions {
  /**
   * How many links a session's span gets at most, for the first messages: 1 to 10,000.
   *
   * @default {128}
   */
  maxLinks?: number;
}

export const TRACE_MESSAGES_OPTIONS: Known<TraceMessagesOptions> = { maxLinks: elsewhere };

/** The links of a session. */
interface Links {
  count: number;
  last: string;
}

/**
 * Makes the `tracer` of a hub: the span of each session that a message goes to, in all processes, gets a link to the span
 * that was active where the message was published.
 *
 * Messages in a row from the same span have one link. A link has the name of the group as `parley.hub.group`.
 *
 * @param trace `trace` of `@opentelemetry/api`.
 * @param spans What `traceSessions()` has returned.
 * @param options How many links a span gets.
 * @returns The tracer.
 * @throws {TypeError | RangeError} If an argument or an option is invalid.
 *
 * @example
 * ```ts ignore
 * import { trace } from "@opentelemetry/api";
 * import { serve } from "@parley/tcp";
 * import { Hub } from "@parley/tcp/hub";
 * import { traceMessages, traceSessions } from "@parley/tcp/metrics";
 *
 * const tracer = trace.getTracer("chat");
 * const spans = traceSessions(tracer);
 * const hub = new Hub({ tracer: traceMessages(trace, spans) });
 * serve({ port: 1234, observer: spans }, async (session) => {
 *   hub.join("hall", session);
 *   for await (const line of session.lines()) {
 *     tracer.startActiveSpan("say", (span) => {
 *       hub.publish("hall", `${line}\n`);
 *       span.end();
 *     });
 *   }
 * });
 * ```
 */
export function traceMessages<Span extends SessionSpan>(
  trace: ActiveSpans,
  spans: Pick<SessionTracer<Span>, "spanOf">,
  options: TraceMessagesOptions = {},
): HubTracer {
  checkMethods("trace", trace, ["getActiveSpan"]);
  checkMethods("spans", spans, ["spanOf"]);
  checkOptions(options, TRACE_MESSAGES_OPTIONS);
  const maxLinks = checkInteger("maxLinks", options.maxLinks ?? 128, 1, 10_000);
  const linksOf = new WeakMap<Session, Links>();
  return {
    traceparent(): string | undefined {
      const span = trace.getActiveSpan();
      return span === undefined ? undefined : traceparentOf(span.spanContext());
    },
    onDelivery(session, group, traceparent): void {
      const span = spans.spanOf(session);
      if (span?.addLink === undefined) return;
      let links = linksOf.get(session);
      if (links === undefined) linksOf.set(session, links = { count: 0, last: "" });
      if (links.last === traceparent || links.count === maxLinks) return;
      links.count++;
      links.last = traceparent;
      const attributes = { "parley.hub.group": group };
      span.addLink({ context: contextOf(traceparent), attributes });
    },
  };
}

/** A context without identifiers is that of a span that is not recorded: `undefined`. */
function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string | undefined {
  if (/^0*$/.test(traceId) || /^0*$/.test(spanId)) return;
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, "0")}`;
}

function contextOf(traceparent: string): SpanContext {
  const [, traceId, spanId, flags] = traceparent.split("-") as [string, string, string, string];
  return { traceId, spanId, traceFlags: parseInt(flags, 16) };
}
