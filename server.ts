/**
 * The server: {@linkcode serve}. Run as a program, this module is the greeting service, or
 * with `--service` an echo, a discard or a chat service, over TCP, TLS or a Unix socket.
 *
 * ```sh
 * deno run --allow-net jsr:@parley/tcp/server --help
 * ```
 *
 * @example
 * ```ts
 * import { serve } from "@parley/tcp/server";
 *
 * await using server = serve({ port: 0 }, (session) => session.send("welcome!"));
 * console.log(await server.listening);
 * ```
 *
 * @module
 */

export {
  type Handler,
  type MemoryStats,
  type RateStats,
  serve,
  type ServeOptions,
  type Server,
  type ServerStats,
  type SessionRate,
} from "./serve/serve.ts";
export type {
  LogFields,
  Logger,
  MemoryPressure,
  MemoryPressureEvent,
  Refusal,
  RefusalReason,
  ServerObserver,
  ServerState,
} from "./serve/observer.ts";

if (import.meta.main) {
  const { main } = await import("./cli/server/main.ts");
  await main();
}
