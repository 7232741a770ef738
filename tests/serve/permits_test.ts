import { assertEquals } from "@std/assert";
import { Permits } from "../../serve/permits.ts";

Deno.test("Permits.take() gives as many as the limit for each key", { permissions: "none" }, () => {
  const permits = new Permits(2);
  assertEquals(["a", "a", "a", "b", "b", "b"].map((key) => permits.take(key)), [
    true,
    true,
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("Permits.release() makes room for one more", { permissions: "none" }, () => {
  const permits = new Permits(2);
  for (const key of ["a", "a", "b", "b"]) permits.take(key);
  permits.release("a");
  assertEquals([permits.take("b"), permits.take("a"), permits.take("a")], [false, true, false]);
});

Deno.test("Permits keeps no key that nothing is held under", { permissions: "none" }, () => {
  const permits = new Permits(1);
  for (let i = 0; i < 1000; i++) {
    permits.take(`${i}`);
    permits.take(`${i}`); // refused: holds nothing
    permits.release(`${i}`);
  }
  assertEquals(permits.size, 0);
  permits.take("a");
  assertEquals(permits.size, 1);
  permits.release("a");
  assertEquals(permits.size, 0);
});
