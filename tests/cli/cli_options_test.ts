import { assertEquals, assertThrows } from "@std/assert";
import { durationOption, listOption, modeOption, sizeOption } from "../../cli/options.ts";
import { type Arguments, UsageError } from "../../cli/program.ts";

/** A command line with this one option. */
function given(name: string, value?: string): Arguments {
  return { options: value === undefined ? {} : { [name]: value }, flags: new Set(), names: [] };
}

Deno.test(
  "durationOption() takes a time with its unit, or milliseconds",
  { permissions: "none" },
  () => {
    const times: Record<string, number> = {
      "1ms": 1,
      "500ms": 500,
      "0030s": 30_000,
      "10m": 600_000,
      "1h": 3_600_000,
      "30": 30,
      "2147483647": 2_147_483_647,
      "596h": 2_145_600_000,
      "2147483647ms": 2_147_483_647,
      "none": Infinity,
    };
    for (const [text, duration] of Object.entries(times)) {
      assertEquals(durationOption(given("time", text), "time", 7), duration, text);
    }
    assertEquals(durationOption(given("time"), "time", 7), 7);
  },
);

Deno.test("durationOption() refuses everything else", { permissions: "none" }, () => {
  for (
    const text of ["0", "-30", "0ms", "2147483648ms", "1d", "1.5s", "s", " 1s", "1S", "toString"]
  ) {
    const problem = "--time must be a time from 1ms to 596h, such as 500ms";
    const error = assertThrows(
      () => durationOption(given("time", text), "time", 7),
      UsageError,
      problem,
    );
    assertEquals(error.message.endsWith(`got ${JSON.stringify(text)}`), true, error.message);
  }
});

Deno.test("listOption() splits at commas", { permissions: "none" }, () => {
  assertEquals(listOption(given("list", "a,b , c"), "list"), ["a", "b", "c"]);
  assertEquals(listOption(given("list", "a,"), "list"), ["a", ""]);
  assertEquals(listOption(given("list"), "list"), undefined);
});

Deno.test("modeOption() takes octal digits", { permissions: "none" }, () => {
  assertEquals(modeOption(given("mode", "660"), "mode"), 0o660);
  assertEquals(modeOption(given("mode", "0007"), "mode"), 0o007);
  assertEquals(modeOption(given("mode"), "mode"), undefined);
  for (const text of ["60", "1660", "668", "0o660", "-660"]) {
    assertThrows(() => modeOption(given("mode", text), "mode"), UsageError, `got "${text}"`);
  }
});

const LIMITS = ["1000", "1048576G"] as const;

Deno.test("sizeOption() takes a size with its unit, or bytes", { permissions: "none" }, () => {
  const sizes: Record<string, number> = {
    "1000": 1000,
    "1K": 1024,
    "064M": 64 * 1024 * 1024,
    "1G": 2 ** 30,
    "1048576G": 2 ** 50,
    "none": Infinity,
  };
  for (const [text, size] of Object.entries(sizes)) {
    assertEquals(sizeOption(given("size", text), "size", LIMITS), size, text);
  }
  assertEquals(sizeOption(given("size"), "size", LIMITS), undefined);
  for (const wrong of ["999", "1048577G", "1k", "1 M", "1MB", "-1M", "M", "", "Infinity"]) {
    const error = assertThrows(() => sizeOption(given("size", wrong), "size", LIMITS), UsageError);
    assertEquals(
      error.message,
      "--size must be a size from 1000 to 1048576G, such as 500K, 64M or 1G, a number of bytes, or none, " +
        `got ${JSON.stringify(wrong)}`,
    );
  }
});
