// The same by `serveDatagrams()`, for Deno and for Node from 22.18 on: datagrams.ts [MAX_MESSAGE_SIZE]

import process from "node:process";
import { type NetAddr, serveDatagrams } from "../../datagram/mod.ts";

const [, , maxMessageSize] = process.argv;
const server = serveDatagrams({
  port: 0,
  ...(maxMessageSize !== undefined && { maxMessageSize: Number(maxMessageSize) }),
}, (message, sender) => sender.send(message));
console.log((await server.listening as NetAddr).port);
