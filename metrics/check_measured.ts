import { shown } from "../_internal/checks.ts";
import { textOf } from "../_internal/thrown.ts";
import type { Take } from "./definitions.ts";

/**
 * Throws unless all values can be taken. Otherwise, each scrape would fail later.
 *
 * @param demand What must be measured, for the message.
 * @param takeAll Takes all values, as for a scrape.
 */
export function checkMeasured(demand: string, takeAll: (take: Take) => void): void {
  try {
    takeAll((metric, value) => {
      if (typeof value === "number" || (typeof value === "object" && value !== null)) return;
      throw new TypeError(`${metric} would be ${shown(value)}`);
    });
  } catch (cause) {
    throw new TypeError(`${demand}: ${textOf(cause)}`, { cause });
  }
}
