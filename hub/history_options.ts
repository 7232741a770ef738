import { checkInteger } from "../_internal/checks.ts";
import { elsewhere, type Known } from "../_internal/options.ts";

/** How many entries, and about how many bytes, are read at a time. */
export const PAGE_LENGTH = 100;
export const PAGE_SIZE: number = 64 * 1024;

/** What a bus with a history keeps. */
export interface HistoryOptions {
  /**
   * How many messages of each group are kept, at least while they are not too old. The broker may keep some 100 more. 1 to
   * 1,000,000.
   *
   * @default {1000}
   */
  maxMessages?: number;
  /**
   * How long messages are kept, in milliseconds. A group to which nothing is published for so long takes nothing in the
   * broker. 1,000 to 2^31 - 1.
   *
   * @default {86_400_000}
   */
  maxAge?: number;
}

export const HISTORY_OPTIONS: Known<HistoryOptions> = {
  maxMessages: elsewhere,
  maxAge: elsewhere,
};

const MIN_AGE = 1000;
const MAX_AGE = 2 ** 31 - 1;

export function resolveHistoryOptions(
  { maxMessages = 1000, maxAge = 86_400_000 }: HistoryOptions,
): Required<HistoryOptions> {
  return {
    maxMessages: checkInteger("history.maxMessages", maxMessages, 1, 1_000_000),
    maxAge: checkInteger("history.maxAge", maxAge, MIN_AGE, MAX_AGE),
  };
}
