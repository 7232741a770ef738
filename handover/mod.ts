/**
 * Handing sessions over to another process, so that clients keep their connections when a server is replaced.
 *
 * The old process calls {@linkcode handOver}, and the new one {@linkcode takeOver}. They are connected by the IPC channel
 * of `node:child_process`. A session is handed over with its unread input and what its handler gave to {@linkcode keep}.
 *
 * @example A server that starts its successor
 * ```ts ignore
 * import { fork } from "node:child_process";
 * import process from "node:process";
 * import { serve, type Session } from "@parley/tcp";
 * import { handOver, keep, kept, takeOver } from "@parley/tcp/handover";
 *
 * const server = serve({ port: 1234, transport: "node", reusePort: true }, async (session: Session) => {
 *   let count = kept(session) as number | undefined ?? 0;
 *   keep(session, count);
 *   for await (const line of session.lines()) {
 *     await session.send(`${++count} ${line}\n`);
 *     keep(session, count);
 *   }
 * });
 *
 * if (process.send !== undefined) { // it was started by its predecessor
 *   takeOver(server, process);
 *   process.send("ready");
 * }
 * process.on("SIGHUP", async () => {
 *   const successor = fork(new URL(import.meta.url));
 *   await new Promise((resolve) => successor.once("message", resolve));
 *   await handOver(server, successor);
 *   await server.shutdown();
 * });
 * ```
 *
 * @module
 */

export { handOver } from "./hand_over.ts";
export { keep, kept } from "./kept.ts";
export type { HandoverChannel } from "./messages.ts";
export { relayHandover, type RelayHandoverOptions, takeOver } from "./take_over.ts";
export type { Server } from "../serve/serve.ts";
export type { Session } from "../session.ts";
