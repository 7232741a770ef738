// The same by hand, over `Deno.listen`: reused buffers, one write for all replies to one read.
//
//     [BALLAST=1] deno run -A bench/servers/deno.ts SERVICE PORT [CERT KEY]

import { holdBallast } from "./_ballast.ts";
import { writeAll } from "./_write_all.ts";

type Serve = (connection: Deno.Conn) => Promise<void>;

const decoder = new TextDecoder();
const encoder = new TextEncoder();
const subscribers = new Set<Deno.Conn>();
const DONE = Promise.resolve();

/** Echoes through one buffer. */
function echo(size: number): Serve {
  return async (connection) => {
    const buffer = new Uint8Array(size);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) return;
      await writeAll(connection, buffer.subarray(0, count));
    }
  };
}

/** The same with a new buffer for each read, which the caller could keep. */
const echoNew: Serve = async (connection) => {
  for (;;) {
    const buffer = new Uint8Array(64 * 1024);
    const count = await connection.read(buffer);
    if (count === null) return;
    await writeAll(connection, buffer.subarray(0, count));
  }
};

/**
 * Answers the complete messages at the beginning of the unread bytes. `answer` writes the replies, and returns their length
 * and that of the messages; 0 if none is complete.
 */
function messages(
  answer: (input: Uint8Array, output: Uint8Array) => readonly [taken: number, written: number],
): Serve {
  return async (connection) => {
    const input = new Uint8Array(16 * 1024);
    const output = new Uint8Array(16 * 1024);
    let end = 0;
    for (;;) {
      const count = await connection.read(input.subarray(end));
      if (count === null) return;
      end += count;
      const [taken, written] = answer(input.subarray(0, end), output);
      input.copyWithin(0, taken, end);
      end -= taken;
      await writeAll(connection, output.subarray(0, written));
    }
  };
}

/** The frames of a connection. Replies are written when no complete frame is left. */
class Frames implements AsyncIterableIterator<Uint8Array> {
  readonly #connection: Deno.Conn;
  readonly #room = new Uint8Array(16 * 1024);
  /** The input, whose memory the frames share, and the start of the next frame. */
  #input = new Uint8Array(0);
  #at = 0;
  readonly #output = new Uint8Array(16 * 1024);
  #written = 0;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const frame = this.#frame();
    return frame === undefined ? this.#read() : Promise.resolve({ done: false, value: frame });
  }

  send(frame: Uint8Array): Promise<void> {
    const { length } = frame;
    for (let i = 3, rest = length; i >= 0; i--, rest >>>= 8) this.#output[this.#written + i] = rest;
    this.#output.set(frame, this.#written + 4);
    this.#written += 4 + length;
    return DONE;
  }

  #frame(): Uint8Array | undefined {
    const input = this.#input;
    const at = this.#at;
    if (input.length - at < 4) return undefined;
    const length = input[at]! << 24 | input[at + 1]! << 16 | input[at + 2]! << 8 | input[at + 3]!;
    if (input.length - at < 4 + length) return undefined;
    this.#at += 4 + length;
    return new Uint8Array(input.buffer, at + 4, length);
  }

  async #read(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      await writeAll(this.#connection, this.#output.subarray(0, this.#written));
      this.#written = 0;
      const rest = this.#input.subarray(this.#at);
      this.#room.set(rest);
      const count = await this.#connection.read(this.#room.subarray(rest.length));
      if (count === null) return { done: true, value: undefined };
      this.#input = this.#room.slice(0, rest.length + count);
      this.#at = 0;
      const frame = this.#frame();
      if (frame !== undefined) return { done: false, value: frame };
    }
  }
}

const SERVICES: Record<string, Serve> = {
  echo: echo(64 * 1024),
  "echo-1k": echo(1024),
  "echo-new": echoNew,
  "echo-streams": (connection) => connection.readable.pipeTo(connection.writable),
  // One call of the decoder for all lines: a call costs as much as a short line.
  lines: messages((input, output) => {
    const taken = input.lastIndexOf(10) + 1;
    if (taken === 0) return [0, 0];
    let replies = "";
    for (const line of decoder.decode(input.subarray(0, taken - 1)).split("\n")) {
      replies += `${line}\n`;
    }
    return [taken, encoder.encodeInto(replies, output).written];
  }),
  // The lines are decoded, as a service that uses them needs it.
  pings: messages((input, output) => {
    const taken = input.lastIndexOf(10) + 1;
    if (taken === 0) return [0, 0];
    let replies = "";
    for (const _line of decoder.decode(input.subarray(0, taken - 1)).split("\n")) {
      replies += "+PONG\r\n";
    }
    return [taken, encoder.encodeInto(replies, output).written];
  }),
  frames: messages((input, output) => {
    let at = 0;
    while (input.length - at >= 4) {
      const length = input[at]! << 24 | input[at + 1]! << 16 | input[at + 2]! << 8 | input[at + 3]!;
      const end = at + 4 + length;
      if (input.length < end) break;
      output.set(input.subarray(at, end), at);
      at = end;
    }
    return [at, at];
  }),
  // One at a time by `for await`, with an awaited send for each: the cost of that form, with as little else as possible.
  "frames-each": async (connection) => {
    const frames = new Frames(connection);
    for await (const frame of frames) await frames.send(frame);
  },
  greeting: async (connection) => {
    await writeAll(connection, encoder.encode("welcome!"));
    const buffer = new Uint8Array(1024);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) return;
      const name = decoder.decode(buffer.subarray(0, count));
      if (name === "exit") return;
      await writeAll(connection, encoder.encode(`hello, ${name}!`));
    }
  },
  broadcast: async (connection) => {
    await writeAll(connection, encoder.encode("welcome!"));
    subscribers.add(connection);
    const buffer = new Uint8Array(1024);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) return void subscribers.delete(connection);
      const message = buffer.slice(0, count);
      for (const subscriber of subscribers) writeAll(subscriber, message).catch(() => {});
    }
  },
};

const [service, port, certFile, keyFile] = Deno.args;
if (Deno.env.has("BALLAST")) holdBallast();
const address = { hostname: "127.0.0.1", port: Number(port) };
const listener = certFile === undefined ? Deno.listen(address) : Deno.listenTls({
  ...address,
  cert: await Deno.readTextFile(certFile),
  key: await Deno.readTextFile(keyFile!),
});
const { gc } = globalThis as { gc?: (options: { type: string; flavor: string }) => void };
const collect = (): void => gc!({ type: "major", flavor: "last-resort" }); // as in `parley.ts`
if (gc !== undefined) Deno.addSignalListener("SIGUSR2", collect);

for await (const connection of listener) {
  if ("setNoDelay" in connection) connection.setNoDelay(true);
  SERVICES[service!]!(connection).catch(() => {}).finally(() => {
    try {
      connection.close();
    } catch { /* closed already */ }
  });
}
