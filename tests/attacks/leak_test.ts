// Clients that come and go by the thousand leave no memory behind.

import { assertEquals, assertLess } from "@std/assert";
import type { ServeOptions } from "../../serve/serve.ts";
import { attack, Attacked, cannotAttack, COLLECTING, type Report } from "../_attacked.ts";
import { localhost, overTls, rose } from "../_tls_serving.ts";

const attacked = { timeout: 60_000, ignore: cannotAttack || overTls.ignore };
const MIB = 1024 * 1024;

// Connects, is greeted, says something or leaves at once, and goes in one of three ways.
const VISIT = `
context = ssl._create_unverified_context()
for at in range(int(args[0])):
    client = dial()
    if args[1] == "proxied":
        client.sendall(b"PROXY TCP4 192.0.2.%d 198.51.100.1 51324 443\\r\\n" % (at % 256))
    if args[1] == "tls":
        client = context.wrap_socket(client)
    assert client.recv(100) == b"welcome!\\n"
    if at % 3 == 0:
        client.sendall(b"rose")
        assert client.recv(100) == b"rose"
    if at % 5 == 0:
        reset(client)
    else:
        client.close()
`;

const VISITS: [name: string, kind: string, visits: number, Partial<ServeOptions>][] = [
  ["20,000 clients", "plain", 20_000, {}],
  ["5,000 clients behind proxies", "proxied", 5_000, {
    proxyProtocol: "required",
    trusted: ["127.0.0.1"],
    maxSessionsPerAddress: 100,
  }],
  ["4,000 clients under TLS", "tls", 4_000, { tls: localhost }],
];

for (const [name, kind, visits, options] of VISITS) {
  Deno.test(`serve() keeps no memory of ${name} that have left`, attacked, async () => {
    await using server = await Attacked.start("greet", options, { flags: COLLECTING });
    const total = await comeAndGo(server, VISIT, kind, visits);
    const { accepted, causes } = await server.report();
    assertEquals([accepted, causes], [total, {}]);
  });
}

// Connects, and goes before there is TLS.
const KNOCK = `
HELLO = hello()
for at in range(int(args[0])):
    client = dial()
    if args[1] == "garbage":
        client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    if args[1] == "half a hello":
        client.sendall(HELLO[:100])
    if args[1] == "a name that is not served":
        client.sendall(HELLO)
    if args[1] not in ("nothing", "half a hello"):
        try:
            while client.recv(100):
                pass
        except ConnectionError:
            pass
        if at % 5 == 0:
            reset(client)
    client.close()
`;

for (
  const [kind, visits] of [
    ["nothing", 1_500],
    ["silence", 1_000],
    ["garbage", 1_500],
    ["half a hello", 1_500],
    ["a name that is not served", 1_500],
  ] as const
) {
  Deno.test(
    `serve() keeps no memory of ${visits} clients that bring ${kind} to TLS`,
    attacked,
    async () => {
      const options: Partial<ServeOptions> = {
        tls: { ...rose, certificates: [rose], unknownServerName: "refuse" },
        handshakeTimeout: kind === "silence" ? 5 : 5_000,
      };
      await using server = await Attacked.start("greet", options, { flags: COLLECTING });
      const total = await comeAndGo(server, KNOCK, kind, visits);
      const { accepted, causes } = await server.report();
      const reason = kind === "nothing" ? "left" : "handshake";
      assertEquals([accepted, causes], [0, { [`${reason} TlsHandshakeError`]: total }]);
    },
  );
}

/** Has clients come and go, asserts that they leave no memory behind, and tells how many there were. */
async function comeAndGo(
  server: Attacked,
  code: string,
  kind: string,
  visits: number,
): Promise<number> {
  let total = 0;
  const visit = async (count: number): Promise<Report> => {
    // Two at once, so that their sessions overlap.
    await Promise.all([1, 2].map(() => attack(code, server.port, `${count / 2}`, kind)));
    total += count;
    await server.until(({ active, accepted, refused }) =>
      active === 0 && accepted + refused === total
    );
    return await server.collected();
  };
  await visit(visits * 2 / 5); // meanwhile the compiler takes memory, once and for all
  // What the allocator keeps stops growing at some time, and a leak does not: not in any of the courses.
  const excesses: number[] = [];
  do {
    const early = await visit(visits / 10);
    const late = await visit(visits * 9 / 10);
    assertLess(late.live, early.live + 5 * MIB);
    excesses.push(late.rss - (early.rss * 1.05 + 10 * MIB));
  } while (excesses.at(-1)! > 0 && excesses.length < 3);
  assertLess(excesses.at(-1)!, 0, `it grew too much, by as many bytes: ${excesses}`);
  return total;
}
