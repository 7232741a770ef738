import { assertEquals, assertStringIncludes } from "@std/assert";
import { canRead, canRun, canWrite } from "../_permissions.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { scan } from "../../tools/_scan.ts";
import { checkImports } from "../../tools/check_imports.ts";

const EXPORTS = { ".": "./mod.ts", "./server": "./server.ts", "./session": "./session.ts" };
const TOOL = new URL("../../tools/check_imports.ts", import.meta.url).href;

const GOOD: [path: string, source: string][] = [
  ["errors.ts", "export class ClosedError extends Error {}"],
  ["_internal/utf8.ts", 'import { ClosedError } from "../errors.ts";'],
  ["codecs/mod.ts", 'export { lines } from "./lines.ts";'],
  ["codecs/lines.ts", 'import { decodeUtf8 } from "../_internal/utf8.ts";'],
  ["proxy_protocol/mod.ts", 'import { decodeV2 } from "./v2.ts";'],
  ["transport/proxied.ts", 'import { decodeProxyHeader } from "../proxy_protocol/mod.ts";'],
  ["transport/tcp.ts", "await Deno.connect({ port: 1 });"],
  ["transport/tls/connection.ts", 'import tls from "node:tls"; import "../connection.ts";'],
  ["session/reader.ts", 'import type { Codec } from "../codecs/codec.ts";'],
  ["session.ts", 'import { setImmediate } from "node:timers";'],
  ["session.ts", 'import type { SessionOptions } from "./session/options.ts";'],
  ["connect/reconnect.ts", 'import { connect } from "./connect.ts";'],
  ["requests/requests.ts", 'import { Call } from "./matching.ts"; import "../session.ts";'],
  ["workers/thread.ts", 'import "../serve/serve.ts"; await import(module);'],
  ["cli/server/nats.ts", "await import(specifier);"],
  ["datagram/udp.ts", 'import { createSocket } from "node:dgram"; Deno.listenDatagram(o);'],
  ["session.ts", '// import "./serve/serve.ts"; console.log(Deno.args)'],
  ["session.ts", "const hint = 'Deno.exit() and console.log()';"],
  ["cli/server/main.ts", 'import { parseArgs } from "@std/cli/parse-args"; parseArgs(Deno.args);'],
  [
    "cli/client/main.ts",
    'import { connect } from "../../mod.ts"; import "../options.ts"; Deno.exit(1);',
  ],
  ["cli/program.ts", 'import config from "../deno.json" with { type: "json" };'],
  ["server.ts", 'if (import.meta.main) await import("./cli/server/main.ts");'],
  ["examples/chat.ts", 'import { serve } from "@parley/tcp"; console.log(serve);'],
  ["bench/main.ts", 'import "npm:other"; if (import.meta.main) console.log(Deno.args);'],
  ["tests/session_test.ts", 'import fc from "fast-check"; import "../_internal/utf8.ts";'],
];

const BAD: [path: string, source: string, what: string][] = [
  ["errors.ts", 'import "./_internal/x.ts";', "imports ./_internal/x.ts"],
  ["_internal/x.ts", 'export * from "../codecs/lines.ts";', "imports ../codecs/lines.ts"],
  ["codecs/lines.ts", 'import "../proxy_protocol/mod.ts";', "imports ../proxy_protocol/mod.ts"],
  ["proxy_protocol/v1.ts", 'import "../codecs/lines.ts";', "imports ../codecs/lines.ts"],
  [
    "codecs/lines.ts",
    'import type { A } from "../transport/tcp.ts";',
    "imports ../transport/tcp.ts",
  ],
  ["session/reader.ts", 'import type { Session } from "../session.ts";', "imports ../session.ts"],
  ["session.ts", 'type S = import("./serve/serve.ts").Server;', "imports ./serve/serve.ts"],
  ["serve/serve.ts", 'import "../connect/connect.ts";', "imports ../connect/connect.ts"],
  [
    "connect/connect.ts",
    'import type { A } from "../serve/options.ts";',
    "imports ../serve/options.ts",
  ],
  ["mod.ts", 'export { serve } from "./server.ts";', "imports ./server.ts"],
  ["mod.ts", 'import("./cli/server/main.ts");', "imports ./cli/server/main.ts"],
  ["testing/mod.ts", 'import "../tests/_hostile.ts";', "imports ../tests/_hostile.ts"],
  ["session.ts", 'import "@std/cli";', "imports @std/cli"],
  ["session.ts", 'import "@std/assert";', "imports @std/assert"],
  ["cli/program.ts", 'import "fast-check";', "imports fast-check"],
  ["cli/program.ts", 'import "../std/cli/mod.ts";', "imports ../std/cli/mod.ts"],
  ["cli/program.ts", 'import "../_internal/x.ts";', "imports ../_internal/x.ts"],
  ["examples/chat.ts", 'import "../_internal/x.ts";', "imports ../_internal/x.ts"],
  ["session.ts", "await import(name);", "imports something computed"],
  ["workers/member.ts", "await import(module);", "imports something computed"],
  ["requests/x.ts", 'import "../workers/mod.ts";', "imports ../workers/mod.ts"],
  ["session.ts", "await import(`./${name}.ts`);", "imports something computed"],
  ["session.ts", 'import net from "node:net";', "imports node:net"],
  ["workers/x.ts", 'import "../datagram/mod.ts";', "imports ../datagram/mod.ts"],
  ["serve/serve.ts", "Deno.listenTls(options);", "uses Deno.listenTls"],
  ["cli/client/main.ts", "await Deno.connect(options);", "uses Deno.connect"],
  ["serve/serve.ts", "console.warn(1);", "uses console.warn"],
  ["session.ts", "`${Deno.stderr.writeSync(bytes)}`;", "uses Deno.stderr"],
  ["examples/chat.ts", "Deno.exit(0);", "uses Deno.exit"],
  ["connect/connect.ts", "if (import.meta.main) connect();", "uses import.meta.main"],
  ["stray.ts", "export {};", "belongs to no room"],
  ["session/reader.ts", 'import "./reader.ts";', "imports ./reader.ts"],
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
      const line = what === "belongs to no room" ? 1 : 3;
      assertEquals(found.map(({ rule: _, ...rest }) => rest), [{ path, line, what }]);
    });
  }
});

Deno.test("checkImports() wants no other entry to reach the command line", {
  permissions: "none",
}, () => {
  const found = checkImports(new Map([["cli/program.ts", ""]]), { "./cli": "./cli/program.ts" });
  assertEquals(found.map(({ what }) => what), ["is exported"]);
});

Deno.test("checkImports() finds a circle, types included", { permissions: "none" }, () => {
  const files = new Map([
    ["session/a.ts", 'import "./b.ts";'],
    ["session/b.ts", '\nimport type { C } from "./c.ts";'],
    ["session/c.ts", 'export * from "./a.ts";'],
    ["session/d.ts", 'import "./a.ts"; import "./b.ts";'],
  ]);
  assertEquals(checkImports(files, EXPORTS), [{
    path: "session/c.ts",
    line: 1,
    what: "imports ./a.ts",
    rule: "a circle: session/a.ts, session/b.ts, session/c.ts, session/a.ts",
  }]);
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
  const { code, stderr } = await run('export class Session {}\nimport "./serve/serve.ts";\n');
  assertEquals(code, 1);
  assertStringIncludes(
    stderr,
    "session.ts:2: imports ./serve/serve.ts (session.ts stands before serve)",
  );
});
