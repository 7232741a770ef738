// Compiles programs into a cache, so that only changed ones are compiled again.

import { outputOf } from "./process.ts";

/** What to compile. */
export interface Build {
  /** The name of the program in the cache. */
  readonly name: string;
  /** The command. `OUT` stands for the file to make or, with a `result`, for its folder. */
  readonly command: readonly string[];
  /** The file that the command makes in the folder `OUT`. */
  readonly result?: string;
  /** The files that it depends on. */
  readonly sources: readonly URL[];
  /** The compiler's version. */
  readonly version: string;
}

/** Compiles a program unless it is in the cache. Returns its path. Throws with the output of the compiler. */
export async function build({ name, command, result, sources, version }: Build): Promise<string> {
  const parts = [version, ...command];
  for (const source of sources) parts.push(await Deno.readTextFile(source));
  const key = (await sha256(parts.join("\0"))).slice(0, 16);
  const out = `${await cache()}/${name}-${key}`;
  const program = result === undefined ? out : `${out}/${result}`;
  if (await exists(program)) return program;
  const [compiler, ...args] = command.map((part) => part === "OUT" ? out : part);
  const { success, stderr } = await new Deno.Command(compiler!, { args, stdin: "null" }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  return program;
}

/** The folder of the cache. */
export async function cache(): Promise<string> {
  const folder = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`;
  await Deno.mkdir(`${folder}/parley-bench`, { recursive: true });
  return `${folder}/parley-bench`;
}

/** The paths of a certificate for localhost and of its key; `undefined` if openssl is missing. */
export async function certificate(): Promise<[cert: string, key: string] | undefined> {
  const folder = await cache();
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  if (await exists(cert)) return [cert, key];
  const words =
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650";
  const made = await outputOf([
    ...words.split(" "),
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
    ...["-keyout", key, "-out", cert],
  ]);
  return made === undefined ? undefined : [cert, key];
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function sha256(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(bytes).toHex();
}
