// A bare `deno test` grants nothing. A test that needs more asks here and reports itself as ignored.

import { isDenoFrom } from "../_internal/runtime.ts";

async function granted(descriptor: Deno.PermissionDescriptor): Promise<boolean> {
  return (await Deno.permissions.query(descriptor)).state === "granted";
}

export const canNet: boolean = await granted({ name: "net" });
export const canRead: boolean = await granted({ name: "read" });
export const canWrite: boolean = await granted({ name: "write" });
/** The only information about the system that is needed is the umask. */
export const canSys: boolean = await granted({ name: "sys" });
/** Whether the library listens on Unix sockets in this version of Deno. */
export const hasUnixListening: boolean = isDenoFrom("2.9.2");
/** Unix sockets are files as well. */
export const canUnix: boolean = canNet && canRead && canWrite && Deno.build.os !== "windows" &&
  hasUnixListening;

/** Tells whether a test may start `command`, looked up on the PATH as `--allow-run=command` does. */
export function canRun(command: string): Promise<boolean> {
  return granted({ name: "run", command });
}

/** Whether a test may start processes of Deno by `fork()` with `execPath: "deno"` and `env: {}`. */
export const canFork: boolean = await canRun("deno") &&
  await granted({ name: "env", variable: "NODE_V8_COVERAGE" });
