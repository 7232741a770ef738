// A TCP proxy: passes bytes, half-closes and back-pressure through, both ways.
//
//     deno run --allow-net examples/proxy.ts 8080 127.0.0.1:1234
//
// Then talk to port 8080 as if it were the other: deno run --allow-net client.ts --port 8080 rose

import { connect, formatAddress, serve, type Server, type Session } from "@parley/tcp";

/** Listens on `port` and relays each connection to `target`. */
export function proxy(port: number, target: { hostname: string; port: number }): Server {
  return serve({ port }, async (client) => {
    await using upstream = await connect({ ...target, signal: client.signal });
    await Promise.all([relay(client, upstream), relay(upstream, client)]);
  });
}

/** The chunks are only lent: `send()` copies the small ones, and has written the large ones when it resolves. */
async function relay(from: Session, to: Session): Promise<void> {
  try {
    for await (const chunk of from.bytes({ borrow: true })) await to.send(chunk);
    await to.closeWrite();
  } catch (error) { // one side is lost: so is the other
    from.abort(error);
    to.abort(error);
    throw error;
  }
}

if (import.meta.main) {
  const [port, target] = Deno.args;
  const url = URL.parse(`tcp://${target}`);
  if (port === undefined || !url?.port) {
    throw new TypeError(
      "wanted: a port to listen on, and where to relay to, such as 8080 127.0.0.1:1234",
    );
  }
  const server = proxy(Number(port), { hostname: url.hostname, port: Number(url.port) });
  console.log(`relaying ${formatAddress(server.addr)} to ${target}`);
  await server.finished;
}
