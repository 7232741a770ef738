/** The connection of the examples that take the URL of a NATS server. */

import type { NatsConnection, NatsHistoryOptions } from "@parley/tcp/hub";

/** Imported by computed names, so that nobody else fetches them. */
const CLIENT = "npm:@nats-io/transport-node@^3.4.0";
const JETSTREAM = "npm:@nats-io/jetstream@^3.4.0";

/** Connects to a NATS server, and again whenever the connection is lost. */
export async function connectToNats(
  servers: string,
): Promise<NatsConnection & { close(): Promise<void> }> {
  const { connect } = await import(CLIENT);
  return await connect({ servers, maxReconnectAttempts: -1, noEcho: true });
}

/** A history in JetStream, which the server must have (`nats-server -js`). */
export async function openHistory(connection: NatsConnection): Promise<NatsHistoryOptions> {
  const { jetstreamManager } = await import(JETSTREAM);
  return { jetstream: await jetstreamManager(connection) };
}
