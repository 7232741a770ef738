import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { jsonLines } from "../../codecs/json_lines.ts";
import { connect } from "../../connect/connect.ts";
import {
  ConnectionRefusedError,
  type EndReason,
  type SessionEnd,
  SessionEndedError,
} from "../../errors.ts";
import { type Handler, serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { type Connection, memoryListener } from "../../transport/mod.ts";
import {
  ask,
  bounded,
  countedSignal,
  echo,
  overNet,
  portOf,
  readAll,
  settle,
  until,
} from "../_serving.ts";

const utf8 = new TextEncoder();

/** A server, one client's end of a connection to it, and what the handler of the session at the other end throws. */
interface Pair {
  server: Server;
  client: Connection;
  session: Session;
  /** How the handler ended: with `undefined`, unless it threw. */
  handled: Promise<unknown>;
  told: unknown[];
}

async function pair(handler: Handler): Promise<Pair> {
  const listener = memoryListener();
  const told: unknown[] = [];
  const begun = Promise.withResolvers<Session>();
  const handled = Promise.withResolvers<unknown>();
  const server = serve({ listener, onError: (error) => void told.push(error) }, async (session) => {
    begun.resolve(session);
    try {
      await handler(session);
      handled.resolve(undefined);
    } catch (error) {
      handled.resolve(error);
      throw error;
    }
  });
  const client = listener.connect();
  return { server, client, session: await begun.promise, handled: handled.promise, told };
}

/** Waits until the server has read so many bytes. */
async function arrived(session: Session, bytes: number): Promise<void> {
  await until(() => session.bytesRead === bytes);
  await settle();
}

/** A server with a goodbye, the client's end of a connection to it, and the reasons that the goodbye was called with. */
async function departing(
  options: ServeOptions,
  handler: Handler,
): Promise<{ server: Server; peer: Session; session: Session; reasons: EndReason[] }> {
  const listener = memoryListener();
  const reasons: EndReason[] = [];
  const begun = Promise.withResolvers<Session>();
  const goodbye = (reason: EndReason) => {
    reasons.push(reason);
    return "421 shutting down\n";
  };
  const server = serve({ listener, goodbye, ...options }, (session) => {
    begun.resolve(session);
    return handler(session);
  });
  const peer = new Session(listener.connect());
  return { server, peer, session: await begun.promise, reasons };
}

Deno.test(
  "Server.shutdown() says goodbye where a loop ends between messages",
  bounded,
  async () => {
    const { server, peer, session, reasons } = await departing({}, async (session) => {
      for await (const line of session.lines()) await session.send(`${line}!\n`);
    });
    assertEquals(await ask(peer, "rose"), "rose!");
    await settle();
    const finished = server.shutdown();
    assertEquals(await readAll(peer), "421 shutting down\n");
    await peer.close();
    await finished;
    assertEquals([(await session.closed).reason, reasons], ["drain", ["drain"]]);
  },
);

Deno.test("Server.shutdown() sends goodbye after the output of the handler", bounded, async () => {
  const { server, peer, reasons } = await departing({}, async (session) => {
    try {
      for await (const _ of session);
    } finally {
      await session.send("one thing more\n");
    }
  });
  await settle();
  const finished = server.shutdown();
  assertEquals(await readAll(peer), "one thing more\n421 shutting down\n");
  await peer.close();
  await finished;
  assertEquals(reasons, ["drain"]);
});

Deno.test(
  "Server.shutdown() says goodbye at shutdownTimeout to whoever is left",
  bounded,
  async () => {
    const forever = Promise.withResolvers<void>();
    const options = { shutdownTimeout: 30, closeTimeout: 60_000 };
    const { server, peer, session, reasons } = await departing(options, () => forever.promise);
    const finished = server.shutdown();
    assertEquals(await readAll(peer), "421 shutting down\n");
    await peer.close();
    await finished;
    assertEquals([(await session.closed).reason, reasons], ["drain", ["drain"]]);
    forever.resolve();
  },
);

Deno.test(
  "Server.shutdown() waits no longer for a goodbye than closeTimeout",
  bounded,
  async () => {
    const forever = Promise.withResolvers<void>();
    const options = { shutdownTimeout: 30, closeTimeout: 50 };
    const { server, peer, session } = await departing(options, () => forever.promise);
    await server.shutdown(); // the peer does not finish its side
    assertEquals((await session.closed).reason, "drain");
    assertEquals(await readAll(peer), "421 shutting down\n");
    await peer.close();
    forever.resolve();
  },
);

Deno.test("A goodbye that closes its session is called once", bounded, async () => {
  const { server, peer, session, reasons } = await departing({}, async (session) => {
    for await (const _ of session);
  });
  session.goodbye = (reason) => {
    reasons.push(reason);
    session.close();
    return "never sent";
  };
  await settle();
  const finished = server.shutdown();
  assertEquals(await readAll(peer), "");
  await peer.close();
  await finished;
  assertEquals([(await session.closed).reason, reasons], ["drain", ["drain"]]);
});

Deno.test("Server.abort() sends no goodbye, and ends those under way", bounded, async () => {
  const forever = Promise.withResolvers<void>();
  const quiet = await departing({}, () => forever.promise);
  quiet.server.abort();
  await quiet.server.finished;
  assertEquals(quiet.reasons, []);
  quiet.peer.abort();

  const options = { shutdownTimeout: 20, closeTimeout: 3_600_000 };
  const { server, peer, reasons } = await departing(options, () => forever.promise);
  server.shutdown();
  assertEquals(await peer.readLine(), "421 shutting down");
  server.abort();
  await server.finished;
  assertEquals(reasons, ["drain"]);
  peer.abort();
  forever.resolve();
});

Deno.test("The error of a goodbye is reported like that of a handler", bounded, async () => {
  const fault = new Error("no such language");
  const told: unknown[][] = [];
  const events: unknown[][] = [];
  const options: ServeOptions = {
    goodbye: () => {
      throw fault;
    },
    onError: (...args) => void told.push(args),
    observer: { onHandlerError: (...args) => void events.push(args) },
  };
  const { server, peer, session } = await departing(options, async (session) => {
    for await (const _ of session);
  });
  await settle();
  server.shutdown();
  assertEquals(await readAll(peer), "");
  await peer.close();
  await server.finished;
  const { reason, cause } = await session.closed;
  assertEquals([reason, cause], ["drain", fault]);
  assertEquals([told, events], [[[fault, session]], [[fault, session]]]);
  assertEquals(server.stats().handlerErrors, 1);
});

const LOOPS: Record<string, (session: Session) => AsyncIterable<string>> = {
  "the session": (session) => session,
  "text()": (session) => session.text(),
  "lines()": (session) => session.lines(),
};

for (const [name, loop] of Object.entries(LOOPS)) {
  Deno.test(`Server.shutdown() ends a loop over ${name} that waits`, bounded, async () => {
    const { server, client, session, handled, told } = await pair(async (session) => {
      for await (const text of loop(session)) await session.send(`${text}!\n`);
    });
    await using peer = new Session(client);
    assertEquals(await ask(peer, "rose"), name === "lines()" ? "rose!" : "rose");
    await settle();
    const finished = server.shutdown();
    assertEquals(server.state, "draining");
    const error = await handled;
    assert(error instanceof SessionEndedError);
    assertEquals(error.reason, "drain");
    await readAll(peer); // ends, and not by a reset
    await peer.close();
    assertEquals((await session.closed).reason, "drain");
    await finished;
    assertEquals([server.state, told], ["closed", []]);
  });

  Deno.test(`Server.shutdown() ends a loop over ${name} that begins later`, bounded, async () => {
    const work = Promise.withResolvers<void>();
    const { server, client, session, handled } = await pair(async (session) => {
      await work.promise;
      for await (const _ of loop(session));
    });
    server.shutdown();
    work.resolve();
    assertEquals((await handled as SessionEndedError).reason, "drain");
    client.close();
    assertEquals((await session.closed).reason, "drain");
    await server.finished;
  });
}

Deno.test("Server.shutdown() lets a half-received line come to its end", bounded, async () => {
  const { server, client, session } = await pair(echo);
  await using peer = new Session(client);
  await peer.send("ro");
  await arrived(session, 2);
  server.shutdown();
  await settle();
  await peer.send("se\n");
  assertEquals(await readAll(peer), "rose!\n");
  await peer.close();
  assertEquals((await session.closed).reason, "drain");
  await server.finished;
});

Deno.test("Server.shutdown() lets a half-received character come to its end", bounded, async () => {
  const { server, client, session } = await pair(async (session) => {
    for await (const text of session) await session.send(`${text}!`);
  });
  await using peer = new Session(client);
  const [first, ...rest] = utf8.encode("é");
  await peer.send(new Uint8Array([first!]));
  await arrived(session, 1);
  server.shutdown();
  await settle();
  await peer.send(new Uint8Array(rest));
  assertEquals(await readAll(peer), "é!");
  await peer.close();
  assertEquals((await session.closed).reason, "drain");
  await server.finished;
});

Deno.test(
  "Server.shutdown() ends a loop though what was unread turns out to belong to no frame",
  bounded,
  async () => {
    const listener = memoryListener();
    const began = Promise.withResolvers<Session>();
    const server = serve({ listener, shutdownTimeout: Infinity }, async (session) => {
      began.resolve(session);
      for await (const value of session.frames(jsonLines())) await session.send(`${value}`);
    });
    await using peer = new Session(listener.connect());
    await peer.send("  ");
    await arrived(await began.promise, 2);
    server.shutdown();
    await settle();
    await peer.send("\n");
    assertEquals(await readAll(peer), "");
    await peer.close();
    await server.finished;
  },
);

Deno.test("Server.shutdown() lets all lines be answered that have arrived", bounded, async () => {
  const work = Promise.withResolvers<void>();
  const { server, client, session } = await pair(async (session) => {
    for await (const line of session.lines()) {
      await work.promise;
      await session.send(`${line}!\n`);
    }
  });
  await using peer = new Session(client);
  await peer.send("one\ntwo\nthree\n");
  await arrived(session, 14);
  server.shutdown();
  work.resolve();
  assertEquals(await readAll(peer), "one!\ntwo!\nthree!\n");
  await peer.close();
  assertEquals((await session.closed).reason, "drain");
  await server.finished;
});

Deno.test(
  "Server.shutdown() lets readings of bytes and of single frames go on",
  bounded,
  async () => {
    const { server, client, session, handled } = await pair(async (session) => {
      assertEquals(await session.readExactly(4), utf8.encode("rose"));
      assertEquals(await session.readLine(), "jo");
      assertEquals(await session.lines().read(), "ann");
      let upload = "";
      for await (const bytes of session.bytes()) upload += new TextDecoder().decode(bytes);
      await session.send(upload);
    });
    await using peer = new Session(client);
    server.shutdown();
    for (const part of ["rose", "jo\n", "ann\n", "up", "load"]) {
      await settle();
      await peer.send(part);
    }
    await peer.closeWrite();
    assertEquals(await readAll(peer), "upload");
    assertEquals(await handled, undefined);
    assertEquals((await session.closed).reason, "peer");
    await server.finished;
  },
);

Deno.test("Server.shutdown() aborts what is left after shutdownTimeout", bounded, async () => {
  const listener = memoryListener();
  const told: unknown[] = [];
  const thrown: unknown[] = [];
  const options = {
    listener,
    shutdownTimeout: 40,
    onError: (error: unknown) => void told.push(error),
  };
  const server = serve(options, async (session) => {
    if (session.id === 1) await new Promise(() => {}); // never comes back
    await session.readExactly(4).catch((error) => {
      thrown.push(error);
      throw error;
    });
  });
  const clients = [listener.connect(), listener.connect()];
  await until(() => server.sessions.size === 2);
  const ends = [...server.sessions].map((session) => session.closed);
  await server.shutdown();
  const reasons = (await Promise.all(ends)).map(({ reason }) => reason);
  assertEquals(reasons, ["drain", "drain"]);
  assertEquals((thrown[0] as SessionEndedError).reason, "drain");
  assertEquals([server.state, told], ["closed", []]);
  for (const client of clients) client.close();
});

Deno.test("Session.draining aborts when its server shuts down", bounded, async () => {
  const { server, client, session } = await pair((session) => session.readExactly(4));
  const { draining } = session;
  assertEquals(draining.aborted, false);
  let calls = 0;
  draining.addEventListener("abort", () => calls++);
  server.shutdown();
  assertEquals([draining.aborted, calls], [true, 1]);
  assert(draining.reason instanceof SessionEndedError);
  assertEquals(draining.reason.reason, "drain");
  assertEquals(session.signal.aborted, false);
  client.close();
  await server.finished;
});

Deno.test("Session.draining is aborted where it is first asked for too late", bounded, async () => {
  const { server, client, session } = await pair((session) => session.readExactly(4));
  server.shutdown();
  assert(session.draining.aborted);
  assertEquals((session.draining.reason as SessionEndedError).reason, "drain");
  client.close();
  await server.finished;
});

Deno.test("Server.shutdown() may be called again", bounded, async () => {
  const server = serve({ listener: memoryListener() }, echo);
  assertStrictEquals(server.shutdown(), server.finished);
  assertStrictEquals(server.shutdown(), server.finished);
  await server.finished;
  await server.shutdown();
  server.abort();
  assertEquals(server.state, "closed");
});

Deno.test("Server.shutdown() loses none of the replies that were sent", overNet, async () => {
  const CLIENTS = 100;
  const REPLY = 300_000; // more than a socket takes: most of it is still to be written
  const options = { port: 0, shutdownTimeout: Infinity, closeTimeout: Infinity };
  const server = serve(options, async (session) => {
    for await (const line of session.lines()) await session.send(line.padEnd(REPLY, "."));
  });
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => connect({ port: portOf(server) })),
  );
  await Promise.all(clients.map((client, i) => client.send(`reply ${100 + i}\n`)));
  await until(() => server.stats().bytesRead === CLIENTS * "reply 100\n".length);
  const ends: SessionEnd[] = [];
  for (const { closed } of server.sessions) closed.then((end) => ends.push(end));
  server.shutdown();
  const replies = await Promise.all(clients.map(readAll));
  for (const [i, reply] of replies.entries()) {
    assertEquals([reply.length, reply.slice(0, 10)], [REPLY, `reply ${100 + i}.`]);
  }
  await Promise.all(clients.map((client) => client.close()));
  await server.finished;
  assertEquals(new Set(ends.map(({ reason }) => reason)), new Set(["drain"]));
  assertEquals(server.stats().bytesWritten, CLIENTS * REPLY);
});

