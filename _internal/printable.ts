/** C0, DEL and C1, lone surrogates, line separators, and characters that change the direction of text. */
const DISTURBING = /[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/gu;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Makes text safe for a terminal or a log: characters that would move the cursor, begin a line or change the direction of
 * text become escapes.
 *
 * Pass any text of a peer through it before you show it. Messages of errors may contain such text, too.
 *
 * @param text The text.
 * @returns The text in one line, with escapes such as `\n`, `\r`, `\t`, `\x1b` and `\u202e`.
 *
 * @example
 * ```ts
 * import { printable } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(printable("\x1b[2J rose\n"), "\\x1b[2J rose\\n");
 * ```
 */
export function printable(text: string): string {
  return text.replace(DISTURBING, escaped);
}

function escaped(char: string): string {
  const code = char.charCodeAt(0).toString(16);
  return SHORT[char] ??
    (code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`);
}
