// The machine and the commit of a run.

import { outputOf } from "./process.ts";

const ROOT = new URL("../../", import.meta.url);

/** The machine, as far as figures depend on it. */
export async function describeMachine(): Promise<Record<string, string | number>> {
  const cpus = await Deno.readTextFile("/proc/cpuinfo");
  return {
    cpu: /^model name\s*: (.*)$/m.exec(cpus)?.[1] ?? Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    memoryMiB: Math.round(Deno.systemMemoryInfo().total / 2 ** 20),
    kernel: Deno.osRelease(),
  };
}

/** The commit that is checked out, and whether anything but the results differs from it. */
export async function describeCheckout(): Promise<{ commit: string; isDirty: boolean }> {
  const git = (...args: string[]) => outputOf(["git", ...args], { cwd: ROOT });
  const commit = await git("rev-parse", "HEAD");
  const results = [":(exclude)bench/results.json", ":(exclude)bench/charts"];
  const changes = await git("status", "--porcelain", "--", ".", ...results);
  return { commit: commit ?? "none", isDirty: changes !== "" };
}
