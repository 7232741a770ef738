// A TCP proxy: passes bytes, half-closes and back-pressure in both directions.
//
//     deno run --allow-net examples/proxy.ts 8080 127.0.0.1:1234
//
// Then connect to port 8080 instead of 1234: deno run --allow-net client.ts --port 8080 rose

import {
  connect,
  formatAddress,
  serve,
  type Server,
  type Session,
  type TransportName,
} from "@parley/tcp";

/** Listens on `port` and relays each connection to `target`. */
export function proxy(
  port: number,
  target: { hostname: string; port: number },
  transport?: TransportName,
): Server {
  const options = transport === undefined ? {} : { transport };
  return serve({ port, ...options }, async (client) => {
    await using upstream = await connect({ ...target, ...options, signal: client.signal });
    await Promise.all([relay(client, upstream), relay(upstream, client)]);
  });
}

/** Borrowed chunks will do: `send()` copies small ones, and has written large ones when it resolves. */
async function relay(from: Session, to: Session): Promise<void> {
  try {
    for await (const chunk of from.bytes({ borrow: true })) await to.send(chunk);
    await to.closeWrite();
  } catch (error) { // if one side is lost, the other is aborted
    from.abort(error);
    to.abort(error);
    throw error;
  }
}

if (import.meta.main) {
  const [port, target, transport] = Deno.args;
  const url = URL.parse(`tcp://${target}`);
  if (port === undefined || !url?.port) {
    throw new TypeError(
      "wanted: a port to listen on, and where to relay to, such as 8080 127.0.0.1:1234",
    );
  }
  const server = proxy(
    Number(port),
    { hostname: url.hostname, port: Number(url.port) },
    transport as TransportName | undefined,
  );
  console.log(`relaying ${formatAddress(server.addr)} to ${target}`);
  await server.finished;
}
