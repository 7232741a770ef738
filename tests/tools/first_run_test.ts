import { assertEquals, assertMatch } from "@std/assert";
import { makeTempDir } from "../_temp_dir.ts";
import { canRead, canRun, canWrite } from "../_permissions.ts";

Deno.test("the programs fetch what they need, and nothing that only tests need", {
  ignore: !canRead || !canWrite || !await canRun("deno"),
}, async () => {
  await using cache = await makeTempDir();
  for (const program of ["server.ts", "client.ts"]) {
    const { code, stdout, stderr } = await new Deno.Command("deno", {
      args: ["run", program, "--version"],
      cwd: new URL("../..", import.meta.url),
      env: { DENO_DIR: cache.path, DENO_COVERAGE_DIR: `${cache.path}/coverage`, NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stderr);
    assertEquals(code, 0, said);
    assertMatch(new TextDecoder().decode(stdout), /^@parley\/tcp \d/);
    const fetched = [...said.matchAll(/^Download \S+\/([^/\s]+)\.tgz$/gm)].map(([, name]) => name);
    assertEquals(fetched, program === "server.ts" ? ["deno-std-1.4.0"] : []);
  }
});
