// What runs on the build server, and what could be done with what it runs.

import { assert, assertEquals, assertGreater } from "@std/assert";
import { canRead } from "../_permissions.ts";

const ROOT = new URL("../../", import.meta.url);
/** A tag can be moved by whoever takes over an action's repository, a commit cannot. */
const PINNED = /^(\.\/\S+|[\w-]+\/[\w./-]+@[\da-f]{40} # v\d+\.\d+\.\d+)$/;

const read = (path: string): string => Deno.readTextFileSync(new URL(path, ROOT));

/** The values of a key, wherever it is. */
function valuesOf(yaml: string, key: string): string[] {
  const line = new RegExp(`^ *(?:- )?${key}: *(.*)$`, "gm");
  return [...yaml.matchAll(line)].map(([, value]) => value!);
}

/** The text of each job, by its name. */
function jobsOf(yaml: string): Map<string, string> {
  const [, jobs] = yaml.split("\njobs:\n");
  const texts = jobs!.split(/^ {2}(?=\w)/m).slice(1);
  return new Map(texts.map((text) => [text.slice(0, text.indexOf(":")), text]));
}

Deno.test("workflows take actions by their commits, and grant nothing but reading", {
  ignore: !canRead,
}, () => {
  const files = [...Deno.readDirSync(new URL(".github/workflows/", ROOT))];
  assertGreater(files.length, 0);
  for (const { name } of files) {
    const yaml = read(`.github/workflows/${name}`);
    for (const use of valuesOf(yaml, "uses")) assert(PINNED.test(use), `${name}: ${use}`);
    const [, top] = /^permissions:\n((?: .*\n)+)/m.exec(yaml)!;
    assertEquals(top, "  contents: read\n", name);
    assertEquals(valuesOf(yaml, "persist-credentials").length, yaml.split("checkout@").length - 1);
  }
});

Deno.test("workflows let only a job publish that runs nothing of the checkout", {
  ignore: !canRead,
}, () => {
  const mayPublish = [...Deno.readDirSync(new URL(".github/workflows/", ROOT))]
    .flatMap(({ name }) => [...jobsOf(read(`.github/workflows/${name}`))])
    .filter(([, job]) => job.includes("id-token"));
  assertEquals(mayPublish.map(([name]) => name), ["publish"]);
  const [[, job]] = mayPublish as [[string, string]];
  assertEquals(valuesOf(job, "needs"), ["gates"]);
  assertEquals(valuesOf(job, "environment").length, 1);
  assertEquals(valuesOf(job, "cache"), []);
  assertEquals(valuesOf(job, "run"), [
    'test "$GITHUB_REF_NAME" = "v$(jq --raw-output .version deno.json)"',
    "deno publish",
  ]);
});

Deno.test("workflows run the version of Deno that .ci/run asks for", { ignore: !canRead }, () => {
  const [version] = /(?<=^DENO_VERSION=).+/m.exec(read(".ci/run"))!;
  for (const name of ["ci", "publish"]) {
    assertEquals(valuesOf(read(`.github/workflows/${name}.yml`), "deno-version"), [version]);
  }
});