Deno.test("Server.shutdown() refuses new clients while old ones are served", overNet, async () => {
  const server = serve({ port: 0 }, async (session) => {
    for await (const bytes of session.bytes()) await session.send(bytes);
  });
  await using client = await connect({ port: portOf(server) });
  assertEquals(await ask(client, "before"), "before");
  server.shutdown();
  await settle(); // the socket goes once the accept that waited has let it go
  await assertRejects(() => connect({ port: portOf(server) }), ConnectionRefusedError);
  assertEquals(await ask(client, "after"), "after");
  await client.close();
  await server.finished;
});

Deno.test("Server.finished leaves the port free", overNet, async () => {
  let server = serve({ port: 0 }, echo);
  const port = portOf(server);
  for (let i = 0; i < 20; i++) {
    const client = await connect({ port });
    assertEquals(await ask(client, "rose"), "rose!");
    server.shutdown();
    await client.close();
    await server.finished;
    server = serve({ port }, echo);
  }
  await server.shutdown();
});

Deno.test("Server.abort() ends all sessions at once", bounded, async () => {
  const { server, client, session, handled, told } = await pair(echo);
  const reason = new Error("enough");
  server.abort(reason);
  const end = await session.closed;
  assertEquals(end.reason, "local");
  assertStrictEquals(end.cause, reason);
  assert(await handled instanceof SessionEndedError);
  await server.finished;
  assertEquals([server.state, told], ["closed", []]);
  client.close();
});

