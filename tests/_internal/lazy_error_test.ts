import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { LazyError } from "../../_internal/lazy_error.ts";

Deno.test(
  "LazyError makes its error once, and only when somebody gets it",
  { permissions: "none" },
  () => {
    let made = 0;
    const lazy = new LazyError(() => new RangeError(`number ${++made}`));
    assert(!lazy.is(new RangeError("number 1")));
    assert(!lazy.is(undefined));
    assertEquals(made, 0);
    const { error } = lazy;
    assertEquals(error.message, "number 1");
    assertStrictEquals(lazy.error, error);
    assert(lazy.is(error));
    assertEquals(made, 1);
  },
);
