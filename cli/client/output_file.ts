import { writeError } from "../program.ts";
import type { Sink } from "./relay_output.ts";

/**
 * The file of `--output`. Its old contents are deleted when the first bytes or the end of input come. So a failed dial
 * does not destroy a file.
 */
export class OutputFile implements Sink {
  readonly name: string;
  readonly #path: string;
  #file: Deno.FsFile | undefined;
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
      throw error instanceof Deno.errors.NotCapable ? error : writeError(error, this.name);
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#empty();
    return await this.#file!.write(bytes);
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

  async #create(): Promise<Deno.FsFile | undefined> {
    try {
      return await Deno.open(this.#path, { write: true, createNew: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }

  /**
   * Opens an existing file, unless it is a symbolic link: the author of the link could choose which file is overwritten.
   * Deno does not support O_NOFOLLOW, and requires `--allow-read` to tell a link from a file.
   */
  async #openOld(): Promise<Deno.FsFile> {
    const { isFile, isSymlink, dev, ino } = await Deno.lstat(this.#path);
    if (!isSymlink) {
      const file = await Deno.open(this.#path, { write: true });
      const opened = await file.stat();
      this.#isOld = isFile; // a pipe or a device has no contents
      if (opened.dev === dev && opened.ino === ino) return file;
      file.close(); // a link has replaced it meanwhile
    }
    throw new Error("it is a symbolic link, name the file that it leads to");
  }
}
