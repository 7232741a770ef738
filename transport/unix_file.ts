/** The file of a Unix socket: creating it, recognizing it, and moving it out of the way. */

import { lazy } from "./lazy.ts";
import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Stats } from "node:fs";
import process from "node:process";

/**
 * Creates a file with a mode, by way of the umask.
 *
 * Changing the mode afterwards is not safe: it goes by the name, and anyone who may change the directory can put a link to
 * another file there in between. That is so for a random name beside it, too (tried: it succeeded 2 times in 4,000). The
 * umask belongs to the whole process, so files that other threads create within these 30 µs get it as well.
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
 * Moves the file of a killed server out of the way, and returns its new name. Another server may replace the file at any
 * moment, in another thread or process. If the moved file proves to be that server's, it is put back.
 */
export function takeAside(path: string, found: Stats | undefined): string | undefined {
  if (!isSame(fileAt(path), found)) return;
  const aside = nameBeside(path);
  try {
    lazy.fs.renameSync(path, aside);
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return; // it was replaced
    if (!(error instanceof systemErrors.NotCapable)) throw error;
    return void lazy.fs.unlinkSync(path); // there is a permission for the path itself only
  }
  if (isSame(fileAt(aside), found)) return aside;
  putBack(aside, path);
}

/** Gives a moved file its name back, unless there is another file by now. */
export function putBack(aside: string, path: string): void {
  try {
    lazy.fs.linkSync(aside, path);
  } catch { /* there is a file */ }
  lazy.fs.unlinkSync(aside);
}

/** An unused name in the same directory. */
export function nameBeside(path: string): string {
  return `${path}.${crypto.randomUUID()}`;
}

/** The file with a name, if there is one. Links are not followed. */
export function fileAt(path: string): Stats | undefined {
  return lazy.fs.lstatSync(path, { throwIfNoEntry: false });
}

/** Whether both are the same file. A new file may get the inode number of a removed one, but not its time of birth. */
export function isSame(one: Stats | undefined, other: Stats | undefined): boolean {
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino &&
    one.birthtimeMs === other.birthtimeMs;
}
