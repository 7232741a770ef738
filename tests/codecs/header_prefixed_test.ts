import { assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type HeadedMessage,
  type HeadedMessageInit,
  headerOf,
  headerPrefixed,
  type HeaderPrefixedOptions,
} from "../../codecs/header_prefixed.ts";
import { FrameTooLargeError, MalformedFrameError, TruncatedFrameError } from "../../errors.ts";
import { concat, decode, encode, threeWays, toBytes } from "../_codecs.ts";
import { testEach } from "../_transports.ts";

const pure = { permissions: "none" } as const;

const LSP: HeaderPrefixedOptions = {};
const SIP: HeaderPrefixedOptions = { startLine: true, lengthHeader: ["Content-Length", "l"] };
const STOMP: HeaderPrefixedOptions = {
  startLine: true,
  lengthHeader: "content-length",
  ending: "\n",
  separator: ":",
  terminator: "\0",
};

type Message = [startLine: string, headers: [string, string][], body: string];

const CASES: [name: string, options: HeaderPrefixedOptions, input: string, messages: Message[]][] =
  [
    ["of LSP", LSP, 'Content-Length: 17\r\n\r\n{"jsonrpc":"2.0"}', [
      ["", [["Content-Length", "17"]], '{"jsonrpc":"2.0"}'],
    ]],
    [
      "of LSP with a type and other letters",
      LSP,
      "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:\t2 \r\n\r\n{}" +
      "CONTENT-LENGTH: 0\r\n\r\n",
      [
        ["", [
          ["Content-Type", "application/vscode-jsonrpc; charset=utf-8"],
          ["content-length", "2"],
        ], "{}"],
        ["", [["CONTENT-LENGTH", "0"]], ""],
      ],
    ],
    [
      "of SIP",
      SIP,
      "\r\n\r\nOPTIONS sip:carol@chicago.com SIP/2.0\r\nVia: a\r\nVia: b\r\nl: 4\r\n\r\nv=0\n",
      [[
        "OPTIONS sip:carol@chicago.com SIP/2.0",
        [["Via", "a"], ["Via", "b"], ["l", "4"]],
        "v=0\n",
      ]],
    ],
    ["of STOMP", STOMP, "\nCONNECT\naccept-version:1.2\nhost: a \r\n\n\0\n\r\n\n", [
      ["CONNECT", [["accept-version", "1.2"], ["host", " a "]], ""],
    ]],
    ["of STOMP with a length", STOMP, "SEND\ncontent-length:3\n\na\0b\0", [
      ["SEND", [["content-length", "3"]], "a\0b"],
    ]],
    ["of STOMP with an empty value", STOMP, "SEND\na:\n:\n\nx\0".replace("\n:\n", "\n"), [
      ["SEND", [["a", ""]], "x"],
    ]],
    [
      "with much in front and behind",
      LSP,
      `A: ${"x".repeat(3000)}\r\nContent-Length: 5000\r\n\r\n${"y".repeat(5000)}`,
      [
        ["", [["A", "x".repeat(3000)], ["Content-Length", "5000"]], "y".repeat(5000)],
      ],
    ],
    [
      "as long as they may be",
      { maxLength: 3, maxHeaderLength: 21 },
      "Content-Length: 3\r\n\r\nabc",
      [
        ["", [["Content-Length", "3"]], "abc"],
      ],
    ],
    ["in UTF-8", LSP, "A: ä\r\nContent-Length: 2\r\n\r\nä", [
      ["", [["A", "ä"], ["Content-Length", "2"]], "ä"],
    ]],
  ];

function toMessage([startLine, headers, body]: Message): HeadedMessage {
  return { startLine, headers, body: toBytes(body) };
}

for (const [name, options, input, written] of CASES) {
  const messages = written.map(toMessage);
  for (const [way, pieces] of threeWays(toBytes(input))) {
    Deno.test(`headerPrefixed() reads messages ${name}, ${way}`, pure, async () => {
      const { frames, error } = await decode(headerPrefixed(options), pieces);
      assertEquals(frames, messages);
      // Blank lines at the end belong to no message.
      assertEquals(error, undefined);
    });
  }
  Deno.test(`headerPrefixed() reads messages ${name}, glued to what follows`, pure, async () => {
    const glued = concat([toBytes(input), toBytes(input)]);
    assertEquals((await decode(headerPrefixed(options), [glued])).frames, [
      ...messages,
      ...messages,
    ]);
  });
}

