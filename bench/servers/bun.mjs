// deno-lint-ignore-file explicit-function-return-type -- it is JavaScript
// The same over `Bun.listen`.
//
//     bun bench/servers/bun.mjs SERVICE PORT [CERT KEY]

const subscribers = new Set();
const decoder = new TextDecoder();

/** Writes, and keeps bytes that the socket does not take yet. */
function write(socket, data) {
  const { data: state } = socket;
  if (state.unsent !== undefined) {
    state.unsent = Buffer.concat([state.unsent, data]);
    return;
  }
  const count = socket.write(data);
  if (count < data.length) state.unsent = Buffer.from(data.subarray(Math.max(0, count)));
}

function drain(socket) {
  const { unsent } = socket.data;
  if (unsent === undefined) return;
  socket.data.unsent = undefined;
  write(socket, unsent);
}

/** Answers each message. `endOf` finds its end, or -1. The replies go out in one write. */
function answer(socket, chunk, endOf, replyTo) {
  const { rest } = socket.data;
  const input = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
  let start = 0;
  const replies = [];
  for (let end = endOf(input, start); end >= 0; end = endOf(input, start)) {
    replies.push(replyTo(input, start, end));
    start = end;
  }
  socket.data.rest = start === input.length ? undefined : Buffer.from(input.subarray(start));
  if (replies.length === 0) return;
  write(
    socket,
    typeof replies[0] === "string" ? Buffer.from(replies.join("")) : Buffer.concat(replies),
  );
}

const SERVICES = {
  echo: { data: write },
  lines: {
    data: (socket, chunk) =>
      answer(
        socket,
        chunk,
        (input, start) => input.indexOf(10, start) + 1 || -1,
        (input, start, end) => `${input.toString("utf8", start, end - 1)}\n`,
      ),
  },
  frames: {
    data: (socket, chunk) =>
      answer(
        socket,
        chunk,
        (input, start) => {
          if (input.length < start + 4) return -1;
          const end = start + 4 + input.readUInt32BE(start);
          return input.length < end ? -1 : end;
        },
        (input, start, end) => input.subarray(start, end),
      ),
  },
  greeting: {
    open: (socket) => write(socket, Buffer.from("welcome!")),
    data: (socket, chunk) => {
      const name = decoder.decode(chunk);
      if (name === "exit") socket.end();
      else write(socket, Buffer.from(`hello, ${name}!`));
    },
  },
  broadcast: {
    open: (socket) => {
      write(socket, Buffer.from("welcome!"));
      subscribers.add(socket);
    },
    data: (_socket, chunk) => {
      for (const subscriber of subscribers) write(subscriber, chunk);
    },
  },
};

const [service, port, certFile, keyFile] = process.argv.slice(2);
const { open, data } = SERVICES[service];
const tls = certFile === undefined
  ? {}
  : { tls: { cert: Bun.file(certFile), key: Bun.file(keyFile) } };
Bun.listen({
  hostname: "127.0.0.1",
  port: Number(port),
  ...tls,
  socket: {
    open(socket) {
      socket.data = { rest: undefined, unsent: undefined };
      open?.(socket);
    },
    data,
    drain,
    end: (socket) => socket.end(),
    close: (socket) => void subscribers.delete(socket),
    error: () => {},
  },
});
process.on("SIGUSR2", () => Bun.gc(true));
