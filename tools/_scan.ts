/** The result of {@linkcode scan}. */
export interface Scan {
  /** The source with comments, literals and regular expressions blanked out, line by line the same. */
  readonly code: string;
  /** Every import and re-export: static, dynamic, or of types only. */
  readonly imports: readonly ImportSite[];
}

/** One import. */
export interface ImportSite {
  readonly line: number;
  /** `undefined` if it is computed at run time. */
  readonly specifier: string | undefined;
}

const TOKEN =
  /(?<space>\s+)|(?<comment>\/\/.*|\/\*[^]*?\*\/)|(?<string>"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*')|(?<word>[\w$]+)|\+\+|--|[^]/uy;
const TEMPLATE_TEXT = /(?:\\[^]|\$(?!\{)|[^\\`$])*(?:`|\$\{|$)/uy;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^\\/[\n])+\/[a-z]*/uy;

// A `/` after one of these divides; after anything else it starts a regular expression.
const VALUE_END = /^(?:[\w$]+|[)\]}"'`]|\+\+|--)$/;
const OPERATOR_WORD =
  /^(?:await|case|delete|do|else|in|instanceof|new|of|return|throw|typeof|void|yield)$/;

/** Finds the imports of a module and the code that is neither a comment nor a literal. */
export function scan(source: string): Scan {
  const imports: ImportSite[] = [];
  // How many braces are open within each `${…}` around the current position.
  const holes: number[] = [];
  let code = "";
  let at = 0;
  let line = 1;
  let last = "";
  let beforeLast = "";

  function take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = at;
    return pattern.exec(source);
  }
  function advance(text: string, shown: string): void {
    code += shown;
    at += text.length;
    line += text.split("\n").length - 1;
  }
  function see(token: string): void {
    beforeLast = last;
    last = token;
  }
  function templateText(): void {
    const text = take(TEMPLATE_TEXT)?.[0] ?? "";
    const end = text.endsWith("${") ? "${" : text.slice(-1);
    advance(text, blank(text.slice(0, -end.length)) + end);
    if (end === "${") holes.push(0);
    see(end === "${" ? "{" : "`");
  }

  for (let token = take(TOKEN); token; token = take(TOKEN)) {
    const text = token[0];
    const { space, comment, string } = token.groups ?? {};
    if (space || comment) {
      advance(text, blank(text));
      continue;
    }
    const computed = beforeLast === "import" && last === "(";
    if (string && (computed || last === "from" || last === "import")) {
      imports.push({ line, specifier: string.slice(1, -1) });
    } else if (computed) imports.push({ line, specifier: undefined });

    const regex = text === "/" && (!VALUE_END.test(last) || OPERATOR_WORD.test(last)) &&
      take(REGEX)?.[0];
    if (regex) {
      advance(regex, blank(regex));
      see('"');
    } else if (string) {
      advance(text, blank(text));
      see('"');
    } else if (text === "`") {
      advance(text, text);
      templateText();
    } else if (text === "}" && holes.at(-1) === 0) {
      holes.pop();
      advance(text, text);
      templateText();
    } else {
      if (holes.length > 0) holes[holes.length - 1]! += text === "{" ? 1 : text === "}" ? -1 : 0;
      advance(text, text);
      see(text);
    }
  }
  return { code, imports };
}

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}
