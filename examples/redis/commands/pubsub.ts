import type { Client } from "../client.ts";
import { RespPush } from "@parley/tcp/codecs";
import type { CommandTable } from "./command.ts";

export const PUBSUB: CommandTable = {
  publish: {
    arity: 3,
    run: ([, channel, message], { instance }) => instance.publish(channel, message),
  },
  subscribe: {
    arity: -2,
    whileSubscribed: true,
    run: ([, ...channels], client) => {
      for (const channel of channels) {
        client.subscribe(channel);
        client.tell(new RespPush(["subscribe", channel, client.channels.size]));
      }
      return undefined;
    },
  },
  unsubscribe: {
    arity: -1,
    whileSubscribed: true,
    run: ([, ...channels], client) => {
      unsubscribe(client, channels.length > 0 ? channels : [...client.channels]);
      return undefined;
    },
  },
};

function unsubscribe(client: Client, channels: readonly string[]): void {
  for (const channel of channels) {
    client.unsubscribe(channel);
    client.tell(new RespPush(["unsubscribe", channel, client.channels.size]));
  }
  if (channels.length === 0) client.tell(new RespPush(["unsubscribe", null, 0]));
}
