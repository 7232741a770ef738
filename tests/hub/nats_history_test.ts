import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { natsBus } from "../../hub/mod.ts";
import { hasNats, startNats } from "../_nats.ts";
import { bounded, until } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { Side } from "./_brokers.ts";

const withNats = { ...bounded, ignore: !hasNats };

Deno.test("natsBus() needs a manager for a history", withNats, async () => {
  await using stack = new AsyncDisposableStack();
  const { program, port } = await startNats();
  stack.use(program);
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  stack.defer(() => connection.close());
  assertThrows(
    () => natsBus(connection, { history: {} as never }),
    TypeError,
    "history.jetstream must",
  );
});

Deno.test(
  "natsBus() skips what is not from a hub, and goes on when its stream is deleted",
  withNats,
  async () => {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(await makeTempDir());
    const { program, port } = await startNats(undefined, directory.path);
    stack.use(program);
    const connection = await connect({ servers: `127.0.0.1:${port}` });
    stack.defer(() => connection.close());
    const jetstream = await jetstreamManager(connection);
    const history = { jetstream, maxMessages: 100 };
    const a = stack.use(new Side(natsBus(connection, { history })));
    const b = stack.use(new Side(natsBus(connection, { history })));
    await Promise.all([a, b].map(({ hub, session }) => hub.join("hall", session)));
    a.hub.publish("hall", "1\n");
    await until(() => b.lines.length === 1);

    b.hub.leave("hall", b.session);
    await jetstream.jetstream().publish("parley=stored.hall", "garbage");
    a.hub.publish("hall", "2\n");
    await until(() => a.hub.position("hall", a.session) === "4"); // after an entry without a message
    await b.hub.join("hall", b.session, { last: 100 });
    await until(() => b.lines.length === 3);
    assertEquals(b.lines, ["1", "1", "2"]);
    const told = [a, b].map(({ errors }) => errors.map((error) => (error as Error).message));
    for (const messages of told) {
      assert(
        messages.length > 0 &&
          messages.every((text) => text.startsWith("a batch on the bus has 7 bytes")),
        `${messages}`,
      );
    }

    a.errors.length = 0;
    await jetstream.streams.delete("parley=history");
    a.hub.publish("hall", "3\n");
    await until(() => b.lines.length === 4 && a.errors.length > 0); // without a history
    for (let at = 4; at < 10; at++) a.hub.publish("hall", `${at}\n`);
    await until(() => b.lines.at(-1) === "9");
    // The sequence has begun again: if it is where it was by the time that this is noticed, some are skipped, and told.
    const missing = b.gaps.flatMap(([from, to]) =>
      Array.from({ length: to - from + 1 }, (_, n) => from + n)
    );
    const all = [...b.lines.slice(1).map(Number), ...missing].sort((x, y) => x - y);
    assertEquals(all, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const { state, config } = await jetstream.streams.info("parley=history");
    assert(state.messages >= 6);
    assertEquals([config.max_msgs_per_subject, config.max_age], [100, 86_400e9]);
  },
);
