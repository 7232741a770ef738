import { handlers, loggers } from "./_registry.ts";
import type { BaseHandler } from "./base_handler.ts";
import { Logger, type LoggerConfig } from "./logger.ts";

/** The handlers, and the loggers that write to them. */
export interface LogConfig {
  handlers?: Record<string, BaseHandler>;
  loggers?: Record<string, LoggerConfig>;
}

/** Replaces all handlers and loggers. */
export function setup(config: LogConfig): void {
  for (const handler of handlers.values()) handler.destroy();
  handlers.clear();
  loggers.clear();
  for (const [name, handler] of Object.entries(config.handlers ?? {})) {
    handler.setup();
    handlers.set(name, handler);
  }
  for (
    const [name, { level = "INFO", handlers: names = [] }] of Object.entries(config.loggers ?? {})
  ) {
    const known = names.map((name) => handlers.get(name)).filter((one) => one !== undefined);
    loggers.set(name, new Logger(name, level, { handlers: known }));
  }
}
