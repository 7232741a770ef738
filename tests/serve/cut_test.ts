// A reply that is cut off must not look like one that is complete.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { SessionEndedError } from "../../errors.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryListener } from "../../transport/mod.ts";
import { bounded, overNet, portOf, readAll } from "../_serving.ts";
import { overTls, serveTls } from "../_tls_serving.ts";

const never = new Promise<never>(() => {});

async function half(session: Session): Promise<void> {
  await session.send("half a reply");
  await session.flush();
}

interface Ending {
  name: string;
  options?: ServeOptions;
  handler: Handler;
  /** What the client sends when it has heard half. */
  input?: string;
  /** What is done once the client has heard half. */
  then?(server: Server): unknown;
}

const CUTS: Ending[] = [
  {
    name: "its handler throws",
    handler: async (session) => {
      await session.send("half a reply");
      throw new Error("out of luck");
    },
  },
  {
    name: "its handler throws with input unread",
    handler: async (session) => {
      await half(session);
      await session.readExactly(1);
      throw new Error("out of luck");
    },
    input: "more than is read",
  },
  {
    name: "it aborts",
    handler: async (session) => {
      await half(session);
      session.abort();
    },
  },
  {
    name: "its output is over maxBufferedOutput",
    options: { maxBufferedOutput: 65_536 },
    handler: async (session) => {
      await half(session);
      for (let i = 0; i < 2; i++) session.send(new Uint8Array(10_000_000)); // one may be as large
    },
  },
  {
    name: "it lasts too long",
    options: { maxLifetime: 40 },
    handler: async (session) => {
      await half(session);
      await never;
    },
  },
  {
    name: "the server aborts",
    handler: async (session) => {
      await half(session);
      await never;
    },
    then: (server) => server.abort(),
  },
  {
    name: "it does not end within shutdownTimeout",
    options: { shutdownTimeout: 20 },
    handler: async (session) => {
      await half(session);
      await never;
    },
    then: (server) => server.shutdown(),
  },
];

const ENDS: Ending[] = [
  { name: "its handler returns", handler: half },
  {
    name: "its handler throws after closeWrite()",
    handler: async (session) => {
      await half(session);
      await session.closeWrite();
      throw new Error("out of luck");
    },
  },
  {
    name: "its line is too long",
    handler: async (session) => {
      await half(session);
      await session.readLine({ maxLength: 2 });
    },
    input: "too long",
  },
];

interface Running {
  server: Server;
  dial(): Promise<Session>;
}

interface Transport {
  how: { timeout: number; ignore?: boolean };
  start(options: ServeOptions, handler: Handler): Running;
}

const TRANSPORTS: Record<string, Transport> = {
  memory: {
    how: bounded,
    start(options, handler): Running {
      const listener = memoryListener();
      const server = serve({ ...options, listener }, handler);
      return { server, dial: () => Promise.resolve(new Session(listener.connect())) };
    },
  },
  "node TCP": {
    how: overNet,
    start(options, handler): Running {
      const server = serve({ ...options, port: 0, transport: "node" }, handler);
      return { server, dial: async () => await connect({ port: portOf(server) }) };
    },
  },
  TLS: { how: overTls, start: (options, handler) => serveTls(options, handler) },
  "TLS over node TCP": {
    how: overTls,
    start: (options, handler) => serveTls({ ...options, transport: "node" }, handler),
  },
};

/** Runs a server, and what a client makes of its end. */
async function play(
  { start }: Transport,
  { options, handler, input, then }: Ending,
  check: (client: Session) => Promise<void>,
): Promise<void> {
  const { server, dial } = start({ ...options, onError: () => {} }, async (session) => {
    await session.readLine(); // a dial would fail that sees a reset already
    await handler(session);
  });
  const client = await dial();
  try {
    await client.send("hello\n");
    const heard = await client.readExactly("half a reply".length);
    assertEquals(new TextDecoder().decode(heard), "half a reply");
    if (input !== undefined) client.send(input);
    then?.(server);
    await check(client);
  } finally {
    client.abort();
    server.abort();
    await Promise.all([client.closed, server.finished]);
  }
}

async function seeCut(client: Session): Promise<void> {
  const error = await assertRejects(() => readAll(client), SessionEndedError);
  const { ConnectionReset, UnexpectedEof } = Deno.errors;
  const isCut = error.cause instanceof ConnectionReset ||
    (client.tls !== undefined && error.cause instanceof UnexpectedEof);
  assert(isCut, `${error}`);
}

async function seeEnd(client: Session): Promise<void> {
  assertEquals(await readAll(client), "");
}

const IDLE: Ending = {
  name: "it is idle",
  options: { idleTimeout: 40 },
  handler: async (session) => {
    await half(session);
    await session.readLine();
  },
};

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  const isTls = name.startsWith("TLS"); // where there is no other word for the end of a silence
  for (const ending of isTls ? [...CUTS, IDLE] : CUTS) {
    Deno.test(
      `serve() lets the peer of a session see it cut when ${ending.name} (${name})`,
      transport.how,
      () => play(transport, ending, seeCut),
    );
  }
  for (const ending of isTls ? ENDS : [...ENDS, IDLE]) {
    Deno.test(
      `serve() lets the peer of a session see its end when ${ending.name} (${name})`,
      transport.how,
      () => play(transport, ending, seeEnd),
    );
  }
}
