/** The service: a handler for `serve()`. */

import type { Handler } from "@parley/tcp";
import { Client, Instance } from "./client.ts";
import {
  RespError,
  RespProtocolError,
  respServer,
  type RespServerOptions,
} from "@parley/tcp/codecs";
import { execute } from "./commands.ts";

/** An in-memory Redis. Each call makes one with its own data. */
export function redis(limits: RespServerOptions = {}): Handler {
  const instance = new Instance();
  return async (session) => {
    const codec = respServer({ ...limits, encoding: "binary" });
    const commands = session.frames(codec);
    const client = new Client(instance, session, codec, (reply) => commands.send(reply));
    try {
      for await (const command of commands) {
        const reply = execute(command, client);
        if (reply !== undefined) await commands.send(reply);
        if (client.isLeaving) break;
      }
    } catch (error) {
      if (!(error instanceof RespProtocolError)) throw error;
      await commands.send(new RespError(`ERR Protocol error: ${error.problem}`));
    } finally {
      client.leave();
    }
  };
}
