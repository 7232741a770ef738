/** The bus of `--nats`. */

import { type Bus, natsBus, type NatsConnection } from "../../hub/mod.ts";
import { ProgramError } from "../program.ts";
import { isDeno } from "../standard_streams.ts";

const CLIENT = "@nats-io/transport-node";
const VERSION = "^3.4.0";
/** How long a server may take to answer, in milliseconds. */
const TIMEOUT = 5000;

/** The part of the client that is used. */
interface NatsClient {
  connect(options: {
    servers: string;
    maxReconnectAttempts: number;
    noEcho: boolean;
    timeout: number;
  }): Promise<NatsConnection>;
}

/** Connects to the server at a URL. The client is loaded only here, since the package depends on nothing. */
export async function openNats(url: string): Promise<Bus> {
  const { connect } = await loadClient();
  try {
    return natsBus(
      await connect({ servers: url, maxReconnectAttempts: -1, noEcho: true, timeout: TIMEOUT }),
    );
  } catch (error) {
    throw new ProgramError(`cannot connect to --nats ${url}: ${(error as Error).message}`);
  }
}

async function loadClient(): Promise<NatsClient> {
  const specifier = isDeno ? `npm:${CLIENT}@${VERSION}` : CLIENT;
  try {
    return await import(specifier);
  } catch (error) {
    throw new ProgramError(
      `--nats needs ${specifier}, which cannot be loaded: ${(error as Error).message}`,
    );
  }
}
