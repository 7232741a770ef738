import { assertArrayIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };

Deno.test("the doc-lint task names every entry point", { permissions: "none" }, () => {
  const named = config.tasks["doc-lint"].command.split(" ");
  assertArrayIncludes(named, Object.values(config.exports).map((path) => path.slice(2)));
});
