import { assertEquals, assertRejects } from "@std/assert";
import { relay } from "../../cli/client/relay.ts";
import { RelayInput } from "../../cli/client/relay_input.ts";
import { RelayOutput } from "../../cli/client/relay_output.ts";
import { SessionEndedError } from "../../errors.ts";
import { Session } from "../../session.ts";
import { memoryPair } from "../../transport/memory.ts";
import { bounded, ConnectionOver, settle } from "../_serving.ts";

const CHUNK = 64 * 1024;

/** A source of these chunks. */
function sourceOf(...chunks: Uint8Array[]): { read(buffer: Uint8Array): Promise<number | null> } {
  return {
    read(buffer): Promise<number | null> {
      const chunk = chunks.shift();
      if (chunk === undefined) return Promise.resolve(null);
      buffer.set(chunk);
      return Promise.resolve(chunk.length);
    },
  };
}

/** A connection that takes so many bytes, a part at a time, and is then reset. */
class Breaking extends ConnectionOver {
  readonly taken: number[] = [];
  left = 0;

  override write(data: Uint8Array): Promise<number> {
    const count = Math.min(data.length, this.left, 10_000);
    if (count === 0) return Promise.reject(new Deno.errors.ConnectionReset("reset"));
    this.left -= count;
    this.taken.push(...data.subarray(0, count));
    return Promise.resolve(count);
  }
}

Deno.test(
  "relay() goes on with the first byte that the last connection has not taken",
  bounded,
  async () => {
    const sizes = [CHUNK, 5, 300, CHUNK, 20_000];
    const all = sizes.flatMap((size, at) =>
      Array.from({ length: size }, (_, i) => (i * 7 + at) % 251)
    );
    let at = 0;
    const source = sourceOf(...sizes.map((size) => Uint8Array.from(all.slice(at, at += size))));
    const input = new RelayInput(source, { crlf: false });
    const watcher = new RelayOutput({});
    const taken: number[] = [];
    for (const left of [25_000, 0, CHUNK - 25_000, 3, 100_000_000]) {
      const [near, far] = memoryPair();
      const connection = new Breaking(near);
      connection.left = left;
      const session = new Session(connection, { closeTimeout: 20 }); // its peer says nothing more
      const options = { input, output: watcher, watcher, shutsDown: true, leavesWithPeer: true };
      const relayed = relay(session, options);
      if (left < all.length) await assertRejects(() => relayed, SessionEndedError);
      else {
        await settle();
        far.close();
        await relayed;
      }
      taken.push(...connection.taken);
      await session.close();
      if (left < all.length) far.close();
    }
    assertEquals(taken.length, all.length);
    assertEquals(taken, all);
    assertEquals(input.isDone, true);
  },
);

Deno.test("relay() leaves what is read after its end to the next connection", bounded, async () => {
  const reading = Promise.withResolvers<number | null>();
  const source = {
    read(buffer: Uint8Array): Promise<number | null> {
      buffer[0] = 42;
      return reading.promise;
    },
  };
  const input = new RelayInput(source, { crlf: false });
  const dumped: number[] = [];
  class Watcher extends RelayOutput {
    override sending(chunk: Uint8Array): Promise<void> {
      dumped.push(...chunk);
      return super.sending(chunk);
    }
  }
  const watcher = new Watcher({});
  const [near, far] = memoryPair();
  const session = new Session(near);
  const options = { input, output: watcher, watcher, shutsDown: true, leavesWithPeer: true };
  const relayed = relay(session, options);
  await far.closeWrite();
  await relayed;
  reading.resolve(1);
  await settle();
  assertEquals([session.bytesWritten, dumped], [0, []]);
  assertEquals([...(await input.next())!], [42]);
  far.close();
  await session.close();
});

Deno.test("relay() counts what a connection takes while it is closed", bounded, async () => {
  const written = Promise.withResolvers<number>();
  class Late extends ConnectionOver {
    override write(): Promise<number> {
      return written.promise;
    }
  }
  const source = sourceOf(Uint8Array.of(1, 2, 3, 4, 5));
  const input = new RelayInput(source, { crlf: false });
  const watcher = new RelayOutput({});
  const [near, far] = memoryPair();
  const session = new Session(new Late(near));
  const options = { input, output: watcher, watcher, shutsDown: true, leavesWithPeer: true };
  const relayed = assertRejects(() => relay(session, options), SessionEndedError);
  await settle();
  session.abort();
  await relayed;
  written.resolve(3);
  await session.closed;
  await settle();
  assertEquals([...(await input.next())!], [4, 5]);
  far.close();
});