Deno.test("Server.abort() does not wait for handlers that never return", bounded, async () => {
  const { server, client, session } = await pair(() => new Promise(() => {}));
  server.abort();
  await server.finished;
  const { reason, ...rest } = await session.closed;
  assertEquals([reason, "cause" in rest], ["local", false]);
  client.close();
});

Deno.test("Server.abort() cuts a drain short", bounded, async () => {
  const { server, client, session } = await pair((session) => session.readExactly(4));
  server.shutdown();
  await settle();
  assertEquals(server.state, "draining");
  server.abort();
  await server.finished;
  assertEquals((await session.closed).reason, "local");
  client.close();
});

Deno.test("serve() can be used with await using", bounded, async () => {
  const listener = memoryListener();
  const client = listener.connect();
  let isHandled = false;
  let kept: Server;
  {
    await using server = serve({ listener }, async (session) => {
      const told = Promise.withResolvers<void>();
      session.draining.addEventListener("abort", () => told.resolve());
      await told.promise;
      await settle();
      isHandled = true;
      client.close();
    });
    kept = server;
    await until(() => server.sessions.size === 1);
  }
  assertEquals([isHandled, kept.state, kept.sessions.size], [true, "closed", 0]);
});

Deno.test("serve() shuts down when its signal aborts", bounded, async () => {
  const listener = memoryListener();
  const controller = new AbortController();
  const count = countedSignal(controller.signal);
  const server = serve({ listener, signal: controller.signal }, echo);
  await using client = new Session(listener.connect());
  assertEquals(await ask(client, "rose"), "rose!");
  assertEquals(count.listeners, 1);
  controller.abort();
  assertEquals(server.state, "draining");
  assertEquals(await readAll(client), "");
  await client.close();
  await server.finished;
  assertEquals([server.state, count.listeners], ["closed", 0]);
});

