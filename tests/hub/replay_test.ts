import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Bus, Hub } from "../../hub/mod.ts";
import type { Session } from "../../session.ts";
import { HubNetwork, sessionPair } from "../../testing/mod.ts";
import { settle } from "../_serving.ts";
import { TestNetwork } from "./_bus.ts";

const permissions = "none";

/** Lets what was sent arrive, in real time as well. */
async function pass(network: HubNetwork, duration: number): Promise<void> {
  for (let step = 0; step < 20; step++) {
    await network.advance(duration / 20);
    await settle();
  }
}

Deno.test("since and last of Hub.join() are checked", { permissions }, async () => {
  const [client, session] = sessionPair();
  const bus: Bus = new TestNetwork().bus();
  for (const hub of [new Hub(), new Hub({ bus })]) {
    for (const options of [{ since: "1" }, { last: 1 }]) {
      assertThrows(
        () => hub.join("hall", session, options),
        TypeError,
        "since and last need a bus with a history",
      );
    }
    assertEquals(hub.size("hall"), 0);
    await hub.close();
  }
  const hub = new HubNetwork({ history: 10 }).hub();
  const wrong = ["", "-1", "1-", "01", "1-02", "1.5", "1e3", "x", "1-2-3", " 1", "1\n"];
  for (
    const since of [...wrong, "18446744073709551616", "0-18446744073709551616", "9".repeat(1e6)]
  ) {
    const says = `since must be a position of a hub, got ${JSON.stringify(since.slice(0, 50))}`;
    assertThrows(() => hub.join("hall", session, { since }), RangeError, says);
  }
  assertThrows(() => hub.join("hall", session, { since: 1 as never }), TypeError, "since must be");
  for (const last of [-1, 1.5, 10_001, NaN]) {
    assertThrows(() => hub.join("hall", session, { last }), RangeError, "last must be an integer");
  }
  assertEquals(hub.size("hall"), 0);
  client.abort();
  session.abort();
});

Deno.test("a session that reads its history slowly keeps nobody waiting, and no memory", {
  permissions,
}, async () => {
  const network = new HubNetwork({ history: 100_000 });
  const [here, there] = [network.hub(), network.hub()];
  const filler = "-".repeat(1000);
  const sent: string[] = [];
  const publish = (hub: Hub): void => {
    sent.push(`${sent.length} ${filler}`);
    hub.publish("hall", `${sent.at(-1)}\n`);
  };
  for (let at = 0; at < 2000; at++) {
    publish(there);
    if (at % 100 === 99) await network.advance(100);
  }
  const [fastClient, fast] = sessionPair();
  const [client, slow] = sessionPair();
  here.join("hall", fast);
  let isJoined = false;
  here.join("hall", slow, { since: "0" }).then(() => isJoined = true);
  await pass(network, 1000);
  assertEquals(isJoined, false);
  assertEquals([here.size("hall"), [...here.members("hall")].length], [2, 2]);
  const lines = fastClient.lines();
  for (let at = 0; at < 20; at++) {
    publish(at % 2 === 0 ? here : there);
    await pass(network, 100);
    assertEquals((await lines.next()).value, sent.at(-1));
    assert(slow.bytesBuffered < 128 * 1024, `${slow.bytesBuffered}`);
  }
  const got: string[] = [];
  const reading = (async (): Promise<void> => {
    for await (const line of client.lines()) if (got.push(line) === sent.length) return;
  })();
  for (let step = 0; step < 2000 && got.length < sent.length; step++) await pass(network, 20);
  assertEquals(got, sent);
  await pass(network, 100);
  assert(isJoined);
  await reading;
  for (const session of [fastClient, fast, client, slow]) session.abort();
});

Deno.test(
  "a session that leaves or ends gets no more of its history",
  { permissions },
  async () => {
    for (const end of ["leave", "abort", "close"]) {
      const network = new HubNetwork({ history: 100, delay: 50 });
      const errors: unknown[] = [];
      const hub = network.hub({ onError: (error) => void errors.push(error) });
      for (let at = 0; at < 50; at++) hub.publish("hall", `${at}\n`);
      await network.advance(200);
      const [client, session]: [Session, Session] = sessionPair();
      let isJoined = false;
      hub.join("hall", session, { last: 40 }).then(() => isJoined = true);
      await network.advance(250);
      const { bytesWritten, bytesBuffered } = session;
      const before = bytesWritten + bytesBuffered;
      assert(before > 0 && before < 100, `${before}`);
      if (end === "leave") hub.leave("hall", session);
      else if (end === "abort") session.abort();
      else await hub.close();
      await pass(network, 5000);
      assertEquals(hub.size("hall"), 0);
      assertEquals([isJoined, errors], [true, []]);
      const after = session.bytesWritten + session.bytesBuffered;
      assert(end === "abort" ? after <= before : after === before, `${after}`);
      client.abort();
      session.abort();
    }
  },
);

Deno.test("Hub.position() is where a session is", { permissions }, async () => {
  const network = new HubNetwork({ history: 100 });
  const hub = network.hub();
  const [client, session] = sessionPair();
  assertEquals(hub.position("hall", session), undefined);
  hub.join("hall", session);
  assertEquals(hub.position("hall", session), undefined);
  await network.advance(100);
  const before = hub.position("hall", session)!;
  network.hub().publish("hall", "1\n");
  await network.advance(100);
  assert(Number(hub.position("hall", session)) > Number(before));
  assertEquals(hub.position("garden", session), undefined);
  hub.leave("hall", session);
  assertEquals(hub.position("hall", session), undefined);
  client.abort();
  session.abort();
});
