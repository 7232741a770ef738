// The handlers that are measured, over public names and default options.
//
//     [TRANSPORT=node] [SCRAPED=1] [BALLAST=1] deno run -A bench/servers/parley.ts SERVICE PORT [CERT KEY]
//
// With SCRAPED, its metrics are written every second. With BALLAST, it has the heap of an application.
//
// Node and Bun run it as it is: `node bench/servers/parley.ts …`.

import process from "node:process";
import { lengthPrefixed } from "../../codecs/mod.ts";
import { type Handler, prepare, serve, type TransportName } from "../../mod.ts";
import { holdBallast } from "./_ballast.ts";

const SERVICES: Record<string, Handler> = {
  echo: async (session) => {
    for await (const chunk of session.bytes()) await session.send(chunk);
  },
  "echo-borrowed": async (session) => {
    for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
  },
  "echo-text": async (session) => {
    for await (const text of session) await session.send(text);
  },
  lines: async (session) => {
    for await (const line of session.lines()) await session.send(`${line}\n`);
  },
  pings: async (session) => {
    for await (const _line of session.lines()) await session.send("+PONG\r\n");
  },
  frames: async (session) => {
    const frames = session.frames(lengthPrefixed());
    for await (const frame of frames) await frames.send(frame);
  },
  // The README's handler.
  greeting: async (session) => {
    await session.send("welcome!");
    for await (const name of session) {
      if (name === "exit") break;
      await session.send(`hello, ${name}!`);
    }
  },
  broadcast: async (session) => {
    await session.send("welcome!");
    for await (const chunk of session.bytes()) {
      const message = prepare(chunk);
      for (const receiver of server.sessions) receiver.send(message);
    }
  },
};

const [service, port, certFile, keyFile] = process.argv.slice(2);
const tls = certFile === undefined ? {} : { tls: { cert: read(certFile), key: read(keyFile!) } };
const { TRANSPORT: transport, SCRAPED: scraped, BALLAST: ballast } = process.env;
if (ballast !== undefined) holdBallast();
const over = transport === undefined ? {} : { transport: transport as TransportName };
const server = serve({ port: Number(port), ...over, ...tls }, SERVICES[service!]!);

if (scraped !== undefined) {
  const { Metrics } = await import("../../metrics/mod.ts");
  const metrics = new Metrics();
  metrics.addServer("bench", server);
  setInterval(() => metrics.prometheus(), 1000);
}

// When memory is measured, the harness requests a garbage collection. This one also returns free memory to the system, as V8
// does by itself once a process has allocated little for a while.
const { gc, Bun: bun } = globalThis as {
  gc?: (options: { type: "major"; flavor: "last-resort" }) => void;
  Bun?: { gc(isSync: boolean): void };
};
if (gc !== undefined) process.on("SIGUSR2", () => gc({ type: "major", flavor: "last-resort" }));
else if (bun !== undefined) process.on("SIGUSR2", () => bun.gc(true));

/** Reads a file. The module for files is loaded only then, so that it does not count as the library's memory. */
function read(path: string): string {
  return process.getBuiltinModule("node:fs").readFileSync(path, "utf8");
}
