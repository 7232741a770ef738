import { writeError } from "../program.ts";
import type { Sink } from "./relay_output.ts";

/**
 * The file of `--output`. What it holds goes when the first bytes come, or the end does: a server that cannot be
 * reached costs nobody a file.
 */
export class OutputFile implements Sink {
  readonly name: string;
  readonly #path: string;
  #file: Deno.FsFile | undefined;
  /** Whether it holds something that is not of this run. */
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
   * Opens what is there, unless it is a symbolic link: whoever has put that there would choose which file is lost.
   * Deno takes no O_NOFOLLOW, and wants `--allow-read` to tell a link from a file.
   */
  async #openOld(): Promise<Deno.FsFile> {
    const { isFile, isSymlink, dev, ino } = await Deno.lstat(this.#path);
    if (!isSymlink) {
      const file = await Deno.open(this.#path, { write: true });
      const opened = await file.stat();
      this.#isOld = isFile; // a pipe or a device holds nothing
      if (opened.dev === dev && opened.ino === ino) return file;
      file.close(); // a link has taken its place meanwhile
    }
    throw new Error("it is a symbolic link, name the file that it leads to");
  }
}
