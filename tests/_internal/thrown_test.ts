import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { printable } from "../../_internal/printable.ts";
import { factsOf, stackOf, textOf } from "../../_internal/thrown.ts";
import { DISTURBING, isDisturbing, THROWN } from "../_thrown.ts";

Deno.test(
  "printable() escapes what disturbs a terminal, and nothing else",
  { permissions: "none" },
  () => {
    const good = "rose 100% {id} żółw 🐢 👩‍🌾 李 \u0301 \u200f~";
    assertEquals(printable(good), good);
    assertEquals(
      printable("\x1b[2J\n\r\t\x7f\x9b\u2028\u202e\ud83d"),
      "\\x1b[2J\\n\\r\\t\\x7f\\x9b\\u2028\\u202e\\ud83d",
    );
    for (const text of DISTURBING) {
      const shown = printable(text);
      assertFalse(isDisturbing(shown) || shown.includes("\n"), shown);
      assertEquals(printable(shown), shown);
    }
    for (let code = 0; code < 0x10000; code++) {
      const char = String.fromCharCode(code);
      assertFalse(isDisturbing(printable(char)), code.toString(16));
      if (!isDisturbing(char) && char !== "\n") assertEquals(printable(char), char);
    }
  },
);

Deno.test("textOf() has a line for whatever was thrown", { permissions: "none" }, () => {
  for (const [what, thrown] of THROWN) {
    const text = textOf(thrown);
    assertFalse(isDisturbing(text) || text.includes("\n"), `${what}: ${text}`);
    assert(text.length < 50_000, `${what}: ${text.length}`);
  }
  assertEquals(textOf(new TypeError("no such room")), "TypeError: no such room");
  assertEquals(textOf(new Error("")), "Error");
  assertEquals(textOf({ status: 404 }), "{ status: 404 }");
  assertEquals(textOf("x".repeat(10_000)), `${"x".repeat(8192)}… (1808 characters more)`);
});

Deno.test("stackOf() shows the stack and the causes of whatever was thrown", {
  permissions: "none",
}, () => {
  for (const [what, thrown] of THROWN) {
    const [first, ...others] = stackOf(thrown).split("\n");
    assertEquals(first, textOf(thrown), what);
    for (const line of others) assertMatch(line, /^( +at |caused by )/, what);
    assertFalse(isDisturbing(others.join("\n")), what);
  }
  const cause = new TypeError("rose\n    at forged (file:///x.ts:1:1)");
  const lines = stackOf(new Error("no such room", { cause })).split("\n");
  assertEquals(lines[0], "Error: no such room");
  assertMatch(lines[1]!, /^ +at .*thrown_test\.ts:\d+:\d+/);
  const at = lines.indexOf("caused by TypeError: rose\\n    at forged (file:///x.ts:1:1)");
  assertMatch(lines[at + 1]!, /^ +at .*thrown_test\.ts:\d+:\d+/);
});

Deno.test("factsOf() makes plain values of whatever was thrown", { permissions: "none" }, () => {
  for (const [what, thrown] of THROWN) {
    const json = JSON.stringify(factsOf(thrown));
    assertFalse(isDisturbing(json), `${what}: ${json}`);
    assert(json.length < 2_000_000, `${what}: ${json.length}`);
  }
  const error = Object.assign(new RangeError("too many", { cause: "rose" }), { code: "E_MANY" });
  assertEquals(factsOf(error), {
    name: "RangeError",
    message: "too many",
    code: "E_MANY",
    causes: ["rose"],
  });
});
