// What servers do in a process whose descriptors a flood has taken: one that has none left dies of little things, such as
// the first stack that is printed.

import { assertEquals, assertFalse, assertMatch } from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import type { Session } from "../../session.ts";
import { hardLimit } from "../_attacked.ts";
import { currentDefault } from "../_default_transport.ts";
import { canRun, canUnix } from "../_permissions.ts";
import { Program } from "../_programs.ts";
import { ask, bounded } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { ca, localhost, localhostFiles, overTls } from "../_tls_serving.ts";

const canExhaust = !overTls.ignore && Deno.build.os === "linux" &&
  await canRun("bash") && await canRun("deno");
const mayOpen = await hardLimit();
/** So many clients come for whom there is no descriptor. */
const MORE = 50;

/** What a server says then, unless it is so slow under TLS that the first of a flood have to go before the last come. */
const EXHAUSTED = /Too many open files|no handshake within 5000 ms/;

/** Where a server listens. */
interface Place {
  readonly transport: "plain" | "tls" | "unix";
  /** Where its socket is, if it is a Unix socket. */
  readonly path: string;
}

/** Who tells of what goes wrong, how such a server is started, and how many descriptors it has. */
const REPORTERS: [name: string, argumentsFor: (place: Place) => string[], limits: number[]][] = [
  ["serve()", (place) => library(place, false), [64, 256, 4096]],
  ["serve({ logger: console })", (place) => library(place, true), [64, 256]],
  ["server.ts", (place) => program(place, "text"), [64, 256]],
  ["server.ts --log-format json", (place) => program(place, "json"), [64, 256, 4096]],
];

function library({ transport, path }: Place, log: boolean): string[] {
  const where = transport === "unix" ? { path } : { port: 0 };
  const tls = transport === "tls" && { tls: localhost, handshakeTimeout: 60_000 };
  const options = { ...where, ...tls, log };
  return [
    "tests/_exhausted_server.ts",
    JSON.stringify(options),
    JSON.stringify(currentDefault()),
  ];
}

function program({ transport, path }: Place, format: string): string[] {
  const { certFile, keyFile } = localhostFiles;
  return [
    ...["server.ts", "--service", "echo", "--log-format", format],
    ...["--transport", currentDefault().transport],
    ...(transport === "unix" ? ["--unix", path] : ["--port", "0"]),
    ...(transport === "tls" ? ["--tls-cert", certFile, "--tls-key", keyFile] : []),
  ];
}

/** Starts `deno run ARGS` in a process that may open so many descriptors. */
function start(limit: number, args: string[]): Program {
  const script = `ulimit -c 0 -n ${limit} && exec deno run --quiet "$@"`;
  return new Program("bash", ["-c", script, "bash", ...args], { NO_COLOR: "1" });
}

/** A server in a process that may open so many descriptors. */
class Exhausted implements AsyncDisposable {
  readonly program: Program;
  readonly #address: Deno.ConnectOptions | Deno.UnixConnectOptions;
  readonly #options: ConnectOptions;

  private constructor(program: Program, { transport, path }: Place, port: number) {
    this.program = program;
    this.#address = transport === "unix" ? { transport, path } : { port };
    const where = transport === "unix" ? { path } : { port };
    const tls = transport === "tls" && { tls: { ca } };
    this.#options = { ...where, ...tls, connectTimeout: Infinity, idleTimeout: Infinity };
  }

  static async start(limit: number, place: Place, args: string[]): Promise<Exhausted> {
    const { certFile, keyFile } = localhostFiles;
    const files = [
      `--allow-read=${place.path},${certFile},${keyFile}`,
      `--allow-write=${place.path}`,
    ];
    const program = start(limit, ["--allow-net", ...files, ...args]);
    const output = args[0] === "server.ts" ? program.stderr : program.stdout;
    try {
      const [, port] = await output.until(/listening on (?:\/|127\.0\.0\.1:(\d+)\b)/);
      return new Exhausted(program, place, Number(port));
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
  }

  dial(): Promise<Session> {
    return connect(this.#options);
  }

  /** Connects so many times below TLS, or, on a Unix socket, until the server takes no more. */
  async flood(count: number): Promise<Deno.Conn[]> {
    const flood: Deno.Conn[] = [];
    while (flood.length < count) {
      try {
        flood.push(await Deno.connect(this.#address as Deno.ConnectOptions));
      } catch (error) { // its backlog is full
        if (!(error instanceof Deno.errors.WouldBlock)) throw error;
        if (EXHAUSTED.test(this.program.stderr.text)) break;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    return flood;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

for (const transport of ["plain", "tls", "unix"] as const) {
  for (const [reporter, argumentsFor, limits] of REPORTERS) {
    for (const limit of limits) {
      Deno.test(`${reporter} survives a flood of ${limit} descriptors over ${transport}`, {
        ...bounded,
        ignore: !canExhaust || mayOpen < limit + MORE + 100 || transport === "unix" && !canUnix,
      }, async () => {
        await using directory = await makeTempDir();
        const place = { transport, path: `${directory.path}/socket` };
        await using server = await Exhausted.start(limit, place, argumentsFor(place));
        const { stdout, stderr } = server.program;
        await using early = await server.dial();
        await using failing = await server.dial();
        assertEquals(await ask(early, "rose"), "rose");
        assertEquals(await ask(failing, "jo"), "jo");

        const flood = await server.flood(limit + MORE);
        try {
          await stderr.until(EXHAUSTED);
          for (const conn of flood) conn.write(new TextEncoder().encode("hi\n")).catch(() => {});
          if (reporter.startsWith("serve(")) {
            await failing.send("fail\n");
            await stderr.until(/as you wish/);
          }
          assertEquals(await ask(early, "still"), "still");
        } finally {
          for (const conn of flood) conn.close();
        }
        await using late = await server.dial();
        assertEquals(await ask(late, "think"), "think");

        for (const client of [early, failing, late]) client.abort();
        server.program.kill("SIGTERM");
        const { code } = await server.program.ended();
        if (reporter.startsWith("server.ts")) assertEquals(code, 0);
        assertFalse(/panicked/.test(stdout.text + stderr.text), stderr.text);
      });
    }
  }
}

Deno.test("serve() has the runtime ready for a process without any descriptor", {
  ...bounded,
  ignore: !canExhaust,
}, async () => {
  const flags = ["--allow-net", "--allow-read=/dev/null"];
  await using program = start(64, [...flags, "tests/_exhausting.ts"]);
  const { code, stdout, stderr } = await program.ended();
  assertEquals([code, stdout], [0, "EMFILE\n"], stderr);
  assertMatch(stderr, /^RangeError: .*\n +at /);
});
