/**
 * The client: {@linkcode connect}. Run as a program, this module talks to the greeting service.
 *
 * ```sh
 * deno run --allow-net jsr:@parley/tcp/client --help
 * ```
 *
 * @example
 * ```ts
 * import type { NetAddr } from "@parley/tcp";
 * import { connect } from "@parley/tcp/client";
 * import { serve } from "@parley/tcp/server";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("welcome!"));
 *
 * await using session = await connect({ port: (server.addr as NetAddr).port });
 * for await (const text of session) console.log(text);
 * ```
 *
 * @module
 */

export { connect, type ConnectOptions } from "./connect/connect.ts";

if (import.meta.main) {
  const { main } = await import("./cli/client/main.ts");
  await main();
}
