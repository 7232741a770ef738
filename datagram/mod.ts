/**
 * Datagrams: UDP and Unix datagram sockets, with the limits, lists, figures and shutdown that `serve()` has.
 *
 * @example Answer each datagram
 * ```ts
 * import { connectDatagrams, serveDatagrams } from "@parley/tcp/datagram";
 * import type { NetAddr } from "@parley/tcp";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serveDatagrams({ port: 0 }, (message, sender) => sender.send(message));
 *
 * await using client = await connectDatagrams({ port: (server.addr as NetAddr).port });
 * await client.send("rose");
 * assertEquals(new TextDecoder().decode(await client.receive({ timeout: 5000 })), "rose");
 * ```
 *
 * @module
 */

export { connectDatagrams } from "./connect_datagrams.ts";
export type {
  ConnectDatagramsOptions,
  DatagramClient,
  DatagramClientStats,
  ReceiveOptions,
} from "./connect_options.ts";
export { decodeDatagram } from "./decoding.ts";
export {
  type DatagramDrop,
  type DatagramDropReason,
  type DatagramObserver,
  logDatagramObserver,
} from "./observer.ts";
export type {
  CommonDatagramOptions,
  DatagramHandler,
  DatagramSender,
  DatagramServer,
  DatagramStats,
  MessageRate,
  MulticastGroup,
  MulticastOptions,
  ServeDatagramsOptions,
  SocketOptions,
} from "./options.ts";
export type { DatagramOverflow } from "./queue.ts";
export { serveDatagrams } from "./serve_datagrams.ts";
export type { DatagramEvents, DatagramSocket } from "./socket.ts";
export type { LogFields, Logger } from "../_internal/logging.ts";
export type { Address, MemoryAddr, NetAddr, UnixAddr, VsockAddr } from "../_internal/address.ts";
export type { Codec, Decoder, DecoderInput, FrameWriter } from "../codecs/codec.ts";
export { AmplificationLimitError, DatagramTooLargeError } from "../errors.ts";
export type { ServerState } from "../serve/observer.ts";
