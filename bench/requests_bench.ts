/**
 * The cost of `requests()` compared with a hand-written pipeline: lines over loopback to an echo, which runs in this process,
 * too. So only the ratios are meaningful, and they are smaller than those of the client alone.
 *
 *     deno bench --allow-net bench/requests_bench.ts
 */

import { type Codec, jsonLines, lines } from "@parley/tcp/codecs";
import { type Frames, requests, Session } from "@parley/tcp";

interface Message {
  id: number;
  text: string;
}

const TEXT = "x".repeat(40);

async function dial<Frame>(codec: Codec<Frame>): Promise<Frames<Frame>> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const client = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  const server = await listener.accept();
  client.setNoDelay(true);
  server.setNoDelay(true);
  const served = new Session(server);
  (async () => {
    for await (const chunk of served.bytes({ borrow: true })) await served.send(chunk);
  })();
  return new Session(client).frames(codec);
}

/** The minimum: no limits, no timeouts, no signals, and an extra reply goes unnoticed. */
function inOrderByHand(frames: Frames<string>): (message: string) => Promise<string> {
  const waiting: PromiseWithResolvers<string>[] = [];
  (async () => {
    for await (const reply of frames) waiting.shift()?.resolve(reply);
  })();
  return async (message) => {
    const reply = Promise.withResolvers<string>();
    waiting.push(reply);
    await frames.send(message);
    return await reply.promise;
  };
}

/** The same by id. */
function byIdByHand(frames: Frames<Message>): (message: Message) => Promise<Message> {
  const waiting = new Map<number, PromiseWithResolvers<Message>>();
  (async () => {
    for await (const reply of frames) {
      waiting.get(reply.id)?.resolve(reply);
      waiting.delete(reply.id);
    }
  })();
  return async (message) => {
    const reply = Promise.withResolvers<Message>();
    waiting.set(message.id, reply);
    await frames.send(message);
    return await reply.promise;
  };
}

let lastId = 0;
const nextMessage = (): Message => ({ id: ++lastId, text: TEXT });

const plain = inOrderByHand(await dial(lines()));
const inOrder = requests(await dial(lines()));
const plainById = byIdByHand(await dial(jsonLines<Message>()));
const byId = requests(await dial(jsonLines<Message>()), {
  requestId: ({ id }) => id,
  replyId: ({ id }) => id,
});
const { signal } = new AbortController();

const CONTENDERS: [group: string, name: string, ask: () => Promise<unknown>][] = [
  ["in order", "by hand", () => plain(TEXT)],
  ["in order", "requests()", () => inOrder.request(TEXT)],
  ["in order", "requests() with a signal", () => inOrder.request(TEXT, { signal })],
  ["by id", "by hand", () => plainById(nextMessage())],
  ["by id", "requests()", () => byId.request(nextMessage())],
];

for (const inFlight of [1, 100]) {
  for (const [group, name, ask] of CONTENDERS) {
    Deno.bench({
      name,
      group: `${group}, ${inFlight} in flight`,
      baseline: name === "by hand",
      fn: async () => {
        await Promise.all(Array.from({ length: inFlight }, ask));
      },
    });
  }
}
