// A server in a process of its own, to be attacked and measured. Its arguments are JSON: the options of `serve()` with
// `handler`, a name; and what it goes over. On standard output it says JSON, one value a line; on standard input it takes commands, and
// ends with it.

import { delimited, jsonLines, lengthPrefixed, lines, netstring } from "../codecs/mod.ts";
import { type Handler, serve, type ServeOptions } from "../serve/serve.ts";
import type { Codec, Session } from "../session.ts";
import { setDefault } from "./_default_transport.ts";

const [settings, over] = Deno.args;
const { handler, ...options }: ServeOptions & { handler: string } = JSON.parse(settings!);
setDefault(JSON.parse(over!));

/** Answers each frame with how long it is. */
function measuring(codec: Codec<unknown, never>): Handler {
  return async (session) => {
    for await (const frame of session.frames(codec)) {
      const length = frame instanceof Uint8Array ? frame.length : JSON.stringify(frame).length;
      await session.send(`${length}\n`);
    }
  };
}

/** Answers that `send()` has accepted. */
let answers = 0;
/** How long `shutdown()` took, in milliseconds. */
let shutdownTook: number | undefined;

const CHUNK = new Uint8Array(10_000);

/** The sessions that are sent as much as is allowed. A timer for each would leave more garbage than all buffers take. */
const pushed = new Set<Session>();

function push(): void {
  for (const session of pushed) {
    while (session.bytesBuffered < 1_000_000 && !session.signal.aborted) session.send(CHUNK);
  }
}

const HANDLERS: Record<string, Handler> = {
  /** Answers each line. */
  echo: async (session) => {
    for await (const line of session.lines()) await session.send(`${line}!\n`);
  },
  /** Answers each line after a while, and counts its answers. */
  busy: async (session) => {
    for await (const line of session.lines()) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      await session.send(`${line}!\n`);
      answers++;
    }
  },
  /** Reads nothing. */
  deaf: (session) => session.closed,
  /** Answers each line, but `much`: after that, it keeps as much unsent as is allowed, whoever may take it. */
  pushing: async (session) => {
    for await (const line of session.lines()) {
      if (line !== "much") await session.send(`${line}!\n`);
      else {
        pushed.add(session);
        await session.closed;
        pushed.delete(session);
      }
    }
  },
  /** Reads all that comes, and answers nothing. */
  swallow: async (session) => {
    for await (const _ of session.bytes({ borrow: true }));
  },
  /** Greets, and reads what comes to its end. */
  greet: async (session) => {
    await session.send("welcome!\n");
    for await (const text of session) await session.send(text);
  },
  "lengthPrefixed()": measuring(lengthPrefixed()),
  "lengthPrefixed(8)": measuring(lengthPrefixed({ width: 8 })),
  "netstring()": measuring(netstring()),
  "jsonLines()": measuring(jsonLines()),
  "delimited()": measuring(delimited("\0")),
  "lines()": measuring(lines()),
};

const encoder = new TextEncoder();

function say(...words: unknown[]): void {
  let rest = encoder.encode(`${JSON.stringify(words)}\n`);
  while (rest.length > 0) rest = rest.subarray(Deno.stdout.writeSync(rest));
}

const ends: Record<string, number> = {};
const causes: Record<string, number> = {};

function count(record: Record<string, number>, key: string): void {
  record[key] = (record[key] ?? 0) + 1;
}

const server = serve({
  port: 0,
  ...options,
  observer: {
    onSessionEnd: (_, { reason, cause }) => {
      count(ends, cause instanceof Error ? `${reason} ${cause.name}` : reason);
    },
    onRefusal: ({ reason, cause }) => {
      count(causes, cause instanceof Error ? `${reason} ${cause.name}` : reason);
    },
    onHandlerError: (error) => count(causes, `handler ${error}`),
    onAcceptError: (error) => count(causes, `accept ${(error as { code?: string }).code}`),
  },
}, HANDLERS[handler]!);
const pushing = setInterval(push, 10);
say("port", (server.addr as Deno.NetAddr).port);

/** What `--v8-flags=--expose-gc` gives. */
const { gc } = globalThis as { gc?: () => void };

async function shutDown(): Promise<void> {
  const began = performance.now();
  await server.shutdown();
  shutdownTook = performance.now() - began;
}

for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  for (const command of chunk.trim().split("\n")) {
    const [word, number] = command.split(" ");
    if (word === "shutdown") shutDown();
    if (word === "collect") gc!();
    if (word !== "report") continue;
    const { rss, external, heapUsed } = Deno.memoryUsage();
    const { active, accepted, refused, bytesRead, memory } = server.stats();
    say("report", Number(number), {
      rss,
      external,
      live: heapUsed + external,
      memory,
      active,
      accepted,
      refused,
      bytesRead,
      ends,
      causes,
      answers,
      shutdownTook,
    });
  }
}
clearInterval(pushing);
server.abort();
await server.finished;
say("finished");
