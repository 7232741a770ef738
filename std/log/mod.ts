/**
 * Stands in for `@std/log` in a checkout, which no npm package carries: what the two programs use of it, under its
 * names and with its types and behaviour. What is published imports the real one.
 *
 * @module
 */

export { BaseHandler, type BaseHandlerOptions, type FormatterFunction } from "./base_handler.ts";
export { getLogger } from "./get_logger.ts";
export { type LevelName, type LogLevel, LogLevelNames, LogLevels } from "./levels.ts";
export { Logger, type LoggerConfig, type LoggerOptions, LogRecord } from "./logger.ts";
export { type LogConfig, setup } from "./setup.ts";
