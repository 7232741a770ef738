import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createSecureContext } from "node:tls";
import { memoryPair } from "../../../transport/memory.ts";
import { concat } from "../../../_internal/concat.ts";
import { disturb, randomFrom } from "../../../testing/disturb.ts";
import { TlsConnection } from "../../../transport/tls/connection.ts";
import { TlsRecords } from "../../../transport/tls/records.ts";
import { canRun } from "../../_permissions.ts";
import { Program } from "../../_programs.ts";
import { closeBoth, overTls, serverOptions, tlsOver } from "../../_tls.ts";
import { isPending, Peer } from "../../_transports.ts";

const calm = {
  delay: 0,
  stallAfter: Infinity,
  truncateAfter: Infinity,
  resetAfter: Infinity,
  blockAfter: Infinity,
};

/** Takes a method off the TLS layer, as another version of Deno may lack it, and then asks for TLS. */
const WITHOUT = `
import { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
const socket = new TLSSocket(new Duplex(), { isServer: true });
const layer = Object.getPrototypeOf(socket._handle);
socket.destroy();
const [method, module] = Deno.args;
delete layer[method];
const { connect, serve } = await import(module);
await using server = serve({ port: 0 }, (session) => session.send("in the clear"));
const told = (error) => console.log(String(error));
try {
  serve({ port: 0, tls: { cert: "", key: "" } }, () => {});
} catch (error) {
  told(error);
}
await using client = await connect({ port: server.addr.port });
console.log((await client.text().next()).value);
await connect({ port: server.addr.port, tls: {} }).catch(told);
`;

Deno.test(
  "TLS reports what it lacks in another version of Deno, and nothing else fails",
  { ...overTls, ignore: overTls.ignore || !await canRun("deno") },
  async () => {
    const module = new URL("../../../mod.ts", import.meta.url).href;
    for (const method of ["drainEncOut", "finishAccept"]) {
      const args = ["eval", "--ext=js", WITHOUT, method, module];
      await using program = new Program("deno", args);
      const { stdout, stderr } = await program.ended();
      assertEquals(stderr, "");
      const lacks = `TLS cannot be used with Deno/[\\d.]+: its TLS layer lacks ${method}`;
      assertMatch(
        stdout,
        RegExp(`^Error: ${lacks}\nin the clear\nConnectError: cannot connect to .*: ${lacks}\n$`),
      );
    }
  },
);

Deno.test(
  "TlsConnection.read() takes all records that came, as far as they fit",
  overTls,
  async () => {
    const [server, client] = await tlsOver(memoryPair());
    const peer = new Peer(client);
    const sent = Array.from({ length: 100 }, (_, i) => `${i} `);
    for (const word of sent) await peer.send(word);
    const buffer = new Uint8Array(64 * 1024);
    const count = await server.read(buffer);
    assertEquals(new TextDecoder().decode(buffer.subarray(0, count!)), sent.join(""));

    for (const word of sent) await peer.send(word);
    const counts: number[] = [];
    let got = "";
    while (got.length < sent.join("").length) {
      const few = buffer.subarray(0, 7);
      counts.push((await server.read(few))!);
      got += new TextDecoder().decode(few.subarray(0, counts.at(-1)));
    }
    assertEquals(got, sent.join(""));
    assertEquals(Math.max(...counts), 7);
    const last = server.read(buffer);
    assert(await isPending(last));
    closeBoth(server, client);
    await last.catch(() => {});
  },
);

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  Deno.test(
    `TlsConnection finds its records however they are split, up to an invalid one (${version})`,
    overTls,
    async () => {
      const random = randomFrom(5);
      const some = Array.from({ length: 60 }, () => 1 + random() * 400);
      const words = [1, 2, 3, 16384, 1, 17000, ...some].map((size) =>
        new Uint8Array(size).map(() => random() * 256)
      );
      const sent = concat(words);
      for (const chop of [1, 2, 5, 6, 7, 23, 100, 5000, Infinity]) {
        const [near, far] = memoryPair({ capacity: 2 ** 20 });
        const [server, client] = await tlsOver(
          [disturb(near, { ...calm, seed: 1, chop }), far],
          serverOptions({ maxVersion: version }),
        );
        for (const word of words) await new Peer(client).send(word);
        await far.write(new Uint8Array(9)); // what is no record, and comes in one read with some
        const got: Uint8Array[] = [];
        const reading = async () => {
          for (let count: number | null = 0; count !== null;) {
            const buffer = new Uint8Array(64 * 1024);
            count = await server.read(buffer);
            got.push(buffer.subarray(0, count ?? 0));
          }
        };
        await assertRejects(reading, Deno.errors.InvalidData);
        assertEquals(concat(got), sent);
        closeBoth(server, client);
      }
    },
  );
}

Deno.test(
  "TlsConnection.write() takes nothing that the TLS layer does not encrypt",
  overTls,
  async () => {
    const [near, far] = memoryPair();
    const { context } = createSecureContext();
    const records = TlsRecords.client({ context, alpn: undefined }, "");
    records.destroy(); // as with the keys of TLS 1.2 used up, which takes 24 million records
    const connection = new TlsConnection(near, records, { protocol: "TLSv1.2", cipher: "none" });
    const words = new Uint8Array(5);
    for (let round = 0; round < 2; round++) {
      await assertRejects(() => connection.write(words), Deno.errors.ConnectionAborted, "used up");
    }
    closeBoth(connection, far);
  },
);

Deno.test(
  "TlsConnection.held counts encrypted output that waits, and input that was not taken",
  overTls,
  async () => {
    const KIB = 1024;
    const [server, client] = await tlsOver(memoryPair({ capacity: 8 * KIB }));
    assertEquals(server.held, 0);
    const writing = server.write(new Uint8Array(48 * KIB));
    assert(server.held! > 48 * KIB, `${server.held} bytes`);
    const reading = client.read(new Uint8Array(100)); // of a record of 16 KiB
    assertEquals(await reading, 100);
    assert(client.held! > 8 * KIB && client.held! < 50 * KIB, `${client.held} bytes`);
    await new Peer(client).bytes(48 * KIB - 100);
    await writing;
    assertEquals([server.held, client.held], [0, 0]);
    closeBoth(server, client);
  },
);

Deno.test("TlsConnection.held counts an incomplete record", overTls, async () => {
  const KIB = 1024;
  const [near, far] = memoryPair({ capacity: 64 * KIB });
  const [server, client] = await tlsOver([
    disturb(near, { ...calm, seed: 1, chop: Infinity, stallAfter: 12 * KIB }), // with the handshake
    far,
  ]);
  await client.write(new Uint8Array(16 * KIB));
  const reading = server.read(new Uint8Array(64 * KIB));
  assertEquals(await isPending(reading), true);
  assert(server.held! > 4 * KIB && server.held! < 12 * KIB, `${server.held} bytes`);
  closeBoth(server, client);
  await reading.catch(() => {});
});
