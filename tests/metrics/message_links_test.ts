import { assertEquals, assertThrows } from "@std/assert";
import { type Span, trace } from "@opentelemetry/api";
import { type ActiveSpans, type SessionSpan, traceMessages } from "../../metrics/mod.ts";
import type { Session } from "../../session.ts";

const permissions = "none";
// The compiler checks that the real API has these shapes.
const _trace: ActiveSpans = trace;
const _span = (span: Span): SessionSpan => span;

function traceparentOf(n: number): string {
  return `00-${"a".repeat(32)}-${n.toString(16).padStart(16, "0")}-01`;
}

/** A session with a span, and the links of the span. */
function linked(hasLinks = true): { session: Session; spans: never; links: unknown[] } {
  const session = {} as Session;
  const links: unknown[] = [];
  const span = hasLinks ? { addLink: (link: unknown) => links.push(link) } : {};
  const spanOf = (one: Session) => one === session ? span : undefined;
  return { session, spans: { spanOf } as never, links };
}

Deno.test("traceMessages() bounds the links of each session", { permissions }, () => {
  for (const [options, most] of [[{}, 128], [{ maxLinks: 3 }, 3]] as const) {
    const { session, spans, links } = linked();
    const tracer = traceMessages(trace, spans, options);
    for (let n = 1; n <= 1000; n++) tracer.onDelivery(session, "hall", traceparentOf(n));
    assertEquals(links.length, most);
  }
});

Deno.test("traceMessages() makes one link for messages in a row from the same span", {
  permissions,
}, () => {
  const { session, spans, links } = linked();
  const tracer = traceMessages(trace, spans);
  for (const n of [1, 1, 2, 2, 1]) tracer.onDelivery(session, "hall", traceparentOf(n));
  const link = (n: number) => ({
    context: {
      traceId: "a".repeat(32),
      spanId: n.toString(16).padStart(16, "0"),
      traceFlags: 1,
    },
    attributes: { "parley.hub.group": "hall" },
  });
  assertEquals(links, [link(1), link(2), link(1)]);
});

Deno.test("traceMessages() adds nothing without a span, or to one that takes no links", {
  permissions,
}, () => {
  const { session, spans } = linked(false);
  const other = {} as Session;
  const tracer = traceMessages(trace, spans);
  for (const one of [session, other]) tracer.onDelivery(one, "hall", traceparentOf(1));
});

Deno.test("traceMessages() takes the context of the active span, if it has one", {
  permissions,
}, () => {
  const { spans } = linked();
  const of = (...found: unknown[]) =>
    traceMessages({
      getActiveSpan: () =>
        found.length === 0 ? undefined : { spanContext: () => found[0] as never },
    }, spans).traceparent("hall");
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const spanId = "b7ad6b7169203331";
  assertEquals(of({ traceId, spanId, traceFlags: 1 }), `00-${traceId}-${spanId}-01`);
  assertEquals(of({ traceId, spanId, traceFlags: 0x1ff }), `00-${traceId}-${spanId}-ff`);
  assertEquals(of(), undefined);
  const none = { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };
  assertEquals(of(none), undefined); // of a span that is not recorded
  assertEquals(traceMessages(trace, spans).traceparent("hall"), undefined);
});

Deno.test("traceMessages() refuses wrong arguments", { permissions }, () => {
  const { spans } = linked();
  assertThrows(() => traceMessages({} as never, spans), TypeError, "getActiveSpan of trace");
  assertThrows(() => traceMessages(trace, {} as never), TypeError, "spanOf of spans");
  const wrong = { maxLinks: 0 };
  assertThrows(() => traceMessages(trace, spans, wrong), RangeError, "maxLinks must be");
});
