// deno-lint-ignore-file explicit-function-return-type -- it is JavaScript
// The same over `node:net` and `node:tls`, for Node and for Deno.
//
//     node bench/servers/net.mjs SERVICE PORT [CERT KEY]

import { readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import readline from "node:readline";
import tls from "node:tls";

const subscribers = new Set();

/** Calls `onMessage` with each message. `endOf` finds its end, or -1. The replies go out in one write. */
function messages(socket, endOf, replyTo) {
  let rest = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    const input = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    const replies = [];
    for (let end = endOf(input, start); end >= 0; end = endOf(input, start)) {
      replies.push(replyTo(input, start, end));
      start = end;
    }
    rest = input.subarray(start);
    if (replies.length === 0) return;
    socket.write(typeof replies[0] === "string" ? replies.join("") : Buffer.concat(replies));
  });
}

const SERVICES = {
  echo: (socket) => socket.on("data", (chunk) => socket.write(chunk)),
  // With back-pressure, as in Node's documentation.
  "echo-pipe": (socket) => socket.pipe(socket),
  // Reading lines as in Node's documentation.
  "lines-readline": (socket) => {
    readline.createInterface({ input: socket }).on("line", (line) => socket.write(`${line}\n`));
  },
  "pings-readline": (socket) => {
    readline.createInterface({ input: socket })
      .on("line", () => socket.write("+PONG\r\n"))
      .on("error", () => {}); // the socket handles it
  },
  lines: (socket) =>
    messages(
      socket,
      (input, start) => input.indexOf(10, start) + 1 || -1,
      (input, start, end) => `${input.toString("utf8", start, end - 1)}\n`,
    ),
  frames: (socket) =>
    messages(
      socket,
      (input, start) => {
        if (input.length < start + 4) return -1;
        const end = start + 4 + input.readUInt32BE(start);
        return input.length < end ? -1 : end;
      },
      (input, start, end) => input.subarray(start, end),
    ),
  greeting: (socket) => {
    socket.setEncoding("utf8");
    socket.write("welcome!");
    socket.on("data", (name) => {
      if (name === "exit") socket.end();
      else socket.write(`hello, ${name}!`);
    });
  },
  broadcast: (socket) => {
    socket.write("welcome!");
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
    socket.on("data", (chunk) => {
      for (const subscriber of subscribers) subscriber.write(chunk);
    });
  },
};

const [service, port, certFile, keyFile] = process.argv.slice(2);
const onConnection = (socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => {});
  SERVICES[service](socket);
};
const server = certFile === undefined
  ? net.createServer(onConnection)
  : tls.createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, onConnection);
server.listen(Number(port), "127.0.0.1");
// As in `parley.ts`.
const collect = () => globalThis.gc({ type: "major", flavor: "last-resort" });
if (globalThis.gc !== undefined) process.on("SIGUSR2", collect);
