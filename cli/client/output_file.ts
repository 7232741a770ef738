import { constants } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { systemErrors } from "../../mod.ts";
import { writeError } from "../program.ts";
import type { Sink } from "./relay_output.ts";

/**
 * The file of `--output`. Its old contents are deleted when the first bytes or the end of input come. So a failed dial
 * does not destroy a file.
 */
export class OutputFile implements Sink {
  readonly name: string;
  readonly #path: string;
  #file: FileHandle | undefined;
  /** Whether it has contents from before this run. */
  #isOld = false;

  constructor(path: string) {
    this.name = `--output ${path}`;
    this.#path = path;
  }

  async open(): Promise<void> {
    if (this.#file !== undefined) return;
    try {
      this.#file = await this.#create() ?? await this.#openOld();
    } catch (error) {
      throw error instanceof systemErrors.NotCapable ? error : writeError(error, this.name);
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#empty();
    return (await this.#file!.write(bytes)).bytesWritten;
  }

  async finish(): Promise<void> {
    try {
      await this.#empty();
    } catch (error) {
      throw writeError(error, this.name);
    }
  }

  async #empty(): Promise<void> {
    if (!this.#isOld) return;
    this.#isOld = false;
    await this.#file!.truncate();
  }

  async #create(): Promise<FileHandle | undefined> {
    try {
      return await open(this.#path, "wx");
    } catch (error) {
      if ((error as { code?: unknown }).code !== "EEXIST") throw error;
    }
  }

  /**
   * Opens an existing file, unless it is a symbolic link: the author of the link could choose which file is overwritten.
   * Deno does not support O_NOFOLLOW, and requires `--allow-read` to tell a link from a file.
   */
  async #openOld(): Promise<FileHandle> {
    const found = await lstat(this.#path);
    if (!found.isSymbolicLink()) {
      const file = await open(this.#path, constants.O_WRONLY);
      const opened = await file.stat();
      this.#isOld = found.isFile(); // a pipe or a device has no contents
      if (opened.dev === found.dev && opened.ino === found.ino) return file;
      await file.close(); // a link has replaced it meanwhile
    }
    throw new Error("it is a symbolic link, name the file that it leads to");
  }
}
