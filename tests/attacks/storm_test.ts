// Clients that come in storms and leave in every rude way, and servers that run out of descriptors.

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { ConnectOptions } from "../../connect/connect.ts";
import type { ServeOptions } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { attack, Attacked, attacker, cannotAttack } from "../_attacked.ts";
import { ask } from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const attacked = { timeout: 60_000, ignore: cannotAttack || overTls.ignore };

/** Each kind of port, and how good clients come in. */
const PORTS: [name: string, options: Partial<ServeOptions>, how: ConnectOptions][] = [
  ["a plain port", {}, {}],
  ["a TLS port", { tls: localhost }, { tls: { ca } }],
  [
    "a port behind proxies",
    { proxyProtocol: "required", trusted: ["127.0.0.1"] },
    { proxyHeader: { version: 2 } },
  ],
  [
    "a TLS port behind proxies",
    { proxyProtocol: "required", trusted: ["127.0.0.1"], tls: localhost },
    { proxyHeader: { version: 1 }, tls: { ca } },
  ],
];

// Comes with nothing, with the beginning of something, or with all of it; and goes by a reset, a FIN, or half a FIN.
const STORM = `
header = b"PROXY TCP4 192.0.2.7 198.51.100.1 51324 443\\r\\n"
begins = [b"", header[:9], header, header + hello()[:20], hello()[:100], hello(), b"question\\n"]
waiting = []
for at in range(400):
    client = dial()
    try:
        if "tls" in args and at % 8 == 0:
            client.sendall(header if "behind" in args else b"")
            client = ssl._create_unverified_context().wrap_socket(client)
        client.sendall(begins[at % len(begins)])
        if at % 3 == 0:
            reset(client)
        elif at % 3 == 1:
            client.close()
        else:
            client.shutdown(socket.SHUT_WR)
            waiting.append(client)
    except OSError:
        client.close()
for client in waiting:
    try:
        while client.recv(4096):
            pass
    except OSError:
        pass
`;

/** Asks again and again until `over`, at least once. */
async function keepAsking(client: Session, over: Promise<unknown>): Promise<void> {
  let isOver = false;
  over.then(() => isOver = true, () => isOver = true);
  for (let at = 0; !isOver || at === 0; at++) assertEquals(await ask(client, `${at}`), `${at}!`);
}

for (const [name, options, how] of PORTS) {
  Deno.test(`serve() survives storms of misbehaving clients on ${name}`, attacked, async () => {
    await using server = await Attacked.start("echo", { handshakeTimeout: 60_000, ...options });
    const good = await server.dial(how);
    assertEquals(await ask(good, "rose"), "rose!");
    const kinds = [
      ...("tls" in options ? ["tls"] : []),
      ...("trusted" in options ? ["behind"] : []),
    ];
    await attack(STORM, server.port, ...kinds); // what the runtime opens once for all, it has open then
    await server.until(({ active }) => active === 1);
    const before = await server.sockets();
    const storms = Promise.all([1, 2].map(() => attack(STORM, server.port, ...kinds)));
    await keepAsking(good, storms);
    await storms;
    await server.until(({ active }) => active === 1);
    assertEquals(await ask(good, "still"), "still!");
    await server.untilSockets(before);
    await good.close();
    const { ends, causes } = await server.until(({ active }) => active === 0);
    for (const end of Object.keys(ends)) assertMatch(end, /^peer/);
    for (const cause of Object.keys(causes)) assertMatch(cause, /^(handshake|left|proxy-header)\b/);
    await server.end();
  });
}

const LIMIT = 128;

// Holds twice as many connections as the server has descriptors until it is told to let go.
const HOLD = `
held = [dial() for _ in range(256)]
print("held", flush=True)
sys.stdin.read()
`;

for (const [name, options, how] of PORTS.slice(0, 2)) {
  Deno.test(
    `serve() goes on by itself after a lack of descriptors on ${name}`,
    attacked,
    async () => {
      const timeouts = { handshakeTimeout: 60_000, idleTimeout: 60_000 };
      await using server = await Attacked.start("echo", { ...timeouts, ...options }, {
        ulimit: `-n ${LIMIT}`,
      });
      await using good = await server.dial(how);
      assertEquals(await ask(good, "rose"), "rose!");
      const before = await server.sockets();
      await using holder = attacker(HOLD, server.port);
      await holder.stdout.until(/held/);
      const { accepted } = await server.until(({ causes }) => (causes["accept EMFILE"] ?? 0) >= 3);
      assert(accepted < LIMIT, `${accepted} were accepted`);
      assertEquals(await ask(good, "still"), "still!");
      await holder.endInput();
      await holder.ended();
      await using late = await server.dial({ ...how, connectTimeout: 60_000 });
      assertEquals(await ask(late, "think"), "think!");
      await late.close();
      const { causes } = await server.until(({ active }) => active === 1);
      assert(causes["accept EMFILE"]! < 100, `${causes["accept EMFILE"]} times`);
      await server.untilSockets(before);
      await good.close();
      await server.end();
    },
  );
}
