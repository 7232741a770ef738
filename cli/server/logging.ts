/** The server program's log: records of `@std/log`, as text or JSON lines on standard error. */

import type { Logger as SessionLogger } from "../../mod.ts";
import type { LogLevelControl } from "../../admin/mod.ts";
import { BaseHandler } from "@std/log/base-handler";
import { getLogger } from "@std/log/get-logger";
import type { LevelName } from "@std/log/levels";
import type { Logger, LogRecord } from "@std/log/logger";
import { setup } from "@std/log/setup";
import { isColourless, stderr } from "../standard_streams.ts";
import { standardError } from "../standard_error.ts";

const LEVELS = { debug: "DEBUG", info: "INFO", warning: "WARN", error: "ERROR" } as const;

/** A value of `--log-level`. */
export type LogLevel = keyof typeof LEVELS;

/** The values of `--log-level`. */
export const LOG_LEVELS = Object.keys(LEVELS) as readonly LogLevel[];

/** The format of log records: the values of `--log-format`. */
export type LogFormat = "text" | "json";

/**
 * Makes the program's logger. It writes to standard error: text, coloured on a terminal, or JSON lines. In a worker, they
 * name it, since each worker counts its sessions from 1.
 */
export function openLog(level: LogLevel, format: LogFormat, worker?: number): Logger {
  const levelName = LEVELS[level];
  setup({
    handlers: {
      stderr: new StandardErrorHandler(levelName, { formatter: formatter(format, worker) }),
    },
    loggers: { parley: { level: levelName, handlers: ["stderr"] } },
  });
  const logger = getLogger("parley");
  standardError.onOmission = (count) => {
    logger.error(`${count} messages were omitted: the log was not read in time`, { count });
  };
  return logger;
}

/** The level of the log, which can be changed while the program runs, for all its threads. */
export class LogLevelOf implements LogLevelControl {
  readonly levels: readonly string[] = LOG_LEVELS;
  /** The position of the level among all. Threads share it. */
  readonly shared: Int32Array;
  readonly #logger: Logger;
  /** The position that the logger has been set to. */
  #set: number;

  constructor(logger: Logger, level: LogLevel, shared?: Int32Array) {
    this.#logger = logger;
    this.#set = LOG_LEVELS.indexOf(level);
    this.shared = shared ?? new Int32Array(new SharedArrayBuffer(4)).fill(this.#set);
  }

  get level(): string {
    return LOG_LEVELS[this.#set]!;
  }

  set level(level: string) {
    Atomics.store(this.shared, 0, LOG_LEVELS.indexOf(level as LogLevel));
    this.follow();
  }

  /** Sets the logger as another thread may have set it, and returns it. */
  follow(): Logger {
    const now = Atomics.load(this.shared, 0);
    if (now !== this.#set) {
      this.#set = now;
      const levelName = LEVELS[LOG_LEVELS[now]!];
      this.#logger.levelName = levelName;
      for (const handler of this.#logger.handlers) handler.levelName = levelName;
    }
    return this.#logger;
  }
}

/** A logger whose level another thread may set. */
export function following(level: LogLevelOf): SessionLogger {
  return {
    debug: (message, fields) => void level.follow().debug(message, fields),
    info: (message, fields) => void level.follow().info(message, fields),
    warn: (message, fields) => void level.follow().warn(message, fields),
    error: (message, fields) => void level.follow().error(message, fields),
  };
}

class StandardErrorHandler extends BaseHandler {
  override log(line: string): void {
    standardError.push(`${line}\n`);
  }
}

function formatter(
  format: LogFormat,
  worker: number | undefined,
): (record: LogRecord) => string {
  if (format === "json") return (record) => jsonLine(record, worker);
  const hasColour = stderr.isTerminal() && !isColourless();
  return (record) => textLine(record, worker, hasColour);
}

const COLOURS: Partial<Record<LevelName, number>> = { DEBUG: 34, INFO: 32, WARN: 33, ERROR: 31 };

/** Such as `2026-01-31 12:00:00.000 +00:00 [INF] parley: listening on 127.0.0.1:1234`. */
function textLine(
  { datetime, levelName, loggerName, msg }: LogRecord,
  worker: number | undefined,
  hasColour: boolean,
): string {
  const name = worker === undefined ? loggerName : `${loggerName}, worker ${worker}`;
  const time = datetime.toISOString().replace("T", " ").replace("Z", " +00:00");
  const level = levelName === "WARN" ? "WRN" : levelName.slice(0, 3);
  if (!hasColour) return `${time} [${level}] ${name}: ${msg}`;
  const colour = COLOURS[levelName as LevelName];
  return `\x1b[2m${time}\x1b[0m \x1b[1;${colour}m${level}\x1b[0m ${name}: ${msg}`;
}

/** The fields of a record are top-level properties, so that they can be queried by name. */
function jsonLine(
  { datetime, levelName, loggerName, msg, args: [fields] }: LogRecord,
  worker: number | undefined,
): string {
  return JSON.stringify({
    "@timestamp": datetime.toISOString(),
    level: levelName,
    message: msg,
    logger: loggerName,
    ...(worker !== undefined && { worker }),
    ...fields as object | undefined,
  });
}
