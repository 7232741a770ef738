/** A directory that is removed with all its contents when it is disposed of. */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
}

/** Makes an empty directory. */
export async function makeTempDir(): Promise<TempDir> {
  const path = await Deno.makeTempDir({ prefix: "parley-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
