// The handlers that are measured, over public names and default options.
//
//     [TRANSPORT=node] deno run -A bench/servers/parley.ts SERVICE PORT [CERT KEY]

import { type Handler, prepare, serve, type TransportName } from "@parley/tcp";
import { lengthPrefixed } from "@parley/tcp/codecs";

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

const [service, port, certFile, keyFile] = Deno.args;
const tls = certFile === undefined ? {} : {
  tls: { cert: await Deno.readTextFile(certFile), key: await Deno.readTextFile(keyFile!) },
};
const transport = (Deno.env.get("TRANSPORT") ?? "deno") as TransportName;
const server = serve({ port: Number(port), transport, ...tls }, SERVICES[service!]!);

// When memory is measured, the harness requests a garbage collection.
const { gc } = globalThis as { gc?: () => void };
if (gc !== undefined) Deno.addSignalListener("SIGUSR2", () => gc());
