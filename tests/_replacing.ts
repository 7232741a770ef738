// Replaces a server under load: by one that gets the same socket, or by one that shares its port.

import { assertEquals } from "@std/assert";
import type { TlsCertificate, TlsClientOptions } from "../mod.ts";
import { Holder } from "./_holder.ts";
import { Load, type Met } from "./_load.ts";
import { Program } from "./_programs.ts";

const SERVER = ["run", "--quiet", "-A", "tests/_replaceable_server.ts"];
/** How many visits each server gets, at least. */
const VISITS = 20;

/** The options of TLS of a server and its clients. */
interface Tls {
  server: TlsCertificate;
  client: TlsClientOptions;
}

/** The parent holds the socket, as systemd does: clients wait while no server runs. */
export async function replacePassed(times: number, path?: string, tls?: Tls): Promise<Met> {
  const command = ["deno", ...SERVER, JSON.stringify({ where: null, tls: tls?.server })];
  await using holder = await Holder.open([path === undefined ? {} : { path }], command);
  await holder.start();
  const load = new Load({
    ...(path === undefined ? { port: holder.ports[0]! } : { path }),
    ...(tls && { tls: tls.client }),
  });
  {
    await using _ = load;
    await load.passes(VISITS);
    for (let count = 0; count < times; count++) {
      assertEquals(await holder.stop(), 0, holder.stderr);
      await holder.start();
      await load.passes(VISITS);
    }
  }
  await holder.stop();
  return load;
}

/** Starts a server. The first line that it prints is its address. */
export async function startReplaceable(where: object, drainDelay: number): Promise<Program> {
  const program = new Program("deno", [...SERVER, JSON.stringify({ where, drainDelay })]);
  await program.stdout.until(/\n/);
  return program;
}

/** The next server shares the port with the last one until that one has gone. */
export async function replaceSharing(times: number, drainDelay: number): Promise<Met> {
  let port = 0;
  const start = async (): Promise<Program> => {
    const where = { port, reusePort: true, transport: "node" };
    const program = await startReplaceable(where, drainDelay);
    port = JSON.parse(program.stdout.text).port;
    return program;
  };
  let server = await start();
  const load = new Load({ port });
  {
    await using _ = load;
    await load.passes(VISITS);
    for (let count = 0; count < times; count++) {
      const next = await start();
      await load.passes(VISITS);
      server.kill("SIGTERM");
      assertEquals((await server.ended()).code, 0);
      await server[Symbol.asyncDispose]();
      server = next;
      await load.passes(VISITS);
    }
  }
  await server[Symbol.asyncDispose]();
  return load;
}

if (import.meta.main) {
  const [how, times, drainDelay] = Deno.args;
  const { faults, refused, visits, replies, moves } = how === "passed"
    ? await replacePassed(Number(times))
    : await replaceSharing(Number(times), Number(drainDelay));
  console.log(JSON.stringify({ faults, refused, visits, replies, moves }));
}
