// A real Redis server for the buses, whatever client they use.

import { Program } from "../_programs.ts";
import { makeTempDir } from "../_temp_dir.ts";
import type { Bus, RedisBusOptions } from "../../hub/mod.ts";
import type { Broker } from "./_brokers.ts";

/** Makes a bus with the clients of one library, to the server at a path. */
export type MakeBus = (
  path: string,
  options: RedisBusOptions,
) => Promise<{ bus: Bus; end(): void }>;

async function startServer(directory: string, path: string): Promise<Program> {
  const args = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", directory];
  args.push("--appendonly", "yes", "--appendfsync", "always"); // or a kill may lose a second
  const program = new Program("redis-server", args);
  await program.stdout.until(/ready to accept connections/i);
  return program;
}

export async function redisBroker(make: MakeBus): Promise<Broker & { readonly path: string }> {
  const directory = await makeTempDir();
  const path = `${directory.path}/redis.sock`;
  let program = await startServer(directory.path, path);
  const made: { end(): void }[] = [];
  return {
    path,
    async bus(prefix, history): Promise<Bus> {
      const one = await make(path, { ...(prefix !== undefined && { prefix }), history });
      made.push(one);
      return one.bus;
    },
    signal: (signal) => program.kill(signal),
    kill: () => program[Symbol.asyncDispose](),
    async restart(): Promise<void> {
      program = await startServer(directory.path, path);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const { end } of made) end();
      await program[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}
