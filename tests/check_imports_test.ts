import { assertEquals, assertStringIncludes } from "@std/assert";
import { canRead, canRun, canWrite } from "./_permissions.ts";
import { makeTempDir } from "./_temp_dir.ts";
import { scan } from "../tools/_scan.ts";
import { checkImports } from "../tools/check_imports.ts";

const EXPORTS = { ".": "./mod.ts", "./server": "./server.ts", "./session": "./session.ts" };
const TOOL = new URL("../tools/check_imports.ts", import.meta.url).href;

const GOOD: [path: string, source: string][] = [
  ["errors.ts", "export class ClosedError extends Error {}"],
  ["codecs/codec.ts", 'import { ClosedError } from "../errors.ts";'],
  ["transport/connection.ts", 'import type { Codec } from "../codecs/codec.ts";'],
  ["_internal/buffer.ts", 'import type { Connection } from "../transport/connection.ts";'],
  ["codecs/mod.ts", 'export { lines } from "./lines.ts";'],
  ["proxy_protocol.ts", 'import { decodeV2 } from "./proxy_protocol_v2.ts";'],
  ["proxy_protocol_v2.ts", 'import { decodeTlvs } from "./proxy_protocol_tlvs.ts";'],
  ["transport/proxy.ts", 'import { decodeProxyHeader } from "../proxy_protocol.ts";'],
  ["transport/tcp.ts", "await Deno.connect({ port: 1 });"],
  ["transport/tls.ts", 'import tls from "node:tls";'],
  ["session.ts", 'import { setImmediate } from "node:timers";'],
  ["session.ts", 'import type { SessionOptions } from "./session_options.ts";'],
  ["reconnect.ts", 'import { connect } from "./connect.ts";'],
  ["requests.ts", 'import { Call } from "./requests_matching.ts"; import "./session.ts";'],
  ["session.ts", '// import "./serve.ts"; console.log(Deno.args)'],
  ["session.ts", "const hint = 'Deno.exit() and console.log()';"],
  ["cli/server.ts", 'import { parseArgs } from "@std/cli/parse-args"; parseArgs(Deno.args);'],
  ["cli/client.ts", 'import { connect } from "../mod.ts"; import "./_format.ts"; Deno.exit(1);'],
  ["cli/server.ts", 'import config from "../deno.json" with { type: "json" };'],
  ["server.ts", 'if (import.meta.main) await import("./cli/server.ts");'],
  ["examples/chat.ts", 'import { serve } from "@parley/tcp"; console.log(serve);'],
  ["bench/main.ts", 'import "npm:other"; if (import.meta.main) console.log(Deno.args);'],
  ["tests/session_test.ts", 'import fc from "fast-check"; import "../_internal/buffer.ts";'],
];

const BAD: [path: string, source: string, what: string][] = [
  ["errors.ts", 'import "./_internal/x.ts";', "imports ./_internal/x.ts"],
  ["codecs/codec.ts", 'import "../_internal/x.ts";', "imports ../_internal/x.ts"],
  ["_internal/x.ts", 'export * from "../codecs/lines.ts";', "imports ../codecs/lines.ts"],
  ["codecs/lines.ts", 'import "../proxy_protocol.ts";', "imports ../proxy_protocol.ts"],
  ["proxy_protocol_v1.ts", 'import "./codecs/lines.ts";', "imports ./codecs/lines.ts"],
  [
    "codecs/lines.ts",
    'import type { A } from "../transport/tcp.ts";',
    "imports ../transport/tcp.ts",
  ],
  ["session.ts", 'type S = import("./serve.ts").Server;', "imports ./serve.ts"],
  ["serve.ts", 'import { connect } from "./connect.ts";', "imports ./connect.ts"],
  ["connect.ts", 'import type { A } from "./serve_options.ts";', "imports ./serve_options.ts"],
  ["connect.ts", 'import { serve } from "./serve.ts";', "imports ./serve.ts"],
  ["requests.ts", 'import "./reconnect.ts";', "imports ./reconnect.ts"],
  ["mod.ts", 'export { serve } from "./server.ts";', "imports ./server.ts"],
  ["mod.ts", 'import("./cli/server.ts");', "imports ./cli/server.ts"],
  ["testing.ts", 'import "./tests/_hostile.ts";', "imports ./tests/_hostile.ts"],
  ["session.ts", 'import "@std/cli";', "imports @std/cli"],
  ["session.ts", 'import "@std/assert";', "imports @std/assert"],
  ["cli/server.ts", 'import "fast-check";', "imports fast-check"],
  ["cli/server.ts", 'import "../std/cli/mod.ts";', "imports ../std/cli/mod.ts"],
  ["cli/server.ts", 'import "../_internal/x.ts";', "imports ../_internal/x.ts"],
  ["examples/chat.ts", 'import "../_internal/x.ts";', "imports ../_internal/x.ts"],
  ["session.ts", "await import(name);", "imports something computed"],
  ["session.ts", "await import(`./${name}.ts`);", "imports something computed"],
  ["session.ts", 'import net from "node:net";', "imports node:net"],
  ["serve.ts", "Deno.listenTls(options);", "uses Deno.listenTls"],
  ["cli/client.ts", "await Deno.connect(options);", "uses Deno.connect"],
  ["serve.ts", "console.warn(1);", "uses console.warn"],
  ["session.ts", "`${Deno.stderr.writeSync(bytes)}`;", "uses Deno.stderr"],
  ["examples/chat.ts", "Deno.exit(0);", "uses Deno.exit"],
  ["connect.ts", "if (import.meta.main) connect();", "uses import.meta.main"],
  ["stray.ts", "export {};", "belongs to no layer"],
];

