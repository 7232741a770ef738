import { assertEquals } from "@std/assert";
import { type Handles, runtime } from "../../../transport/node/handles.ts";
import {
  makeOpenConnections,
  noteConnections,
  resetConnections,
} from "../../../transport/node/open_connections.ts";
import { listenNode } from "../../../transport/node/listen.ts";
import type { NetAddr } from "../../../transport/mod.ts";
import { overNet } from "../../_serving.ts";

Deno.test(
  "noteConnections() notes connections while they are open, and nobody resets one with another peer",
  overNet,
  async () => {
    const handles = runtime.handles() as Handles;
    const cells = makeOpenConnections();
    noteConnections(cells);
    try {
      const listener = listenNode({ host: "127.0.0.1", port: 0, backlog: 5, noDelay: true });
      const { port } = listener.addr as NetAddr;
      const clients = [await Deno.connect({ port }), await Deno.connect({ port })];
      const [left, closed] = [await listener.accept(), await listener.accept()];
      const open = cells.map((_, descriptor) => descriptor).filter((d) => cells[d] !== 0);
      assertEquals(open.length, 2);
      closed.close();
      assertEquals(cells.filter((cell) => cell !== 0).length, 1);
      assertEquals(await clients[1]!.read(new Uint8Array(1)), null);

      // A descriptor whose peer is another one belongs to somebody else.
      const [descriptor] = open.filter((d) => cells[d] !== 0);
      const noted = cells[descriptor!]!;
      cells[descriptor!] = noted ^ 1;
      resetConnections(cells);
      await left.write(new Uint8Array([7]));
      assertEquals(await clients[0]!.read(new Uint8Array(1)), 1);

      for (const client of clients) client.close();
      left.close();
      listener.close();
    } finally {
      delete handles.onOpen;
      delete handles.onClose;
    }
  },
);