Deno.test("serve() shuts down at once for a signal that is aborted", bounded, async () => {
  const listener = memoryListener();
  const signal = AbortSignal.abort();
  const count = countedSignal(signal);
  const server = serve({ listener, signal }, echo);
  await server.finished;
  assertEquals([server.state, server.stats().accepted, count.listeners], ["closed", 0, 0]);
});

Deno.test("Server.shutdown() takes its listener off the signal", bounded, async () => {
  const { signal } = new AbortController();
  const count = countedSignal(signal);
  await serve({ listener: memoryListener(), signal }, echo).shutdown();
  assertEquals(count.listeners, 0);
});

for (const reading of ["a line", "lines"]) {
  Deno.test(
    `Server.shutdown() serves who was accepted before it, reading ${reading}`,
    bounded,
    async () => {
      const listener = memoryListener();
      const goodbye = (): string => "bye\n";
      const server = serve({ listener, goodbye }, async (session) => {
        if (reading === "lines") {
          for await (const line of session.lines()) await session.send(line);
        } else await session.send(`${await session.readLine()}!\n`);
      });
      await settle();
      const client = new Session(listener.connect()); // which the accept that waits has got already
      const stopped = server.shutdown();
      assertEquals(server.state, "draining");
      await settle();
      await client.send("rose\n");
      assertEquals(await client.readLine(), reading === "lines" ? "bye" : "rose!");
      await client.close();
      await stopped;
      assertEquals(server.stats().accepted, 1);
    },
  );
}

Deno.test(
  "Server.shutdown() ends who was accepted before it after shutdownTimeout",
  bounded,
  async () => {
    const listener = memoryListener();
    const server = serve({ listener, shutdownTimeout: 5 }, (session) => session.readLine());
    await settle();
    const client = new Session(listener.connect());
    await server.shutdown();
    assertEquals(server.stats().accepted, 1);
    client.abort();
    await client.closed;
  },
);

Deno.test("Server.abort() closes who was accepted before it", bounded, async () => {
  const listener = memoryListener();
  const server = serve({ listener }, () => {});
  await settle();
  const client = new Session(listener.connect());
  server.abort();
  await server.finished;
  assertEquals(server.stats().accepted, 0);
  assertEquals(await client.readLine().catch(() => undefined), undefined);
  client.abort();
  await client.closed;
});