Deno.test("checkImports() lets a package through that keeps the rules", {
  permissions: "none",
}, async (t) => {
  for (const [path, source] of GOOD) {
    await t.step(`${path}: ${source}`, () => {
      assertEquals(checkImports(new Map([[path, source]]), EXPORTS), []);
    });
  }
});

Deno.test("checkImports() names the file, the line and the rule", {
  permissions: "none",
}, async (t) => {
  for (const [path, source, what] of BAD) {
    await t.step(`${path}: ${source}`, () => {
      const found = checkImports(new Map([[path, `\n\n${source}`]]), EXPORTS);
      const line = what === "belongs to no layer" ? 1 : 3;
      assertEquals(found.map(({ rule: _, ...rest }) => rest), [{ path, line, what }]);
    });
  }
});

Deno.test("checkImports() wants no other entry to reach the command line", {
  permissions: "none",
}, () => {
  const found = checkImports(new Map([["cli/server.ts", ""]]), { "./cli": "./cli/server.ts" });
  assertEquals(found.map(({ what }) => what), ["is exported"]);
});

Deno.test("scan() tells code from comments, strings, templates and regular expressions", {
  permissions: "none",
}, () => {
  const { code, imports } = scan([
    "const a = `\" ${ { b: `'${1 / 2}` }.b } console.log`;",
    "const r = /[\"'/`]/.test(a) ? 4 / 2 : 6 / 3; /* import 'no' */",
    'import { x } from "./x.ts"; // import "no"',
    'const text = "import \\"no\\""; return /`/;',
    "export * from './y.ts';",
  ].join("\n"));
  assertEquals(imports, [{ line: 3, specifier: "./x.ts" }, { line: 5, specifier: "./y.ts" }]);
  assertEquals(code.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim()), [
    "const a = ` ${ { b: ` ${1 / 2}` }.b } `;",
    "const r = .test(a) ? 4 / 2 : 6 / 3;",
    "import { x } from ;",
    "const text = ; return ;",
    "export * from ;",
  ]);
});

Deno.test("check_imports.ts fails for a tree that breaks a rule", {
  ignore: !canRead || !canWrite || !await canRun("deno"),
}, async () => {
  await using dir = await makeTempDir();
  const run = async (session: string): Promise<{ code: number; stderr: string }> => {
    await Deno.writeTextFile(`${dir.path}/session.ts`, session);
    const command = new Deno.Command("deno", {
      args: ["run", "--no-config", `--allow-read=${dir.path}`, TOOL, dir.path],
      env: { NO_COLOR: "1" },
    });
    const { code, stderr } = await command.output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  };
  await Deno.mkdir(`${dir.path}/std/cli`, { recursive: true });
  await Deno.writeTextFile(`${dir.path}/std/cli/mod.ts`, 'export * from "npm:anything";');
  await Deno.writeTextFile(`${dir.path}/deno.json`, JSON.stringify({ exports: EXPORTS }));

  assertEquals((await run("export class Session {}\n")).code, 0);
  const { code, stderr } = await run('export class Session {}\nimport "./serve.ts";\n');
  assertEquals(code, 1);
  assertStringIncludes(stderr, "session.ts:2: imports ./serve.ts (session stands left of serve");
});
