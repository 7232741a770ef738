import type { Bus } from "../../hub/mod.ts";
import type { Handler, Logger, SessionOptions } from "../../mod.ts";
import { chat } from "./services/chat.ts";
import { discard } from "./services/discard.ts";
import { echo } from "./services/echo.ts";
import { greeting } from "./services/greeting.ts";

/** The values of `--service`. */
export const SERVICES = ["greeting", "echo", "discard", "chat"] as const;

/** The name of a service. */
export type ServiceName = (typeof SERVICES)[number];

/** A service of the server. */
export interface Service {
  handler: Handler;
  /** Options of its sessions that differ from the defaults. */
  options?: SessionOptions;
}

/** The service with a name. `delay` is that of {@linkcode greeting}, `bus` and `logger` of {@linkcode chat}. */
export function serviceOf(
  name: ServiceName,
  delay: number,
  bus?: Bus,
  logger?: Logger,
): Service {
  switch (name) {
    case "greeting":
      return { handler: greeting(delay) };
    case "echo":
      return { handler: echo };
    case "discard":
      return { handler: discard };
    case "chat": // a client that does not read is disconnected at 64 KiB of unsent messages
      return {
        handler: chat(bus, logger),
        options: { highWaterMark: 16 * 1024, maxBufferedOutput: 64 * 1024 },
      };
  }
}
