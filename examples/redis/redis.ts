/** The service: a handler for `serve()`. */

import type { Handler } from "@parley/tcp";
import { Client, Instance } from "./client.ts";
import { ProtocolError, Resp, type RespLimits } from "./codec.ts";
import { execute } from "./commands.ts";

/** An in-memory Redis. Each call makes one with data of its own. */
export function redis(limits: RespLimits = {}): Handler {
  const instance = new Instance();
  return async (session) => {
    const codec = new Resp(limits);
    const commands = session.frames(codec);
    const client = new Client(instance, session, codec, (reply) => commands.send(reply));
    try {
      for await (const command of commands) {
        const reply = execute(command, client);
        if (reply !== undefined) await commands.send(reply);
        if (client.isLeaving) break;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      await commands.send(error);
    } finally {
      client.leave();
    }
  };
}
