/** C0, DEL and C1, unpaired surrogates, separators of lines, and what embeds, isolates or overrides a direction. */
const DISTURBING = /[\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/gu;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Text as a terminal and a log can take it: in one line, with escapes in place of what would move the cursor, begin
 * another line or turn text around.
 *
 * Whatever a peer has sent or named goes through this before it is shown. Errors quote it, too.
 *
 * @param text The text.
 * @returns The same with `\n`, `\r`, `\t`, `\x1b`, `\u202e` and the like.
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
