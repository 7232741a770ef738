import { loggers } from "./_registry.ts";
import { Logger } from "./logger.ts";

export type { Logger };

/** The logger with this name, or the default one. A logger that is not set up writes nothing. */
export function getLogger(name = "default"): Logger {
  let logger = loggers.get(name);
  if (logger !== undefined) return logger;
  if (name === "default") throw new Error("the default logger is not set up");
  logger = new Logger(name, "NOTSET");
  loggers.set(name, logger);
  return logger;
}
