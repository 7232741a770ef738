// Connections of Deno begin on a TCP handle, and are moved to another one before a write could have to wait.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { runtime } from "../../../transport/node/handles.ts";
import { dial, listenNodeTcp, nodePair, placeOf } from "../../_node.ts";
import { overNet } from "../../_serving.ts";
import { pattern, Peer } from "../../_transports.ts";

const handles = runtime.handles();
const overTcpHandles = { ...overNet, ignore: overNet.ignore || handles?.isDeno !== true };

/** Counts the connections that are moved during `run`. With a `status`, moving fails. */
async function countMoves(run: () => Promise<void>, status?: number): Promise<number> {
  const { Pipe } = handles!;
  const { open } = Pipe.prototype;
  let moves = 0;
  Pipe.prototype.open = function (descriptor: number): number {
    moves++;
    return status ?? open!.call(this, descriptor);
  };
  try {
    await run();
  } finally {
    Pipe.prototype.open = open!;
  }
  return moves;
}

Deno.test("A node connection is not moved for a few small messages", overTcpHandles, async () => {
  const [near, far] = await nodePair();
  const moves = await countMoves(async () => {
    for (let i = 0; i < 8; i++) {
      assertEquals(await near.write(Uint8Array.of(i)), 1);
      assertEquals([...await new Peer(far).bytes(1)], [i]);
    }
  });
  assertEquals(moves, 0);
  near.close();
  far.close();
});

for (
  const [what, writes] of [
    ["the ninth write", Array<number>(9).fill(1)],
    ["a write that is over 4 KiB", [4097]],
    ["writes that together are over 4 KiB", [1000, 3097]],
  ] as const
) {
  Deno.test(`A node connection is moved, once, for ${what}`, overTcpHandles, async () => {
    const [near, far] = await nodePair();
    const moves = await countMoves(async () => {
      for (const [at, length] of [...writes, 10, 5000].entries()) {
        const sending = new Peer(near).send(pattern(length, at));
        let have = 0;
        const got = new Uint8Array(length);
        while (have < length) have += (await far.read(got.subarray(have, have + 1000)))!;
        assertEquals(got, pattern(length, at));
        await sending;
      }
    });
    assertEquals(moves, 1);
    near.close();
    far.close();
  });
}

Deno.test("A node connection is moved for a read that is over 1 KiB", overTcpHandles, async () => {
  const [near, far] = await nodePair();
  const moves = await countMoves(async () => {
    await far.write(pattern(1000));
    for (const size of [500, 1025, 5000]) {
      const buffer = new Uint8Array(size);
      const reading = near.read(buffer);
      if (size > 500) await far.write(pattern(1000));
      assert((await reading)! > 0);
    }
  });
  assertEquals(moves, 1);
  near.close();
  far.close();
});

Deno.test(
  "A node connection that is not moved keeps 1 KiB that nobody reads",
  overTcpHandles,
  async () => {
    const [near, far] = await nodePair();
    await far.write(Uint8Array.of(1));
    assertEquals(await near.read(new Uint8Array(10)), 1); // from now on it listens for more
    await far.write(pattern(50_000));
    await new Promise((resolve) => setTimeout(resolve, 20)); // it comes
    assert(near.held! <= 1024, `${near.held} bytes`);
    assertEquals(await new Peer(near).bytes(50_000), pattern(50_000));
    near.close();
    far.close();
  },
);

Deno.test(
  "A node connection is moved for a write after the peer has half-closed",
  overTcpHandles,
  async () => {
    const [near, far] = await nodePair();
    const moves = await countMoves(async () => {
      await far.closeWrite();
      assertEquals(await near.read(new Uint8Array(1)), null);
      await new Peer(near).send(Uint8Array.of(1));
      assertEquals([...await new Peer(far).bytes(1)], [1]);
    });
    assertEquals(moves, 1);
    near.close();
    far.close();
  },
);

Deno.test(
  "A node connection that is half-closed stays, and reads what comes",
  overTcpHandles,
  async () => {
    const [near, far] = await nodePair();
    const moves = await countMoves(async () => {
      await near.closeWrite();
      const sent = pattern(900, 1);
      await new Peer(far).send(sent);
      const got = new Uint8Array(64 * 1024);
      const count = await near.read(got);
      assertEquals(got.subarray(0, count!), sent);
    });
    assertEquals(moves, 0);
    near.close();
    far.close();
  },
);

Deno.test("A node connection greets a peer that half-closes at once", overTcpHandles, async () => {
  const listener = await listenNodeTcp();
  const { port } = listener.addr as Deno.NetAddr;
  for (let i = 0; i < 20; i++) {
    const far = await Deno.connect({ port });
    await far.closeWrite();
    const near = await listener.accept();
    await new Peer(near).send(Uint8Array.of(1, 2, 3));
    await near.closeWrite();
    assertEquals([...await new Peer(far).bytes(3)], [1, 2, 3]);
    near.close();
    far.close();
  }
  listener.close();
});

