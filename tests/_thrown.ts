// Values that may be thrown, and dangerous text that a peer may put into them.

/** Text that moves the cursor, forges a line, reverses text, or begins an escape sequence without an end. */
export const DISTURBING: readonly string[] = [
  "\x1b[2J",
  "\x1b]0;title",
  "\x1b",
  "\x9b31m",
  "\x7f\b\b\b",
  "a\nERROR forged\r\n",
  "\u2028line\u2029paragraph",
  "\u202eturned\u202c \u2066isolated\u2069",
  "half a pair: \ud83d",
  "\0",
];

/** Whether a text has anything of that kind. The caller checks for line feeds. */
export function isDisturbing(text: string): boolean {
  // deno-lint-ignore no-control-regex
  return /[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/.test(text) ||
    !text.isWellFormed();
}

function thrower(): never {
  throw new Error("no");
}

const HOSTILE = new Proxy(thrower, {
  get: thrower,
  getPrototypeOf: thrower,
  ownKeys: thrower,
  getOwnPropertyDescriptor: thrower,
  has: thrower,
});
const revoked = Proxy.revocable({}, {});
revoked.revoke();
const circular: Record<string, unknown> = { name: "circular" };
circular["self"] = circular;
const ownCause = new Error("its own cause");
ownCause.cause = ownCause;
const ownMessage = new Error("");
Object.assign(ownMessage, { message: ownMessage });

/** Values that a handler can throw, by name. */
export const THROWN: readonly [what: string, thrown: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["a symbol", Symbol("rose")],
  ["a bigint", 10n],
  ["NaN", NaN],
  ["an empty text", ""],
  ["a function", thrower],
  ["an object without a prototype", Object.create(null)],
  ["a proxy that throws", HOSTILE],
  ["a revoked proxy", revoked.proxy],
  ["a circular object", circular],
  ["an object that has no text", { toString: thrower, valueOf: thrower }],
  ["an object whose getters throw", {
    get name() {
      return thrower();
    },
    get message() {
      return thrower();
    },
    get stack() {
      return thrower();
    },
  }],
  ["an object that does not want to be looked at", {
    [Symbol.for("nodejs.util.inspect.custom")]: thrower,
    [Symbol.for("Deno.customInspect")]: thrower,
    toJSON: thrower,
  }],
  [
    "an error whose getters throw",
    Object.defineProperties(new Error("x"), {
      name: { get: thrower },
      message: { get: thrower },
      stack: { get: thrower },
      cause: { get: thrower },
      code: { get: thrower },
    }),
  ],
  [
    "an error of proxies",
    Object.assign(new Error("x"), {
      message: HOSTILE,
      stack: HOSTILE,
      cause: HOSTILE,
      errors: HOSTILE,
      code: HOSTILE,
    }),
  ],
  [
    "an error of symbols",
    Object.assign(new Error("x"), { message: Symbol("m"), name: Symbol("n"), code: Symbol("c") }),
  ],
  ["an error without a stack", Object.assign(new Error("x"), { stack: undefined })],
  ["its own cause", ownCause],
  ["its own message", ownMessage],
  [
    "errors of errors",
    new AggregateError(
      [1, 2, 3].map((i) => new AggregateError([new Error(`${i}`), i, null], "some")),
      "all",
    ),
  ],
  ["a huge text", "x".repeat(10_000_000)],
  ["an error with a huge message", new Error("\x1b".repeat(10_000_000))],
  [
    "an error with a huge stack",
    Object.assign(new Error("x"), { stack: "Error: x\n    at y".repeat(1_000_000) }),
  ],
  ["a huge array", new Array(1_000_000).fill("\x1b")],
  ...DISTURBING.flatMap((text): [string, unknown][] => [
    [`the text ${JSON.stringify(text)}`, text],
    [
      `an error of ${JSON.stringify(text)}`,
      Object.assign(new Error(text, { cause: text }), { name: text, code: text }),
    ],
    [`an object of ${JSON.stringify(text)}`, { [text]: text, [Symbol(text)]: [text] }],
  ]),
];
