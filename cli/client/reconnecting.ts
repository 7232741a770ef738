import {
  CertificateError,
  type ConnectOptions,
  describeEnd,
  type EndReason,
  formatAddress,
  reconnect,
  type ReconnectingClient,
  systemErrors,
} from "../../mod.ts";
import { describe, dialProblem } from "./dial.ts";
import type { Plan } from "./options.ts";
import { ProgramError } from "../program.ts";
import { say } from "../standard_error.ts";

/** Makes a client that reconnects until `isDone`, and reports on standard error what it loses and regains. */
export function reconnecting(
  options: ConnectOptions,
  plan: Plan,
  isDone: () => boolean = () => false,
): ReconnectingClient {
  const { verbose } = plan;
  let start = 0;
  let isDown = false;
  return reconnect({
    ...options,
    shouldRetry: (error) => !isDone() && isWorthRetrying(error),
    observer: {
      onDial(address, attempt): void {
        start = performance.now();
        if (verbose) say(`dialling ${address}, attempt ${attempt}`);
      },
      onDialError(error, _attempt, retryIn): void {
        if (retryIn === Infinity || !verbose && isDown) return;
        isDown = true;
        say(`${dialProblem(error)}: trying again`);
      },
      onSessionStart(session): void {
        plan.onSession?.(session);
        if (verbose) describe(session, performance.now() - start);
        else if (isDown) say(`connected to ${formatAddress(session.remoteAddr)}`);
        isDown = false;
      },
      onSessionEnd(session, { reason, cause }, retryIn): void {
        if (retryIn === Infinity) return;
        isDown = true;
        say(`lost ${formatAddress(session.remoteAddr)}: ${whyOf(reason, cause)}: trying again`);
      },
    },
  });
}

function whyOf(reason: EndReason, cause: unknown): string {
  if (cause instanceof ProgramError) return cause.message;
  return reason === "peer" && cause === undefined
    ? "closed by the peer"
    : describeEnd(reason, cause);
}

/** Another attempt is useless if an option is wrong, or a permission or a certificate is missing. */
function isWorthRetrying(error: unknown): boolean {
  const hopeless = [TypeError, RangeError, systemErrors.NotCapable, CertificateError];
  return !hopeless.some((kind) => error instanceof kind);
}
