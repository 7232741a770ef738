// What tests of servers with workers have in common.

import { assertRejects } from "@std/assert";
import { connect, type ConnectOptions, type Session, SessionEndedError } from "../../mod.ts";
import { canNet, canRead } from "../_permissions.ts";
import {
  serveWorkers,
  type ServeWorkersOptions,
  type WorkerEnd,
  type WorkersServer,
} from "../../workers/mod.ts";

/** Workers need Linux, and permission to read their modules. Starting threads takes a while where others work, too. */
export const withWorkers: { timeout: number; ignore: boolean } = {
  timeout: 120_000,
  ignore: !canNet || !canRead || Deno.build.os !== "linux",
};

/** The URL of a module beside this one. */
export function service(name: string): string {
  return import.meta.resolve(`./${name}.ts`);
}

/** What a server has said of its workers. */
export interface Deaths {
  server: WorkersServer;
  deaths: [worker: number, end: WorkerEnd][];
}

/** Serves the commands of `_service.ts`, and notes how workers die. */
export async function serveCommands(
  options: Partial<ServeWorkersOptions> = {},
): Promise<Deaths> {
  const deaths: Deaths["deaths"] = [];
  const server = serveWorkers(service("_service"), {
    port: 0,
    workers: 2,
    observer: { onWorkerEnd: (worker, end) => void deaths.push([worker, end]) },
    ...options,
  });
  await server.listening;
  return { server, deaths };
}

/** Connects to a server. */
export function dial({ addr }: WorkersServer, options: ConnectOptions = {}): Promise<Session> {
  return connect({ port: (addr as Deno.NetAddr).port, ...options });
}

/** Connects until there is a session in each of `count` threads. */
export async function dialEach(server: WorkersServer, count: number): Promise<Session[]> {
  const byThread = new Map<string, Session>();
  for (let tries = 0; byThread.size < count; tries++) {
    if (tries > 1000) throw new Error(`only ${byThread.size} workers serve`);
    const session = await dial(server);
    await session.send("thread\n");
    const thread = (await session.readLine())!;
    if (byThread.has(thread)) await session.close();
    else byThread.set(thread, session);
  }
  return [...byThread.values()];
}

/** Stops a server at once, and the clients. */
export async function stop(server: WorkersServer, clients: Session[] = []): Promise<void> {
  server.abort();
  await server.finished.catch(() => {});
  for (const client of clients) client.abort();
  await Promise.all(clients.map(({ closed }) => closed));
}

/** Has a worker die by a command, and sees the session end, not in an orderly way. */
export async function kill(client: Session, command = "die"): Promise<void> {
  await client.send(`${command}\n`);
  await assertRejects(async () => {
    for await (const _ of client);
  }, SessionEndedError);
}
