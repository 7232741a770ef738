/** The figures of a server. */

import { addDuration, type Durations, noDurations } from "../_internal/durations.ts";
import { PeerLeft } from "../_internal/peer_left.ts";
import { type EndReason, type SessionEnd, type TlsFailure, TlsHandshakeError } from "../errors.ts";
import type { Lifecycle } from "../session/lifecycle.ts";
import type { Connection } from "../transport/connection.ts";
import { noRefusals } from "./admission.ts";
import type { ServerStats } from "./options.ts";

/** The longest duration of each range, in milliseconds. OpenTelemetry advises such ranges for Kestrel's durations. */
const SESSIONS = [
  ...[10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000],
  ...[1_800_000, 3_600_000, 21_600_000, 86_400_000, Infinity], // sessions last longer than its connections
];
const HANDSHAKES = [
  ...[5, 10, 25, 50, 75, 100, 250, 500, 750],
  ...[1_000, 2_500, 5_000, 7_500, 10_000, Infinity],
];

/** Returns the figures of a server that has just begun. */
export function noStats(): ServerStats {
  return {
    active: 0,
    accepted: 0,
    refused: 0,
    refusals: noRefusals(),
    ends: noEnds(),
    durations: noDurations(SESSIONS),
    handshakes: noDurations(HANDSHAKES),
    handshakeFailures: noHandshakeFailures(),
    acceptErrors: 0,
    handlerErrors: 0,
    bytesRead: 0,
    bytesWritten: 0,
    unread: 0,
    unsent: 0,
    blocked: 0,
    waits: { sessions: 0, reads: 0, writes: 0 },
    memory: { held: 0, pressure: "none", paused: 0, ended: 0 },
  };
}

/** Returns no durations of sessions. */
export function noSessionDurations(): Durations {
  return noDurations(SESSIONS);
}

/** Counts how long a session lasted, in milliseconds. */
export function addSessionDuration(durations: Durations, duration: number): void {
  addDuration(durations, SESSIONS, duration);
}

/** Counts the end of a session. */
export function addEnd(
  stats: Pick<ServerStats, "ends" | "durations" | "bytesRead" | "bytesWritten">,
  session: { readonly bytesRead: number; readonly bytesWritten: number },
  { reason, duration }: SessionEnd,
): void {
  stats.ends[reason]++;
  addSessionDuration(stats.durations, duration);
  stats.bytesRead += session.bytesRead;
  stats.bytesWritten += session.bytesWritten;
}

/** Adds what the open sessions contribute. */
export function addLives(stats: ServerStats, lives: Iterable<Lifecycle>): void {
  for (const { reader, output } of lives) {
    stats.active++;
    stats.bytesRead += reader.bytesRead;
    stats.bytesWritten += output.bytesWritten;
    stats.unread += reader.input.unread;
    stats.unsent += output.buffered;
    if (output.writing) stats.blocked++;
  }
}

/** Counts the outcome of a TLS handshake. A connection without TLS, or whose peer sends nothing, has none. */
export async function countHandshake(
  stats: Pick<ServerStats, "handshakes" | "handshakeFailures">,
  handshake: Promise<Connection>,
): Promise<Connection> {
  const began = performance.now();
  try {
    const connection = await handshake;
    if (connection.tls !== undefined) {
      addDuration(stats.handshakes, HANDSHAKES, performance.now() - began);
    }
    return connection;
  } catch (error) {
    const isFailure = error instanceof TlsHandshakeError && !(error.cause instanceof PeerLeft);
    if (isFailure) stats.handshakeFailures[error.code]++;
    throw error;
  }
}

/** Counts of ends, all 0. */
export function noEnds(): Record<EndReason, number> {
  return {
    peer: 0,
    local: 0,
    idle: 0,
    "read-idle": 0,
    "heartbeat-missed": 0,
    "write-stalled": 0,
    "frame-stalled": 0,
    lifetime: 0,
    limit: 0,
    drain: 0,
    handover: 0,
    error: 0,
  };
}

function noHandshakeFailures(): Record<TlsFailure, number> {
  return {
    timeout: 0,
    closed: 0,
    "not-tls": 0,
    version: 0,
    alpn: 0,
    "server-name": 0,
    certificate: 0,
    alert: 0,
    protocol: 0,
  };
}
