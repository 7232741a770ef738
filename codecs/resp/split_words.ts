const SPACE = /[ \t\n\v\f\r]+/y;
/** A word and what it has in quotes: `plain`, `"a\x00b"`, `'it\'s'`. */
const WORD =
  /([^ \t\n\v\f\r"']*)(?:"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\'|\\(?!'))*)')?(?=[ \t\n\v\f\r]|$)/y;
const ESCAPE = /\\(?:x([\da-f]{2})|([^]))/gi;
const CONTROLS: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

/** Splits a line into words; `undefined` if a quote is not closed, or is followed by anything but space. */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  for (let at = 0;;) {
    SPACE.lastIndex = at;
    if (SPACE.test(line)) at = SPACE.lastIndex;
    if (at === line.length) return words;
    WORD.lastIndex = at;
    const match = WORD.exec(line);
    if (match === null) return undefined;
    const [, plain, double = "", single = ""] = match;
    words.push(plain + unescape(double) + single.replaceAll("\\'", "'"));
    at = WORD.lastIndex;
  }
}

function unescape(text: string): string {
  return text.replace(
    ESCAPE,
    (_, hex: string | undefined, other: string) =>
      hex === undefined ? CONTROLS[other] ?? other : String.fromCharCode(parseInt(hex, 16)),
  );
}