type Kind = new (...args: never[]) => Error;

/** What is wrong with a message, after one that is right. */
const WRONG: [
  name: string,
  options: HeaderPrefixedOptions,
  input: string,
  kind: Kind,
  offset?: number,
][] = [
  ["without a length", LSP, "A: b\r\n\r\n", MalformedFrameError, 6],
  ["without a header", LSP, "\r\n", MalformedFrameError, 0],
  [
    "with two lengths",
    LSP,
    "Content-Length: 1\r\ncontent-length: 2\r\n\r\n",
    MalformedFrameError,
    19,
  ],
  [
    "with two equal lengths",
    SIP,
    "A\r\nContent-Length: 1\r\nl: 1\r\n\r\n",
    MalformedFrameError,
    22,
  ],
  ["with a signed length", LSP, "Content-Length: +1\r\n\r\n", MalformedFrameError, 16],
  ["with a length in hexadecimal", LSP, "Content-Length: 0x1\r\n\r\n", MalformedFrameError, 16],
  ["with a list of lengths", LSP, "Content-Length: 1, 1\r\n\r\n", MalformedFrameError, 16],
  ["with an empty length", LSP, "Content-Length:\r\n\r\n", MalformedFrameError],
  ["with a blank before the colon", LSP, "Content-Length : 1\r\n\r\n", MalformedFrameError, 14],
  ["with a folded header", LSP, "A: b\r\n c: d\r\n\r\n", MalformedFrameError, 6],
  ["with a header without a colon", LSP, "Content-Length\r\n\r\n", MalformedFrameError, 0],
  ["with a header without a name", LSP, ": 1\r\n\r\n", MalformedFrameError, 0],
  ["with a name beyond ASCII", LSP, "ä: 1\r\n\r\n", MalformedFrameError, 0],
  ["with a NUL in a name", LSP, "Content-Length\0: 1\r\n\r\n", MalformedFrameError, 14],
  ["with a bare LF", LSP, "A: b\nContent-Length: 1\r\n\r\n", MalformedFrameError, 4],
  ["with a bare CR", LSP, "A: b\rContent-Length: 1\r\n\r\n", MalformedFrameError, 4],
  ["with a bare CR in STOMP", STOMP, "SEND\na:b\rc\n\n\0", MalformedFrameError, 8],
  [
    "that does not end in its terminator",
    STOMP,
    "SEND\ncontent-length:1\n\nab",
    MalformedFrameError,
    24,
  ],
  [
    "with a body over maxLength",
    { ...LSP, maxLength: 3 },
    "Content-Length: 4\r\n\r\n",
    FrameTooLargeError,
  ],
  [
    "with a length that no number holds",
    LSP,
    `Content-Length: ${"9".repeat(400)}\r\n\r\n`,
    FrameTooLargeError,
  ],
  [
    "with a length that no number holds, where too long ones are dropped",
    { ...LSP, onTooLong: () => {} },
    `Content-Length: ${"9".repeat(400)}\r\n\r\n`,
    FrameTooLargeError,
  ],
  [
    "with too much in front",
    { ...LSP, maxHeaderLength: 30 },
    `A: ${"x".repeat(40)}`,
    FrameTooLargeError,
  ],
  [
    "with too many headers",
    { ...LSP, maxHeaderLength: 30 },
    "A: b\r\n".repeat(6),
    FrameTooLargeError,
  ],
  [
    "up to a terminator that does not come",
    { ...STOMP, maxLength: 3 },
    "SEND\n\nabcd",
    FrameTooLargeError,
  ],
  ["cut off in front", LSP, "Content-Le", TruncatedFrameError],
  ["cut off in the body", LSP, "Content-Length: 5\r\n\r\nabc", TruncatedFrameError],
  ["cut off before the terminator", STOMP, "SEND\n\nabc", TruncatedFrameError],
];

