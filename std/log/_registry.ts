import type { BaseHandler } from "./base_handler.ts";
import type { Logger } from "./logger.ts";

/** The loggers of the last `setup()`, by name. */
export const handlers: Map<string, BaseHandler> = new Map();
export const loggers: Map<string, Logger> = new Map();
