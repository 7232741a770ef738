import {
  assertEquals,
  assertExists,
  assertInstanceOf,
  assertIsError,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

/** Checks as types check, not as the tests run: `A` and `B` are one type. */
function same<A, B>(_: Same<A, B>): void {}

class LimitError extends Error {
  readonly limit = 8;
}

Deno.test("parseArgs() types what its options name", { permissions: "none" }, () => {
  const args = parseArgs(["-p", "1", "--tag", "a", "--tag=b", "x", "2", "--no-color", "--", "y"], {
    string: ["port", "host", "tag", "log"],
    boolean: ["help", "color"],
    collect: ["tag"],
    negatable: ["color"],
    alias: { port: "p", help: ["h", "?"] },
    default: { color: true, host: "127.0.0.1", log: null },
    "--": true,
  });
  same<typeof args.port, string | undefined>(true);
  same<typeof args.p, string | undefined>(true);
  same<typeof args.host, string>(true);
  same<typeof args.log, string | null>(true);
  same<typeof args.tag, string[]>(true);
  same<typeof args.help, boolean>(true);
  same<typeof args.h, boolean>(true);
  same<typeof args._, (string | number)[]>(true);
  same<typeof args.other, unknown>(true);
  assertEquals({ ...args }, {
    port: "1",
    p: "1",
    host: "127.0.0.1",
    log: null,
    tag: ["a", "b"],
    help: false,
    h: false,
    "?": false,
    color: false,
    _: ["x", 2],
    "--": ["y"],
  });
});

Deno.test("parseArgs() hands what it does not know to `unknown`", { permissions: "none" }, () => {
  const unknown: string[] = [];
  const args = parseArgs(["--port=1", "--prot=2", "7"], {
    string: ["port", "_"],
    stopEarly: true,
    unknown: (arg) => unknown.push(arg) > 1,
  });
  same<typeof args._, string[]>(true);
  assertEquals(unknown, ["--prot=2", "7"]);
  assertEquals(args._, ["7"]);
});

Deno.test("assertions narrow types and hand on the error", { permissions: "none" }, async () => {
  const thrown = assertThrows(
    () => {
      throw new LimitError("too long");
    },
    LimitError,
    "long",
  );
  same<typeof thrown, LimitError>(true);
  const rejected = await assertRejects(() => Promise.reject(thrown), LimitError);
  same<typeof rejected, LimitError>(true);

  const first: unknown = rejected;
  assertInstanceOf(first, LimitError);
  assertStrictEquals(first.limit, 8);
  const second: unknown = rejected;
  assertIsError(second, LimitError, "too long");
  assertStrictEquals(second.limit, 8);
  const third: string | undefined = [second.message][0];
  assertExists(third);
  assertStrictEquals(third.length, 8);
});
