// Clients that are in the middle of a TLS handshake or of a PROXY header when the server shuts down.

import { assertEquals } from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { serve, type ServeOptions } from "../../serve/serve.ts";
import { listen } from "../../transport/listen.ts";
import {
  bounded,
  listenerOver,
  overDenoNet,
  overNet,
  portOf,
  recorder,
  until,
} from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

/** Relays one connection. What the client sends first waits after `held` bytes, until it is released. */
class Relay {
  readonly port: number;
  /** Resolves when the first bytes have been passed on. */
  readonly holding: Promise<void>;
  readonly finished: Promise<void>;
  release!: () => void;

  constructor(target: number, held: number) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: holding, resolve: hold } = Promise.withResolvers<void>();
    this.port = listener.addr.port;
    this.holding = holding;
    this.release = release;
    this.finished = (async () => {
      using client = await listener.accept();
      listener.close();
      using server = await Deno.connect({ hostname: "127.0.0.1", port: target });
      const buffer = new Uint8Array(4096);
      const count = await client.read(buffer) ?? 0;
      if (held > 0) await server.write(buffer.subarray(0, held));
      hold();
      await released;
      await server.write(buffer.slice(held, count));
      await Promise.all([pass(client, server), pass(server, client)]);
    })();
  }
}

async function pass(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(4096);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) break;
    for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
  }
  await to.closeWrite().catch(() => {}); // it has gone
}

const tls = { ca };
const CASES: [name: string, server: Partial<ServeOptions>, client: ConnectOptions][] = [
  ["a TLS handshake", { tls: { ...localhost } }, { tls }],
  ["a TLS handshake that is detected", { tls: { ...localhost, mode: "detect" } }, { tls }],
  ["a PROXY header", { proxyProtocol: "required", trusted: ["127.0.0.1"] }, {
    proxyHeader: {
      version: 2,
      source: { transport: "tcp", hostname: "192.0.2.1", port: 5 },
      destination: { transport: "tcp", hostname: "192.0.2.9", port: 80 },
    },
  }],
];

for (const [name, options, clientOptions] of CASES) {
  for (const transport of ["deno", "node"] as const) {
    const { ignore } = options.tls === undefined ? overNet : overTls;
    const isMissing = transport === "deno" && overDenoNet.ignore;
    const settings = { ...bounded, ignore: ignore || isMissing };
    Deno.test(`Server.shutdown() serves who is in ${name} (${transport})`, settings, async () => {
      for (const held of [0, 1, 20]) {
        const observer = recorder();
        let accepted = 0;
        const inner = listen({ port: 0, transport });
        const listener = listenerOver(inner, (connection) => {
          accepted++;
          return connection;
        });
        const server = serve({ ...options, listener, observer }, async (session) => {
          await session.send(`${await session.readLine()}!\n`);
        });
        const relay = new Relay(portOf(server), held);
        const dialed = connect({ ...clientOptions, hostname: "localhost", port: relay.port });
        await relay.holding;
        await until(() => accepted === 1);
        const stopped = server.shutdown();
        relay.release();
        const client = await dialed;
        await client.send("rose\n");
        assertEquals(await client.readLine(), "rose!");
        await client.close();
        await Promise.all([stopped, relay.finished]);
        assertEquals(observer.events.filter((event) => !/^(start|end)/.test(event)), [
          "listening",
          "draining",
          "closed",
        ]);
      }
    });
  }
}