for (const [name, options, input, kind, offset] of WRONG) {
  const right: HeadedMessageInit = {
    ...(options.startLine && { startLine: "A" }),
    body: "abc",
  };
  for (const way of [0, 1, 2] as const) {
    Deno.test(
      `headerPrefixed() refuses a message ${name}, ${threeWays(new Uint8Array(2))[way]![0]}`,
      pure,
      async () => {
        const codec = headerPrefixed(options);
        const all = concat([await encode(codec, [right]), toBytes(input)]);
        const { frames, error } = await decode(codec, threeWays(all)[way]![1]);
        assertEquals(frames.length, 1);
        assertInstanceOf(error, kind);
        if (offset !== undefined) assertEquals((error as MalformedFrameError).offset, offset);
      },
    );
  }
}

for (const way of [0, 1, 2] as const) {
  Deno.test(
    `headerPrefixed() drops bodies that are too long, ${threeWays(new Uint8Array(2))[way]![0]}`,
    pure,
    async () => {
      const events: unknown[] = [];
      const codec = headerPrefixed({
        ...STOMP,
        maxLength: 3,
        onTooLong: (length) => events.push(length),
      });
      const input = toBytes(
        "SEND\ncontent-length:5\n\nab\0cd\0SEND\n\nabc\0\nSEND\ncontent-length:4\n\nabcd\0SEND\n\n\0",
      );
      const { frames, error } = await decode(codec, threeWays(input)[way]![1]);
      assertEquals(error, undefined);
      assertEquals(frames.map(({ body }) => body), [toBytes("abc"), toBytes("")]);
      assertEquals(events, [5, 4]);
      const cut = await decode(codec, [toBytes("SEND\ncontent-length:5\n\nab")]);
      assertInstanceOf(cut.error, TruncatedFrameError);
      assertEquals([cut.error.received, cut.error.expected], [25, 29]);
    },
  );
}

Deno.test("headerPrefixed() sends what LSP, SIP and STOMP have", pure, async () => {
  assertEquals(
    await encode(headerPrefixed(LSP), [{ body: "{}" }, {}]),
    toBytes(
      "Content-Length: 2\r\n\r\n{}Content-Length: 0\r\n\r\n",
    ),
  );
  const ok = {
    startLine: "SIP/2.0 200 OK",
    headers: new Map([["Via", "a"]]),
    body: toBytes("v=0"),
  };
  assertEquals(
    await encode(headerPrefixed(SIP), [ok]),
    toBytes(
      "SIP/2.0 200 OK\r\nVia: a\r\nContent-Length: 3\r\n\r\nv=0",
    ),
  );
  assertEquals(
    await encode(headerPrefixed(STOMP), [{ startLine: "SEND", body: "ä" }]),
    toBytes(
      "SEND\ncontent-length:2\n\nä\0",
    ),
  );
});

Deno.test("headerPrefixed() refuses what it could not read again", pure, async () => {
  const wrong: [HeaderPrefixedOptions, HeadedMessageInit, Kind, string][] = [
    [LSP, { startLine: "x" }, TypeError, "must have no start line"],
    [SIP, {}, TypeError, "must have a start line"],
    [SIP, { startLine: "" }, TypeError, "must not be empty"],
    [SIP, { startLine: "a\r\nb" }, TypeError, "must not contain CR, LF or NUL"],
    [LSP, { headers: [["a b", "c"]] }, TypeError, 'visible ASCII without a colon, got "a b"'],
    [LSP, { headers: [["a:b", "c"]] }, TypeError, "visible ASCII"],
    [LSP, { headers: [["", "c"]] }, TypeError, "visible ASCII"],
    [LSP, { headers: [["a", "b\nc"]] }, TypeError, "the value of a must not contain"],
    [LSP, { headers: [["a", 1 as unknown as string]] }, TypeError, "got a number"],
    [LSP, { headers: [["content-LENGTH", "1"]] }, TypeError, "is added to each message"],
    [SIP, { startLine: "a", headers: [["L", "1"]] }, TypeError, "is added to each message"],
    [LSP, { body: 1 as unknown as string }, TypeError, "got a number"],
    [{ maxLength: 3 }, { body: "ää" }, FrameTooLargeError, "limit of 3"],
    [
      { maxHeaderLength: 30 },
      { headers: [["a", "ä".repeat(10)]] },
      FrameTooLargeError,
      "limit of 30",
    ],
  ];
  for (const [options, message, kind, words] of wrong) {
    await assertRejects(() => encode(headerPrefixed(options), [message]), kind, words);
  }
});

