/** A package registry on loopback that speaks as much of JSR's protocol as publishing and importing need. */
export interface Registry extends AsyncDisposable {
  /** For `JSR_URL`. */
  readonly url: string;
  /** Stores a version of a package, each file under its path from the package's root. */
  add(name: string, version: string, files: ReadonlyMap<string, Uint8Array>): Promise<void>;
  /** The files of a stored version. */
  files(name: string, version: string): ReadonlyMap<string, Uint8Array>;
}

interface Release {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly exports: Record<string, string>;
  readonly manifest: Record<string, { size: number; checksum: string }>;
}

const PUBLISH =
  /^\/api\/scopes\/(?<scope>[^/]+)\/packages\/(?<name>[^/]+)\/versions\/(?<version>[^/]+)$/;
const PACKAGE = /^\/api\/scopes\/(?<scope>[^/]+)\/packages\/(?<name>[^/]+)$/;
const TASK = /^\/api\/publish_status\/(?<id>.+)$/;
const META = /^\/(?<name>@[^/]+\/[^/]+)\/meta\.json$/;
const VERSION_META = /^\/(?<name>@[^/]+\/[^/]+)\/(?<version>[^/]+)_meta\.json$/;
const FILE = /^\/(?<name>@[^/]+\/[^/]+)\/(?<version>[^/]+)\/(?<path>.+)$/;

/** Starts an empty registry. */
export function startRegistry(): Registry {
  const packages = new Map<string, Map<string, Release>>();

  async function add(
    name: string,
    version: string,
    files: ReadonlyMap<string, Uint8Array>,
  ): Promise<void> {
    const versions = packages.get(name) ?? new Map<string, Release>();
    packages.set(name, versions.set(version, await release(files)));
  }

  async function answer(request: Request): Promise<Response> {
    const path = decodeURIComponent(new URL(request.url).pathname);
    const publish = PUBLISH.exec(path)?.groups;
    if (publish && request.method === "POST" && request.body) {
      const { scope, name, version } = publish as Record<"scope" | "name" | "version", string>;
      await add(`@${scope}/${name}`, version, await untar(request.body));
      return Response.json({ id: `${scope}.${name}.${version}`, status: "pending", error: null });
    }
    const task = TASK.exec(path)?.groups;
    if (task) return Response.json({ id: task.id, status: "success", error: null });
    const known = PACKAGE.exec(path)?.groups;
    if (known) {
      return Response.json({ scope: known.scope, name: known.name, githubRepository: null });
    }

    const meta = META.exec(path)?.groups;
    if (meta) {
      const versions = packages.get(meta.name ?? "");
      return versions ? Response.json(packageMeta(meta.name ?? "", versions)) : notFound();
    }
    const { name = "", version = "", path: file = "" } = VERSION_META.exec(path)?.groups ??
      FILE.exec(path)?.groups ?? {};
    const found = packages.get(name)?.get(version);
    if (!found) return notFound();
    if (!file) return Response.json({ exports: found.exports, manifest: found.manifest });
    const bytes = found.files.get(file);
    return bytes ? new Response(bytes.slice()) : notFound();
  }

  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, answer);
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    add,
    files(name: string, version: string): ReadonlyMap<string, Uint8Array> {
      return packages.get(name)?.get(version)?.files ?? new Map();
    },
    [Symbol.asyncDispose](): Promise<void> {
      return server.shutdown();
    },
  };
}

function notFound(): Response {
  return new Response("not found", { status: 404 });
}

function packageMeta(name: string, versions: ReadonlyMap<string, Release>): unknown {
  const [scope, short] = name.slice(1).split("/");
  const list = [...versions.keys()];
  return {
    scope,
    name: short,
    latest: list.at(-1),
    versions: Object.fromEntries(list.map((version) => [version, {}])),
  };
}

async function release(files: ReadonlyMap<string, Uint8Array>): Promise<Release> {
  const config = JSON.parse(new TextDecoder().decode(files.get("deno.json")));
  const manifest: Release["manifest"] = {};
  for (const [path, bytes] of files) {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice()));
    manifest[`/${path}`] = { size: bytes.length, checksum: `sha256-${hash.toHex()}` };
  }
  const exports = typeof config.exports === "string" ? { ".": config.exports } : config.exports;
  return { files, exports, manifest };
}

/** Unpacks the regular files of a gzipped tar archive (POSIX 1003.1, ustar). */
async function untar(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<Map<string, Uint8Array>> {
  const BLOCK = 512;
  const tar = await new Response(body.pipeThrough(new DecompressionStream("gzip"))).bytes();
  const files = new Map<string, Uint8Array>();
  let at = 0;
  const field = (offset: number, length: number): string =>
    new TextDecoder().decode(tar.subarray(at + offset, at + offset + length)).replace(/\0.*$/s, "");
  while (at + BLOCK <= tar.length && tar[at] !== 0) {
    const name = field(0, 100);
    const size = parseInt(field(124, 12), 8);
    const type = field(156, 1);
    const prefix = field(345, 155);
    const start = at + BLOCK;
    if (type !== "5") {
      if (type !== "" && type !== "0") throw new Error(`tar entry of type ${type}: ${name}`);
      const path = (prefix ? `${prefix}/${name}` : name).replace(/^(\.?\/)+/, "");
      files.set(path, tar.slice(start, start + size));
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
