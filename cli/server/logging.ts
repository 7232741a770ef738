import {
  configureSync,
  getAnsiColorFormatter,
  getJsonLinesFormatter,
  getLogger,
  getTextFormatter,
  type Logger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";
import { standardError } from "../standard_error.ts";

/** What `--log-level` takes. */
export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error"];

/** How log records are written: what `--log-format` takes. */
export type LogFormat = "text" | "json";

/** Makes the program's logger. It writes to standard error: text, coloured on a terminal, or JSON lines. */
export function openLog(level: LogLevel, format: LogFormat): Logger {
  const toLine = formatter(format);
  configureSync({
    sinks: { stderr: (record) => standardError.push(toLine(record)) },
    loggers: [
      { category: "parley", sinks: ["stderr"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "error" },
    ],
  });
  const logger = getLogger("parley");
  standardError.onOmission = (count) => {
    logger.error("{count} messages were left out: nobody has read the log in time", { count });
  };
  return logger;
}

function formatter(format: LogFormat): (record: LogRecord) => string {
  if (format === "json") return getJsonLinesFormatter({ properties: "flatten" });
  const hasColour = Deno.stderr.isTerminal() && !Deno.noColor;
  return hasColour ? getAnsiColorFormatter() : getTextFormatter();
}
