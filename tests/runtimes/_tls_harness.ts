// TLS for the scenarios.

import { type Handler, type Refusal, Session } from "@parley/tcp";
import type { TlsClientOptions, TlsServerOptions, TlsVersion } from "@parley/tcp";
import { type Connection, memoryListener } from "@parley/tcp/transport";
import { answer, type Pem, type Pems, readPems, withServer } from "./_harness.ts";

export const VERSIONS: readonly TlsVersion[] = ["TLSv1.2", "TLSv1.3"];
export const pems: Pems = readPems();
export const ca: string = pems.ca;
export const own: Pem = pems.server;
export const trusting: TlsClientOptions = { ca, serverName: "localhost" };

/** A connection that can change the bytes in either direction. */
function changed(
  under: Connection,
  change: (bytes: Uint8Array) => void,
  changeOutput: (bytes: Uint8Array) => void,
): Connection {
  return {
    remoteAddr: under.remoteAddr,
    localAddr: under.localAddr,
    async read(buffer): Promise<number | null> {
      const count = await under.read(buffer);
      if (count !== null) change(buffer.subarray(0, count));
      return count;
    },
    write(data): Promise<number> {
      const bytes = data.slice();
      changeOutput(bytes);
      return under.write(bytes);
    },
    closeWrite: () => under.closeWrite(),
    close: () => under.close(),
  };
}

/** A scenario of TLS in memory. */
export interface InMemory {
  tls?: TlsServerOptions;
  client?: TlsClientOptions;
  handler?: Handler;
  /** Changes the bytes from the server. */
  change?(bytes: Uint8Array): void;
  /** Changes the bytes to the server. */
  changeOutput?(bytes: Uint8Array): void;
  onRefusal?(refusal: Refusal): void;
}

/** Serves TLS in memory, and runs a function with a session over it. */
export async function inMemory(
  {
    tls = own,
    client = trusting,
    handler = answer,
    change = () => {},
    changeOutput = () => {},
    onRefusal,
  }: InMemory,
  run: (session: Session, raw: Connection) => Promise<unknown>,
): Promise<void> {
  const listener = memoryListener();
  const observer = onRefusal === undefined ? {} : { onRefusal };
  await withServer({ listener, tls, observer }, handler, async () => {
    const raw = changed(await listener.connect(), change, changeOutput);
    const session = new Session(raw);
    try {
      await session.upgradeTls(client);
      await run(session, raw);
    } finally {
      session.abort();
    }
  });
}
