/**
 * The cost of a session compared with a hand-written loop: echoes over loopback, one message in flight.
 *
 *     deno bench --allow-net bench/session_bench.ts
 *
 * Client and server run in one process, and the client is the same for every contender. So the ratios are smaller than
 * those of the server alone.
 */

import { Session } from "../session.ts";
import { SessionGroup } from "../session/group.ts";

type Serve = (connection: Deno.TcpConn) => Promise<unknown>;

const group = new SessionGroup<Session>();

const CONTENDERS: Record<string, Serve> = {
  "a hand-written Deno.listen loop": async (connection) => {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await connection.read(buffer);
      if (count === null) return connection.close();
      for (let rest = buffer.subarray(0, count); rest.length > 0;) {
        rest = rest.subarray(await connection.write(rest));
      }
    }
  },
  "session.bytes({ borrow: true })": async (connection) => {
    const session = new Session(connection, {}, group);
    for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
    await session.close();
  },
  "session.bytes()": async (connection) => {
    const session = new Session(connection, {}, group);
    for await (const chunk of session.bytes()) await session.send(chunk);
    await session.close();
  },
  "session as text": async (connection) => {
    const session = new Session(connection, {}, group);
    for await (const text of session) await session.send(text);
    await session.close();
  },
  "session.lines()": async (connection) => {
    const session = new Session(connection, {}, group);
    for await (const line of session.lines()) await session.send(`${line}\n`);
    await session.close();
  },
};

for (const size of [64, 64 * 1024]) {
  for (const [name, serve] of Object.entries(CONTENDERS)) {
    const { client, message } = await dial(serve, size);
    Deno.bench({
      name,
      group: `echo of ${size} bytes`,
      baseline: name.includes("hand-written"),
      fn: () => roundTrip(client, message),
    });
  }
}

async function dial(
  serve: Serve,
  size: number,
): Promise<{ client: Deno.TcpConn; message: Uint8Array }> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const client = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  const connection = await listener.accept();
  client.setNoDelay(true);
  connection.setNoDelay(true);
  serve(connection);
  const message = new Uint8Array(size).fill(0x61);
  message[size - 1] = 0x0a;
  return { client, message };
}

const buffer = new Uint8Array(64 * 1024);

async function roundTrip(client: Deno.TcpConn, message: Uint8Array): Promise<void> {
  const written = writeAll(client, message);
  for (let received = 0; received < message.length;) {
    const count = await client.read(buffer);
    if (count === null) throw new Error("the server left");
    received += count;
  }
  await written;
}

async function writeAll(client: Deno.TcpConn, message: Uint8Array): Promise<void> {
  for (let rest = message; rest.length > 0;) rest = rest.subarray(await client.write(rest));
}
