/** The file of a Unix socket: making it, knowing it again, and getting it out of the way. */

import { systemErrors } from "../_internal/system_error_classes.ts";
import { linkSync, lstatSync, renameSync, type Stats, unlinkSync } from "node:fs";
import process from "node:process";

/**
 * Makes a file, under a umask that leaves it just its mode.
 *
 * To change the mode afterwards is not safe: it goes by the name, and whoever may change the directory can put a link
 * to another file there meanwhile. That holds for a random name beside it, too (tried: 2 times of 4,000). The umask is
 * the whole process's, so that what other threads make within these 30 µs has it as well.
 */
export function withMode<Result>(mode: number | undefined, make: () => Result): Result {
  if (mode === undefined) return make();
  const umask = process.umask(0o777 & ~mode);
  try {
    return make();
  } finally {
    process.umask(umask);
  }
}

/**
 * Takes the file of a server that was killed out of the way, and returns its other name. Another server may
 * replace it at any moment, in another thread or process: what proves to be that server's is put back.
 */
export function takeAside(path: string, found: Stats | undefined): string | undefined {
  if (!isSame(fileAt(path), found)) return;
  const aside = nameBeside(path);
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return; // it has
    if (!(error instanceof systemErrors.NotCapable)) throw error;
    return void unlinkSync(path); // only the path itself may be changed
  }
  if (isSame(fileAt(aside), found)) return aside;
  putBack(aside, path);
}

/** Gives a file its name back that was taken aside, unless there is another by now. */
export function putBack(aside: string, path: string): void {
  try {
    linkSync(aside, path);
  } catch { /* it is still there, or the next one is */ }
  unlinkSync(aside);
}

/** A name in the same directory that nobody has. */
export function nameBeside(path: string): string {
  return `${path}.${crypto.randomUUID()}`;
}

/** The file of a name, if there is one; a link is one by itself. */
export function fileAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Whether this is one file. A new one may be given the number of one that was just removed, but not its birth. */
export function isSame(one: Stats | undefined, other: Stats | undefined): boolean {
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino &&
    one.birthtimeMs === other.birthtimeMs;
}
