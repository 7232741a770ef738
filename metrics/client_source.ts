/** What reconnecting clients have done. */

import type { ReconnectObserver } from "../connect/reconnect_options.ts";
import {
  CertificateError,
  ConnectError,
  ConnectionRefusedError,
  ConnectTimeoutError,
  SessionEndedError,
  TlsHandshakeError,
  UnknownHostError,
  UnreachableError,
} from "../errors.ts";
import { addEnd, noEnds, noSessionDurations } from "../serve/stats.ts";
import type { Session } from "../session.ts";
import type { Take } from "./definitions.ts";
import { takeBytes, takeEach } from "./server_source.ts";

/** The kinds of errors of dials. The more special ones come first. */
const ERRORS = {
  CertificateError,
  TlsHandshakeError,
  ConnectTimeoutError,
  ConnectionRefusedError,
  UnknownHostError,
  UnreachableError,
  ConnectError,
  SessionEndedError,
};
/** OpenTelemetry's name for errors of any other kind. */
const OTHER = "_OTHER";

/** Counts what the clients of one name do. */
export class ClientSource {
  readonly #open: Set<Session> = new Set();
  readonly #ended = {
    ends: noEnds(),
    durations: noSessionDurations(),
    bytesRead: 0,
    bytesWritten: 0,
  };
  readonly #errors: Record<string, number> = Object.fromEntries(
    [...Object.keys(ERRORS), OTHER].map((name) => [name, 0]),
  );
  #dials = 0;
  #waits = 0;
  /** In milliseconds. */
  #waited = 0;

  readonly observer: Required<ReconnectObserver> = {
    onDial: (): void => {
      this.#dials++;
    },
    onDialError: (error, _attempt, retryIn): void => {
      this.#errors[kindOf(error)]!++;
      this.#wait(retryIn);
    },
    onSessionStart: (session): void => {
      this.#open.add(session);
    },
    onSessionEnd: (session, end, retryIn): void => {
      this.#open.delete(session);
      addEnd(this.#ended, session, end);
      this.#wait(retryIn);
    },
  };

  take(take: Take): void {
    let { bytesRead, bytesWritten } = this.#ended;
    for (const session of this.#open) {
      bytesRead += session.bytesRead;
      bytesWritten += session.bytesWritten;
    }
    take("parley.client.active_sessions", this.#open.size);
    take("parley.client.dials", this.#dials);
    takeEach("parley.client.dial.errors", "error.type", this.#errors, take);
    take("parley.client.waits", this.#waits);
    take("parley.client.wait.time", this.#waited / 1000);
    takeEach(
      "parley.client.ended_sessions",
      "parley.session.end_reason",
      this.#ended.ends,
      take,
    );
    take("parley.client.session.duration", structuredClone(this.#ended.durations));
    takeBytes("parley.client.network.io", { bytesRead, bytesWritten }, take);
  }

  #wait(retryIn: number): void {
    if (retryIn === Infinity) return;
    this.#waits++;
    this.#waited += retryIn;
  }
}

function kindOf(error: unknown): string {
  return Object.entries(ERRORS).find(([, kind]) => error instanceof kind)?.[0] ?? OTHER;
}
