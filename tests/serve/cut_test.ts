// A reply that is cut off must not look like one that is complete.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SessionEndedError } from "../../errors.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryListener } from "../../transport/mod.ts";
import { bounded, readAll } from "../_serving.ts";
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

/** Runs a server in memory or under TLS, and what a client makes of its end. */
async function play(
  transport: "memory" | "TLS",
  { options, handler, input, then }: Ending,
  check: (client: Session) => Promise<void>,
): Promise<void> {
  const onError = (): void => {};
  const listener = memoryListener();
  const tls = transport === "TLS" ? serveTls({ ...options, onError }, handler) : undefined;
  const server = tls?.server ?? serve({ ...options, listener, onError }, handler);
  const client = tls === undefined ? new Session(listener.connect()) : await tls.dial();
  try {
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

for (const transport of ["memory", "TLS"] as const) {
  const how = transport === "TLS" ? overTls : bounded;
  for (const ending of CUTS) {
    Deno.test(
      `serve() lets the peer of a session see it cut when ${ending.name} (${transport})`,
      how,
      () =>
        play(transport, ending, async (client) => {
          const error = await assertRejects(() => readAll(client), SessionEndedError);
          const { ConnectionReset, UnexpectedEof } = Deno.errors;
          const { cause } = error;
          assert(
            cause instanceof ConnectionReset ||
              (transport === "TLS" && cause instanceof UnexpectedEof),
            `${error}`,
          );
        }),
    );
  }
  for (const ending of ENDS) {
    Deno.test(
      `serve() lets the peer of a session see its end when ${ending.name} (${transport})`,
      how,
      () =>
        play(transport, ending, async (client) => {
          assertEquals(await readAll(client), "");
        }),
    );
  }
}

Deno.test(
  "serve() lets the peer of an idle session see an end, as there is nothing to be cut",
  bounded,
  () =>
    play("memory", {
      name: "it is idle",
      options: { idleTimeout: 40 },
      handler: async (session) => {
        await half(session);
        await session.readLine();
      },
    }, async (client) => {
      assertEquals(await readAll(client), "");
    }),
);