Deno.test("headerPrefixed() checks its options", pure, () => {
  const wrong: [HeaderPrefixedOptions, Kind, string][] = [
    [{ startLine: "no" as unknown as boolean }, TypeError, "startLine must be true or false"],
    [{ lengthHeader: "a b" }, TypeError, "visible ASCII"],
    [{ lengthHeader: [] }, TypeError, "must name a header"],
    [{ ending: "\r" as "\n" }, RangeError, "ending must be"],
    [{ separator: "=" as ":" }, RangeError, "separator must be"],
    [{ terminator: "ab" }, TypeError, "one character of ASCII"],
    [{ maxLength: 0 }, RangeError, "maxLength"],
    [{ maxHeaderLength: 0 }, RangeError, "maxHeaderLength"],
    [{ onTooLong: 1 as unknown as () => void }, TypeError, "onTooLong must be a function"],
  ];
  for (const [options, kind, words] of wrong) {
    assertThrows(() => headerPrefixed(options), kind, words);
  }
});

Deno.test("headerPrefixed() gives back what was sent, chopped anyhow", pure, async () => {
  const text = fc.string({ unit: "grapheme" }).filter((text) => !/[\r\n\0]/.test(text));
  const name = fc.stringMatching(/^[!-9;-~]{1,9}$/).filter((name) =>
    !["content-length", "l"].includes(name.toLowerCase())
  );
  await fc.assert(fc.asyncProperty(
    fc.constantFrom(LSP, SIP, STOMP),
    fc.array(fc.record({
      startLine: text.filter((text) => text !== ""),
      headers: fc.array(fc.tuple(name, text)),
      body: fc.uint8Array({ maxLength: 100 }),
    })),
    fc.array(fc.nat({ max: 40 }), { maxLength: 60 }),
    async (options, messages, cuts) => {
      const codec = headerPrefixed(options);
      const sent = messages.map(({ startLine, ...rest }) =>
        options.startLine ? { startLine, ...rest } : rest
      );
      const all = await encode(codec, sent);
      const pieces = [];
      let at = 0;
      for (const cut of cuts) pieces.push(all.subarray(at, at += cut));
      const { frames, error } = await decode(codec, [...pieces, all.subarray(at)]);
      assertEquals(error, undefined);
      const trim = (value: string) =>
        options === STOMP ? value : value.replace(/^[ \t]+|[ \t]+$/g, "");
      const lengthName = options === STOMP ? "content-length" : "Content-Length";
      assertEquals(
        frames,
        messages.map(({ startLine, headers, body }) => ({
          startLine: options.startLine ? startLine : "",
          headers: [
            ...headers.map(([name, value]): [string, string] => [name, trim(value)]),
            [lengthName, String(body.length)] as [string, string],
          ],
          body,
        })),
      );
    },
  ));
});

testEach("headerPrefixed() carries messages of LSP", async (open) => {
  await using opened = await open();
  const { session, peer } = opened;
  const frames = session.frames(headerPrefixed());
  await peer.send(
    'Content-Length: 38\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"x"} Content-Length: 2\r\n\r\n{}',
  );
  const message = await frames.read();
  assertEquals(headerOf(message!, "content-length"), "38");
  assertEquals(headerOf(message!, "content-type"), undefined);
  assertEquals(message!.body, toBytes('{"jsonrpc":"2.0","id":1,"method":"x"} '));
  assertEquals((await frames.read())?.body, toBytes("{}"));
  await frames.send({ body: "{}" });
  const expected = toBytes("Content-Length: 2\r\n\r\n{}");
  assertEquals(await peer.bytes(expected.length), expected);
});
