// PROXY headers that are taken from a connection, and sent over one, while something else ends that.

import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { PeerLeft } from "../../_internal/peer_left.ts";
import { ProxyHeaderError } from "../../errors.ts";
import { type Address, memoryPair } from "../../transport/mod.ts";
import { checkProxyHeader, readProxyHeader, sendProxyHeader } from "../../transport/proxied.ts";
import { ConnectionOver, settle } from "../_serving.ts";
import { Peer } from "../_transports.ts";

Deno.test("readProxyHeader() survives a connection that is closed before its timeout", async () => {
  const [left, right] = memoryPair();
  const input = Promise.withResolvers<null>();
  const header = readProxyHeader({
    remoteAddr: left.remoteAddr,
    localAddr: left.localAddr,
    read: () => input.promise,
    write: (data) => left.write(data),
    closeWrite: () => left.closeWrite(),
    close(): void { // as a `Deno.Conn` does, whose read rejects in a later turn
      queueMicrotask(() => input.reject(new Deno.errors.Interrupted("closed")));
      throw new Deno.errors.BadResource("closed");
    },
  }, { timeout: 1, maxLength: 4096 });
  await assertRejects(() => header, ProxyHeaderError, "not received within 1 ms");
  left.close();
  right.close();
});

Deno.test("readProxyHeader() reports whether anything came before the connection was lost", async () => {
  const lost = new Deno.errors.ConnectionReset("gone");
  for (const [start, end] of [["", null], ["", lost], ["PROXY", null], ["PROXY", lost]] as const) {
    const [left, right] = memoryPair();
    await new Peer(right).send(start);
    class Lost extends ConnectionOver {
      override async read(buffer: Uint8Array): Promise<number | null> {
        if (start !== "" && buffer.length === 512) return await super.read(buffer);
        if (end === null) return null;
        throw end;
      }
    }
    const options = { timeout: Infinity, maxLength: 4096 };
    const error = await assertRejects(
      () => readProxyHeader(new Lost(left), options),
      ProxyHeaderError,
    );
    const problem = start === "" ? "nothing received" : "the input ended within the header";
    assertEquals(error.message, `bad PROXY header: ${problem} (at byte ${start.length})`);
    const { cause } = start === "" ? error.cause as Error : error;
    assertEquals(error.cause instanceof PeerLeft, start === "");
    assertStrictEquals(cause, end ?? undefined);
    left.close();
    right.close();
  }
});

Deno.test("sendProxyHeader() gives up when its signal aborts, and closes", async () => {
  const [left, right] = memoryPair({ capacity: 4 });
  const stop = new AbortController();
  const sent = sendProxyHeader(left, { version: 1 }, stop.signal).catch((error) => error);
  await settle();
  stop.abort();
  assertInstanceOf(await sent, Deno.errors.Interrupted);
  assertEquals(await new Peer(right).countToEnd(), 4);
  right.close();
});

Deno.test("sendProxyHeader() sends nothing once its signal has aborted", async () => {
  const [left, right] = memoryPair();
  const reason = new Error("enough");
  const error = await assertRejects(() =>
    sendProxyHeader(left, { version: 1 }, AbortSignal.abort(reason))
  );
  assertStrictEquals(error, reason);
  assertEquals(await new Peer(right).countToEnd(), 0);
  right.close();
});

Deno.test(
  "connect() checks its PROXY header against what it dials",
  { permissions: "none" },
  () => {
    const tcp: Address = { transport: "tcp", hostname: "example.test", port: 1 };
    const unix: Address = { transport: "unix", path: "/run/greet.sock" };
    const from: Address = { transport: "tcp", hostname: "2001:db8::1", port: 5 };
    const problem = "source and destination must have the same transport";
    for (const version of [1, 2] as const) {
      checkProxyHeader({ version }, tcp);
      checkProxyHeader({ version }, unix);
      checkProxyHeader({ version, source: from }, tcp);
      checkProxyHeader({ version, source: unix }, unix);
      assertThrows(() => checkProxyHeader({ version, source: unix }, tcp), TypeError, problem);
      assertThrows(() => checkProxyHeader({ version, source: from }, unix), TypeError, problem);
    }
  },
);
