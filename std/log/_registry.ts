import type { BaseHandler } from "./base_handler.ts";
import type { Logger } from "./logger.ts";

/** What the last `setup()` has made, by name. */
export const handlers: Map<string, BaseHandler> = new Map();
export const loggers: Map<string, Logger> = new Map();
