/**
 * Captures: what sessions read and write, in a file that Wireshark opens.
 *
 * A capture shows each session as a TCP stream between its real addresses, with the times, and with comments that say why
 * it has ended. What was inside TLS is in the clear. So the file holds everything that clients send, passwords too: only
 * its owner can read it. A session that is not captured costs nothing.
 *
 * @example
 * ```ts ignore
 * import { serve } from "@parley/tcp";
 * import { capture } from "@parley/tcp/capture";
 *
 * const server = serve({ port: 1234 }, (session) => session.send("welcome!"));
 * await using captured = capture(server, "/tmp/greetings.pcapng");
 * await server.finished;
 * console.log(captured.stats());
 * ```
 *
 * @module
 */

export {
  type Capture,
  capture,
  type CaptureOptions,
  type CaptureStats,
  openCapture,
} from "./capture.ts";
export type { Server } from "../serve/serve.ts";
export type { Session } from "../session.ts";
