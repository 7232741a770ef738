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
import { writeAll } from "../program.ts";

/** What `--log-level` takes. */
export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error"];

/** How log records are written: what `--log-format` takes. */
export type LogFormat = "text" | "json";

/** Makes the program's logger. It writes to standard error: text, coloured on a terminal, or JSON lines. */
export function openLog(level: LogLevel, format: LogFormat): Logger {
  const toLine = formatter(format);
  configureSync({
    sinks: { stderr: (record) => writeAll(Deno.stderr, toLine(record)) },
    loggers: [
      { category: "parley", sinks: ["stderr"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "error" },
    ],
  });
  return getLogger("parley");
}

function formatter(format: LogFormat): (record: LogRecord) => string {
  if (format === "json") return getJsonLinesFormatter({ properties: "flatten" });
  const hasColour = Deno.stderr.isTerminal() && !Deno.noColor;
  return hasColour ? getAnsiColorFormatter() : getTextFormatter();
}
