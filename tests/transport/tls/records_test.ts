import { assert, assertEquals, assertMatch } from "@std/assert";
import { memoryPair } from "../../../transport/memory.ts";
import { canRun } from "../../_permissions.ts";
import { Program } from "../../_programs.ts";
import { closeBoth, overTls, tlsOver } from "../../_tls.ts";
import { isPending, Peer } from "../../_transports.ts";

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
  "TLS says what it lacks where Deno has another layer, and nothing else fails",
  { ...overTls, ignore: overTls.ignore || !await canRun("deno") },
  async () => {
    const module = new URL("../../../mod.ts", import.meta.url).href;
    for (const method of ["drainEncOut", "finishAccept"]) {
      const args = ["eval", "--ext=js", WITHOUT, method, module];
      await using program = new Program("deno", args);
      const { stdout, stderr } = await program.ended();
      assertEquals(stderr, "");
      const lacks = `TLS needs Deno 2\\.9\\.6: the TLS layer of Deno/[\\d.]+ lacks ${method}`;
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
