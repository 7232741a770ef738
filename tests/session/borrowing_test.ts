// Chunks that are lent. Connections of one thread may read into memory that they share; no client may ever see, through
// a chunk that a handler keeps, what another client has sent.

import { assert, assertEquals } from "@std/assert";
import { testEach } from "../_transports.ts";

const OURS = "a".charCodeAt(0);
const LATER = "c".charCodeAt(0);
/** What other sessions get is made of this, which no ciphertext will hold by chance. */
const OTHERS = "b".repeat(8);
const SIZES = [8, 64, 255, 256, 257, 1024, 5000, 20_000, 70_000];

for (const size of [1, 64, 1024]) {
  testEach(
    `A chunk of ${size} bytes that is lent shows nothing of another session`,
    async (open) => {
      await using ours = await open({ writeTimeout: 40 }); // which paces the sweep
      await using other = await open();
      await ours.peer.send("a".repeat(size));
      const chunks = ours.session.bytes({ borrow: true });
      const chunk = (await chunks.next()).value!;
      const kept = [chunk, new Uint8Array(chunk.buffer)]; // and what stands around it
      const hasOthers = (): boolean =>
        kept.some((bytes) => new TextDecoder("latin1").decode(bytes).includes(OTHERS));
      const others = other.session.bytes({ borrow: true });
      const pass = async (text: string): Promise<void> => {
        const sent = other.peer.send(text);
        for (let got = 0; got < text.length;) got += (await others.next()).value!.length;
        await sent;
      };
      for (const length of SIZES) {
        await pass("b".repeat(length));
        assert(chunk.length === size && chunk.every((byte) => byte === OURS));
        assert(!hasOthers());
      }

      // It was lent until here. Whoever keeps it longer sees later input of the same session at most.
      const next = chunks.next();
      for (let sweep = 0; sweep < 4; sweep++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        await pass(OTHERS.repeat(size));
        assert(!hasOthers());
      }
      await ours.peer.send("c".repeat(size));
      assertEquals((await next).value!.length, size);
      assert(chunk.every((byte) => byte === OURS || byte === LATER));
      assert(!hasOthers());
    },
  );
}

testEach(
  "A chunk that is lent and transferred takes no other session's memory along",
  async (open) => {
    await using ours = await open();
    await using other = await open();
    const chunks = ours.session.bytes({ borrow: true });
    const others = other.session.bytes({ borrow: true });
    for (let round = 0; round < 3; round++) {
      await ours.peer.send("a".repeat(100));
      const chunk = (await chunks.next()).value!;
      await other.peer.send("b".repeat(100));
      structuredClone(chunk, { transfer: [chunk.buffer as ArrayBuffer] });
      const { value } = await others.next();
      assert(value!.length > 0 && value!.every((byte) => byte === "b".charCodeAt(0)));
    }
  },
);
