/** The connection of the examples that take the URL of a NATS server. */

import type { NatsConnection } from "@parley/tcp/hub";

/** Imported by a computed name, so that nobody else fetches it. */
const CLIENT = "npm:@nats-io/transport-node@^3.4.0";

/** Connects to a NATS server, and again whenever the connection is lost. */
export async function connectToNats(
  servers: string,
): Promise<NatsConnection & { close(): Promise<void> }> {
  const { connect } = await import(CLIENT);
  return await connect({ servers, maxReconnectAttempts: -1, noEcho: true });
}