Deno.test("A node connection loses nothing while it is moved", overTcpHandles, async () => {
  for (let round = 0; round < 40; round++) {
    const [near, far] = await nodePair();
    const lengths = Array.from({ length: 14 }, (_, i) => 1 + (i * i * 37 + round * 101) % 900);
    const total = lengths.reduce((all, length) => all + length);
    const all = pattern(total, round);
    const talk = async (peer: Peer): Promise<void> => {
      let at = 0;
      for (const length of lengths) {
        await peer.send(all.subarray(at, at += length));
        if (length % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
      }
      await peer.connection.closeWrite();
    };
    const peers = [new Peer(near), new Peer(far)];
    const readSize = round % 2 === 0 ? total : 700; // the first moves it, too
    const sending = peers.map(talk);
    const got = await Promise.all(peers.map(async ({ connection }) => {
      const bytes = new Uint8Array(total);
      for (let have = 0; have < total;) {
        have += (await connection.read(bytes.subarray(have, have + readSize)))!;
      }
      return bytes;
    }));
    for (const bytes of got) assertEquals(bytes, all);
    await Promise.all(sending);
    near.close();
    far.close();
  }
});

Deno.test(
  "A node connection delivers its first output although the peer has half-closed",
  overTcpHandles,
  async () => {
    const listener = await listenNodeTcp();
    for (let round = 0; round < 100; round++) {
      const accepted = listener.accept();
      const client = await dial(placeOf(listener.addr));
      await client.write(Uint8Array.of(1));
      const ended = client.closeWrite();
      const server = await accepted;
      if (round % 2 === 0) assertEquals(await server.read(new Uint8Array(9)), 1);
      for (let i = 0; i < 8; i++) assertEquals(await server.write(pattern(500, i)), 500);
      await server.closeWrite();
      await ended;
      const got = await new Peer(client).countToEnd(); // it has not read before
      assertEquals(got, 4000);
      server.close();
      client.close();
    }
    listener.close();
  },
);

Deno.test(
  "A node connection repeats no write that may have been taken in part",
  overTcpHandles,
  async () => {
    const [near, far] = await nodePair();
    const chunk = new Uint8Array(100_000);
    let accepted = 0;
    let waiting: Promise<number> | undefined;
    const { prototype } = handles!.Tcp;
    const { fdForIpc } = prototype;
    prototype.fdForIpc = () => -1; // there is no descriptor, so it has to stay on its TCP handle
    try {
      while (waiting === undefined) { // until the system takes no more
        const taken = near.write(chunk);
        const pause = new Promise<void>((resolve) => setTimeout(resolve, 200));
        const count = await Promise.race([taken, pause]);
        if (typeof count !== "number") waiting = taken;
        else accepted += count;
      }
    } finally {
      prototype.fdForIpc = fdForIpc!;
    }
    const end = near.read(new Uint8Array(1));
    await far.closeWrite();
    assertEquals(await end, null);
    const failed = assertRejects(() => waiting!, Deno.errors.BrokenPipe)
      .finally(() => near.close());
    let received = 0; // as soon as the system takes more, the handle gives up
    for (;;) {
      const count = await far.read(chunk).catch(() => null);
      if (count === null) break;
      received += count;
    }
    await failed;
    assert(
      received <= accepted + chunk.length,
      `${received} bytes came, ${accepted} were accepted`,
    );
    far.close();
  },
);

Deno.test("A node connection stays where it is without a descriptor", overTcpHandles, async () => {
  const [near, far] = await nodePair();
  const EMFILE = -24;
  const failed = await countMoves(async () => {
    for (let i = 0; i < 3; i++) {
      await new Peer(near).send(pattern(5000, i));
      assertEquals(await new Peer(far).bytes(5000), pattern(5000, i));
      await new Peer(far).send(pattern(5000, i));
      assertEquals(await new Peer(near).bytes(5000), pattern(5000, i));
    }
  }, EMFILE);
  assert(failed > 3, `${failed} tries`);
  const moves = await countMoves(async () => {
    await new Peer(near).send(pattern(5000));
    assertEquals(await new Peer(far).bytes(5000), pattern(5000));
  });
  assertEquals(moves, 2);
  near.close();
  far.close();
});

for (const isMoved of [false, true]) {
  const when = isMoved ? "after" : "before";
  Deno.test(`A node connection can be reset ${when} it is moved`, overTcpHandles, async () => {
    const [near, far] = await nodePair();
    if (isMoved) await near.write(pattern(5000));
    const reading = near.read(new Uint8Array(10));
    near.reset!();
    await assertRejects(() => reading, Deno.errors.Interrupted);
    await assertRejects(() => new Peer(far).countToEnd(), Deno.errors.ConnectionReset);
    far.close();
  });
}
