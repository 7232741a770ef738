/** The metrics, with names and units after OpenTelemetry's conventions. */

import type { MetricAttributes, MetricDefinition, MetricPoint } from "../workers/metrics.ts";

/** The kind, the unit and the description of each metric. */
const METRICS = {
  // The metrics of a server, which have its name and address as labels.
  "parley.server.state": [
    "updowncounter",
    "{server}",
    "Whether the server is in this state, 1 or 0",
  ],
  "parley.active_sessions": ["updowncounter", "{session}", "Sessions that are open"],
  "parley.started_sessions": ["counter", "{session}", "Connections that became sessions"],
  "parley.ended_sessions": ["counter", "{session}", "Sessions that have ended, by reason"],
  "parley.session.duration": ["histogram", "s", "How long the sessions lasted that have ended"],
  "parley.rejected_connections": [
    "counter",
    "{connection}",
    "Connections that were closed before they became sessions, by reason",
  ],
  "parley.tls_handshake.duration": ["histogram", "s", "How long successful TLS handshakes took"],
  "parley.tls_handshake.errors": [
    "counter",
    "{error}",
    "TLS handshakes that have failed, by reason",
  ],
  "parley.accept.errors": ["counter", "{error}", "Times that accepting failed"],
  "parley.handler.errors": ["counter", "{error}", "Errors that handlers threw"],
  "parley.network.io": ["counter", "By", "Bytes that sessions received and transmitted"],
  "parley.unread_input": [
    "updowncounter",
    "By",
    "Input of the open sessions that was not read yet",
  ],
  "parley.unsent_output": [
    "updowncounter",
    "By",
    "Output of the open sessions that is not written",
  ],
  "parley.blocked_sessions": [
    "updowncounter",
    "{session}",
    "Open sessions whose peer has not taken all that is being written",
  ],
  "parley.rate.waits": [
    "counter",
    "{wait}",
    "Times that something had to wait for a rate, by rate",
  ],
  "parley.memory.held": [
    "updowncounter",
    "By",
    "Memory that the buffers of sessions and TLS take, which maxBufferMemory limits",
  ],
  "parley.memory.pressure": [
    "updowncounter",
    "{server}",
    "Whether the server takes this step because memory is short, 1 or 0",
  ],
  "parley.memory.paused_sessions": [
    "updowncounter",
    "{session}",
    "Sessions that are not read because memory is short",
  ],
  "parley.memory.ended_sessions": [
    "counter",
    "{session}",
    "Sessions that were ended because memory was short",
  ],
  // The metrics of a server with workers.
  "parley.workers": ["updowncounter", "{worker}", "Workers, by state"],
  "parley.worker.active_sessions": [
    "updowncounter",
    "{session}",
    "Sessions that a worker has open",
  ],
  "parley.worker.heap": ["updowncounter", "By", "Memory that the objects of a worker take"],
  "parley.worker.event_loop.lateness": [
    "histogram",
    "s",
    "How late the event loop of a worker was, ten times a second",
  ],
  "parley.worker.deaths": ["counter", "{death}", "Times that a worker has died"],
  // The metrics of a datagram server, which also has those of a server's state, bytes and errors of handlers.
  "parley.datagram.received": ["counter", "{datagram}", "Datagrams that came"],
  "parley.datagram.sent": ["counter", "{datagram}", "Datagrams that were sent"],
  "parley.datagram.dropped": ["counter", "{datagram}", "Datagrams that were dropped, by reason"],
  "parley.datagram.errors": ["counter", "{error}", "Times that sending or receiving failed"],
  "parley.datagram.active_handlers": ["updowncounter", "{handler}", "Handlers that run"],
  "parley.datagram.queued": ["updowncounter", "{datagram}", "Datagrams that wait for a handler"],
  "parley.datagram.queue.memory": ["updowncounter", "By", "Memory of datagrams that wait"],
  "parley.datagram.proven_senders": [
    "updowncounter",
    "{sender}",
    "Senders whose address is known not to be forged",
  ],
  // The metrics of reconnecting clients, which have a name as a label.
  "parley.client.active_sessions": [
    "updowncounter",
    "{session}",
    "Sessions of clients that are open",
  ],
  "parley.client.dials": ["counter", "{dial}", "Dials that clients have begun"],
  "parley.client.dial.errors": [
    "counter",
    "{error}",
    "Dials that have failed, by the kind of error",
  ],
  "parley.client.waits": [
    "counter",
    "{wait}",
    "Times that clients had to wait before the next dial",
  ],
  "parley.client.wait.time": ["counter", "s", "How long these waits were in all"],
  "parley.client.ended_sessions": ["counter", "{session}", "Sessions that have ended, by reason"],
  "parley.client.session.duration": [
    "histogram",
    "s",
    "How long the sessions lasted that have ended",
  ],
  "parley.client.network.io": ["counter", "By", "Bytes that sessions received and transmitted"],
  // The metrics of hubs, which have a name as a label.
  "parley.hub.groups": ["updowncounter", "{group}", "Groups that have members"],
  "parley.hub.sessions": ["updowncounter", "{session}", "Sessions that are in a group"],
  "parley.hub.memberships": ["updowncounter", "{membership}", "Groups that all sessions are in"],
  "parley.hub.published_messages": ["counter", "{message}", "Messages that were published here"],
  "parley.hub.received_messages": [
    "counter",
    "{message}",
    "Messages of other processes that have arrived",
  ],
  "parley.hub.delivered_messages": [
    "counter",
    "{message}",
    "Messages for sessions, all sessions counted, with those that were dropped or replaced",
  ],
  "parley.hub.dropped_messages": [
    "counter",
    "{message}",
    "Messages for slow sessions that were dropped",
  ],
  "parley.hub.replaced_messages": [
    "counter",
    "{message}",
    "Messages for slow sessions that a later one has replaced",
  ],
  "parley.hub.lost_messages": [
    "counter",
    "{message}",
    "Messages of other processes that did not arrive",
  ],
  "parley.hub.ignored_messages": [
    "counter",
    "{message}",
    "Messages of other processes that arrived twice or too late",
  ],
  "parley.hub.unpublished_messages": [
    "counter",
    "{message}",
    "Messages that the bus could not take",
  ],
  "parley.hub.backlog": ["updowncounter", "By", "Size of the messages that wait for the bus"],
  "parley.hub.disconnected": [
    "updowncounter",
    "{hub}",
    "Whether the bus takes no messages, 1 or 0; of workers, how many of them",
  ],
  "parley.hub.errors": ["counter", "{error}", "Times that something went wrong"],
  // The metrics of pools of sessions, which have a name as a label.
  "parley.pool.sessions": ["updowncounter", "{session}", "Sessions of a pool, by state"],
  "parley.pool.waiting_callers": ["updowncounter", "{caller}", "Callers that wait for a session"],
  "parley.pool.leases": ["counter", "{lease}", "Times that a session was handed out"],
  "parley.pool.wait.duration": [
    "histogram",
    "s",
    "How long callers waited, with a session in the end or without",
  ],
  "parley.pool.refused_callers": [
    "counter",
    "{caller}",
    "Callers that got no session, by the limit",
  ],
  "parley.pool.dials": ["counter", "{dial}", "Dials that pools have begun"],
  "parley.pool.dial.errors": ["counter", "{error}", "Dials that have failed, or their set-up"],
  // The metrics of captures, which have a name as a label.
  "parley.capture.sessions": ["counter", "{session}", "Sessions that were captured"],
  "parley.capture.packets": ["counter", "{packet}", "Packets that were captured"],
  "parley.capture.dropped_packets": [
    "counter",
    "{packet}",
    "Packets that were dropped because the file was not written in time",
  ],
  "parley.capture.written": ["counter", "By", "Bytes that were written into files"],
  "parley.capture.files": ["counter", "{file}", "Files that were begun"],
  // The metrics of the process.
  "parley.event_loop.lateness": [
    "histogram",
    "s",
    "How late the event loop of the main thread was, ten times a second",
  ],
  "process.memory.usage": ["updowncounter", "By", "Memory that the process has in use (RSS)"],
  "process.cpu.time": ["counter", "s", "CPU time of the process, by mode"],
  "process.uptime": ["updowncounter", "s", "How long the process has run"],
} as const;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

/** Takes a value. */
export type Take = (name: MetricName, value: MetricPoint["value"], more?: MetricAttributes) => void;

/** The names of all metrics. */
export const METRIC_NAMES: readonly MetricName[] = Object.keys(METRICS) as MetricName[];

/** Returns the definition of a metric. */
export function definitionOf(name: MetricName): MetricDefinition {
  const [kind, unit, description] = METRICS[name];
  return { kind, unit, description };
}
