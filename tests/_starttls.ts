// A service whose sessions begin TLS when the client sends STARTTLS, over TCP and in memory.

import type { Refusal } from "../serve/observer.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../serve/serve.ts";
import {
  Session,
  type SessionEnd,
  type SessionOptions,
  type UpgradeTlsOptions,
} from "../session.ts";
import { type Connection, memoryListener } from "../transport/mod.ts";
import { dialPlain } from "./_dialing.ts";
import { bounded, portOf, until } from "./_serving.ts";
import { ca, localhost, overTls } from "./_tls_serving.ts";

/** Answers each line with how it came, until STARTTLS begins TLS. */
export async function mail(session: Session): Promise<void> {
  await session.send("220 mail.test\r\n");
  for await (const line of session.lines()) {
    if (line === "STARTTLS") {
      await session.send("220 go ahead\r\n");
      await session.upgradeTls();
    } else await session.send(`${session.tls?.protocol ?? "plain"} ${line}\r\n`);
  }
}

/** The service, with what it has observed. */
export interface Mail extends AsyncDisposable {
  server: Server;
  /** Sessions that have ended. */
  ends: SessionEnd[];
  /** Errors that handlers threw. */
  errors: unknown[];
  refusals: Refusal[];
  /** The raw connection of a client. */
  raw(): Promise<Connection>;
  /** A client that has read the greeting. */
  dial(options?: SessionOptions): Promise<Session>;
  /** Waits until a session has ended, and returns how. */
  end(): Promise<SessionEnd>;
}

/** What a client does. */
export const trusting: UpgradeTlsOptions = { ca, serverName: "localhost" };

/** Registers a test over TCP and over memory. */
export function testMail(
  name: string,
  run: (start: (options?: ServeOptions, handler?: Handler) => Mail) => Promise<void>,
): void {
  for (const transport of ["TCP", "memory"] as const) {
    Deno.test(
      `${name} (${transport})`,
      transport === "TCP" ? overTls : { ...bounded, ignore: overTls.ignore },
      () => run((options, handler) => start(transport, options, handler)),
    );
  }
}

function start(
  transport: "TCP" | "memory",
  options: ServeOptions = {},
  handler: Handler = mail,
): Mail {
  const ends: SessionEnd[] = [];
  const errors: unknown[] = [];
  const refusals: Refusal[] = [];
  const listener = memoryListener();
  const server = serve({
    ...(transport === "TCP" ? { port: 0 } : { listener }),
    tls: { ...localhost, mode: "starttls" },
    observer: {
      onSessionEnd: (_, end) => void ends.push(end),
      onHandlerError: (error) => void errors.push(error),
      onRefusal: (refusal) => void refusals.push(refusal),
    },
    ...options,
  }, handler);
  const raw = (): Promise<Connection> =>
    transport === "TCP" ? dialPlain(portOf(server)) : Promise.resolve(listener.connect());
  return {
    server,
    ends,
    errors,
    refusals,
    raw,
    dial: async (options) => {
      const client = new Session(await raw(), options);
      await client.readLine();
      return client;
    },
    end: async () => {
      await until(() => ends.length > 0);
      return ends[0]!;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
