// Hundreds of clients that do as little as they can, beside some that work.

import { assert, assertEquals } from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import { serve, type ServeOptions } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { canRun } from "../_permissions.ts";
import { Program } from "../_programs.ts";
import { ask, portOf, until } from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

/** How long the server bears with whoever is slow: long enough for all others to be done meanwhile. */
const PATIENCE = 1_500;
/** The same for who does not read: what the kernel takes in for each, some MB, costs the server its time. */
const WRITE_PATIENCE = 3_000;
const GOOD = 20;
const QUESTIONS = 20;

// Each client sends one byte every 100 ms of what its kind begins with, until it is cut off; then all are told of.
const DRIVER = `
import select, socket, ssl, sys
port, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def hello():
    context, out = ssl.create_default_context(), ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return out.read()

said = {
    "handshake": hello,
    "header": lambda: b"PROXY TCP6 2001:db8::7 2001:db8::1 51324 443".ljust(107),
    "line": lambda: b"x" * 1000,
}.get(kind, bytes)()
clients = []
for _ in range(count):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    if kind == "tls reader":
        client = ssl._create_unverified_context().wrap_socket(client)
    if "reader" in kind:
        client.send(b"flood\\n")
    client.setblocking(False)
    clients.append(client)
print("ready", flush=True)
if "reader" in kind:
    sys.stdin.read()
    sys.exit()
poll = select.poll()
left = {client.fileno(): client for client in clients}
for fileno in left:
    poll.register(fileno, select.POLLIN)
at = 0
while left:
    for fileno, event in poll.poll(100):
        try:
            cut = left[fileno].recv(4096) == b""
        except OSError:
            cut = True
        if cut:
            poll.unregister(fileno)
            left.pop(fileno).close()
    for client in left.values():
        try:
            client.send(said[at:at + 1])
        except OSError:
            pass
    at += 1
print("all cut", flush=True)
`;

/** What the test sees, in its order. */
interface Watched {
  events: string[];
  options: Partial<ServeOptions>;
}

function watched(options: Partial<ServeOptions>): Watched {
  const events: string[] = [];
  return {
    events,
    options: {
      ...options,
      observer: {
        onRefusal: ({ reason, cause }) =>
          void events.push(`${reason}: ${String(cause).replace(/^.*: /s, "")}`),
        onSessionEnd: (_, { reason }) => void (reason !== "peer" && events.push(reason)),
      },
    },
  };
}

/** Lets the slow ones come, then the others, who have to be done before any of the slow is cut; then all of those are. */
async function siege(
  kind: string,
  settings: Partial<ServeOptions>,
  cut: RegExp,
  { how = {}, count = 300 }: { how?: ConnectOptions; count?: number } = {},
): Promise<void> {
  const { events, options } = watched(settings);
  await using server = serve({ port: 0, ...options }, async (session) => {
    for await (const line of session.lines()) {
      if (line === "flood") await flood(session);
      await session.send(`${line}!\n`);
    }
  });
  const port = portOf(server);
  const driver = ["-c", DRIVER, `${port}`, `${count}`, kind];
  await using slow = new Program("python3", driver);
  await slow.stdout.until(/ready/);
  await Promise.all(Array.from({ length: GOOD }, async (_, at) => {
    await using client = await connect({ port, ...how });
    for (let i = 0; i < QUESTIONS; i++) {
      assertEquals(await ask(client, `${at} ${i}`), `${at} ${i}!`);
    }
    await client.closeWrite();
  }));
  events.push("the others are done");
  // Who does not read does not learn of its end.
  if (!kind.includes("reader")) await slow.stdout.until(/all cut/);
  await until(() => events.length > count);
  await slow.endInput();
  assertEquals(events.shift(), "the others are done");
  assertEquals(events.length, count);
  for (const event of events) assert(cut.test(event), event);
  await using late = await connect({ port, ...how });
  assertEquals(await ask(late, "rose"), "rose!");
  assertEquals((await slow.ended()).stderr, "");
  assertEquals(server.sessions.size, 1);
}

/** Sends until nothing more is taken, and beyond. */
async function flood(session: Session): Promise<void> {
  const chunk = "x".repeat(10_000);
  for (;;) await session.send(chunk);
}

const beside = { ...overTls, ignore: overTls.ignore || !await canRun("python3") };

Deno.test(
  "serve() does its work beside 300 clients whose handshakes send a byte at a time",
  beside,
  async () => {
    const options = { tls: localhost, handshakeTimeout: PATIENCE };
    await siege("handshake", options, /^handshake: no handshake within 1500 ms/, {
      how: { tls: { ca } },
    });
  },
);

Deno.test(
  "serve() does its work beside 300 proxies who send headers by a byte at a time",
  beside,
  async () => {
    const options = {
      proxyProtocol: "required",
      trusted: ["127.0.0.1"],
      proxyHeaderTimeout: PATIENCE,
    } as const;
    const proxyHeader = { version: 2 } as const;
    await siege("header", options, /^proxy-header: not received within 1500 ms/, {
      how: { proxyHeader },
    });
  },
);

Deno.test(
  "serve() does its work beside 300 clients who send a line by a byte at a time",
  beside,
  async () => {
    await siege("line", { frameTimeout: PATIENCE }, /^frame-stalled$/);
  },
);

Deno.test("serve() does its work beside 100 clients who do not read", beside, async () => {
  await siege("reader", { writeTimeout: WRITE_PATIENCE }, /^write-stalled$/, { count: 100 });
});

Deno.test("serve() does its work beside 50 clients who do not read under TLS", beside, async () => {
  const options = { writeTimeout: WRITE_PATIENCE, tls: localhost };
  await siege("tls reader", options, /^write-stalled$/, { how: { tls: { ca } }, count: 50 });
});
