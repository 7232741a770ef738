/**
 * What a timeout for each reading costs: lines of 32 bytes that are sent back over loopback, one in flight.
 *
 *     deno bench --allow-net bench/read_timeout_bench.ts
 *
 * Client and server run in this one process, so the ratios come out smaller than those of the server alone.
 */

import { type Frames, Session } from "@parley/tcp/session";
import { SessionGroup } from "../session/group.ts";

const TIMEOUT = 30_000;

type Read = (lines: Frames<string>) => Promise<string | undefined>;

const CONTENDERS: Record<string, Read> = {
  "read()": (lines) => lines.read(),
  "read({ timeout })": (lines) => lines.read({ timeout: TIMEOUT }),
  "read({ signal: AbortSignal.timeout() })": (lines) =>
    lines.read({ signal: AbortSignal.timeout(TIMEOUT) }),
};

const group = new SessionGroup<Session>();
const message = new TextEncoder().encode(`${"x".repeat(31)}\n`);
const buffer = new Uint8Array(64);

async function dial(read: Read): Promise<Deno.TcpConn> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const client = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  const connection = await listener.accept();
  client.setNoDelay(true);
  connection.setNoDelay(true);
  serve(new Session(connection, {}, group).lines(), read);
  return client;
}

async function serve(lines: Frames<string>, read: Read): Promise<void> {
  for (let line = await read(lines); line !== undefined; line = await read(lines)) {
    await lines.send(line);
  }
}

for (const [name, read] of Object.entries(CONTENDERS)) {
  const client = await dial(read);
  Deno.bench({
    name,
    group: "a line of 32 bytes there and back",
    baseline: name === "read()",
    fn: async () => {
      await client.write(message);
      for (let received = 0; received < message.length;) {
        received += await client.read(buffer) ?? Infinity;
      }
    },
  });
}
