// What works and what is refused on other versions of Deno, by the version that the process believes it is.

import { assertEquals } from "@std/assert";
import { canRun } from "../_permissions.ts";
import { overNet, runModule } from "../_serving.ts";

const running = {
  ...overNet,
  ignore: overNet.ignore || Deno.build.os !== "linux" || !await canRun("deno"),
};

/** Tries everything as `VERSION`, and prints what went wrong. */
const TRIES = `
Object.defineProperty(Deno, "version", { value: { deno: "VERSION" } });
Object.defineProperty(navigator, "userAgent", { value: "Deno/VERSION" });
const { connect, serve, Session } = await import("library/mod.ts");
const { memoryListener, memoryPair } = await import("library/transport/mod.ts");
const { TlsRecords } = await import("library/transport/tls/records.ts");

const loopback = { hostname: "127.0.0.1", port: 0 };
const path = "\\0parley-versions-" + Deno.pid;

async function attempt(name, act) {
  try {
    await act();
  } catch (error) {
    console.log(name + ": " + (error instanceof TypeError ? error.message : error.stack));
  }
}

async function greet(options, how) {
  await using server = serve(options, (session) => session.send("hello"));
  await server.listening;
  await using client = await connect(how ?? { port: server.addr.port });
  await client.readExactly(5);
}

await attempt("port", () => greet(loopback));
await attempt("keepAlive", () => greet({ ...loopback, keepAlive: 5000 }));
await attempt("transport", () => greet({ ...loopback, transport: "deno" }));
await attempt("dial", () => connect({ ...loopback, port: 9, transport: "deno" }).catch((error) => {
  if (error instanceof TypeError) throw error;
}));
await attempt("path", () => greet({ path }, { path }));
await attempt("listener", async () => {
  using listener = Deno.listen(loopback);
  await using _server = serve({ listener }, () => {});
});
await attempt("connection", async () => {
  using listener = Deno.listen(loopback);
  using near = await Deno.connect(listener.addr);
  new Session(near).abort();
});
await attempt("memory", () => {
  const [left, right] = memoryPair();
  for (const end of [left, right]) new Session(end).abort();
  serve({ listener: memoryListener() }, () => {}).abort();
});
await attempt("tls", () => TlsRecords.server({ context: {} }, false));
`;

/** What goes wrong as that version. */
async function tried(version: string): Promise<string[]> {
  const { code, stdout, stderr } = await runModule(TRIES.replaceAll("VERSION", version));
  assertEquals([code, stderr], [0, ""]);
  return stdout.split("\n").filter((line) => line !== "");
}

const TOO_OLD = "sockets and TLS need Deno 2.8.3, but this is Deno/2.8.2";
const CLOSING = "needs Deno 2.9.5, but this is Deno/VERSION, where closing a connection does not " +
  "end a waiting write: use";
const LISTENER = `listener: a listener of Deno.listen() ${CLOSING} the options port or path`;
const CONNECTION = `connection: a session over a Deno.Conn ${CLOSING} connect() or serve()`;
const TRANSPORT = `transport: "deno" ${CLOSING} transport: "node"`;
const WITHOUT_DENO_SOCKETS = [
  `transport: ${TRANSPORT}`,
  `dial: ${TRANSPORT}`,
  LISTENER,
  CONNECTION,
];
const WITHOUT_UNIX = WITHOUT_DENO_SOCKETS.toSpliced(
  2,
  0,
  "path: listening on path or fd needs Deno 2.9.2, but this is Deno/VERSION, " +
    "where it could remove another server's file",
);
const COMPLETE = ['keepAlive: keepAlive in milliseconds needs transport: "node"'];

/** What goes wrong, by version. */
const VERSIONS: Record<string, string[]> = {
  "2.8.2": [
    `port: ${TOO_OLD}`,
    `keepAlive: ${TOO_OLD}`,
    `transport: ${TRANSPORT}`,
    `dial: ${TOO_OLD}`,
    `path: ${TOO_OLD}`,
    LISTENER,
    CONNECTION,
    `tls: ${TOO_OLD}`,
  ],
  "2.8.3": WITHOUT_UNIX,
  "2.9.1": WITHOUT_UNIX,
  "2.9.2": WITHOUT_DENO_SOCKETS,
  "2.9.4": WITHOUT_DENO_SOCKETS,
  "2.9.5": COMPLETE,
  "2.9.10+a1b2c3d": COMPLETE,
  "2.10.0": COMPLETE,
  "3.0.0-rc.1": COMPLETE,
};

for (const [version, problems] of Object.entries(VERSIONS)) {
  Deno.test(
    `serve() and connect() refuse by name what Deno ${version} cannot do`,
    running,
    async () => {
      assertEquals(
        await tried(version),
        problems.map((problem) => problem.replaceAll("VERSION", version)),
      );
    },
  );
}
