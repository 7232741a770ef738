import { getLevelByName, getLevelName, type LevelName, type LogLevel } from "./levels.ts";
import type { LogRecord } from "./logger.ts";

/** Makes the text of a record. */
export type FormatterFunction = (logRecord: LogRecord) => string;

export interface BaseHandlerOptions {
  /** @default the name of the level and the message */
  formatter?: FormatterFunction;
}

/** Passes records of its level and above to {@linkcode log}. */
export abstract class BaseHandler {
  formatter: FormatterFunction;
  #levelName: LevelName;
  #level: LogLevel;

  constructor(levelName: LevelName, options: BaseHandlerOptions = {}) {
    this.#levelName = levelName;
    this.#level = getLevelByName(levelName);
    this.formatter = options.formatter ?? (({ levelName, msg }) => `${levelName} ${msg}`);
  }

  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    this.#level = level;
    this.#levelName = getLevelName(level);
  }

  get levelName(): LevelName {
    return this.#levelName;
  }

  set levelName(name: LevelName) {
    this.#levelName = name;
    this.#level = getLevelByName(name);
  }

  handle(logRecord: LogRecord): void {
    if (this.level <= logRecord.level) this.log(this.format(logRecord));
  }

  format(logRecord: LogRecord): string {
    return this.formatter(logRecord);
  }

  abstract log(msg: string): void;

  /** Called by `setup()` before the first record. */
  setup(): void {}

  /** Called by the next `setup()`. */
  destroy(): void {}

  [Symbol.dispose](): void {
    this.destroy();
  }
}
