// Floods, and what they do to the memory of a server. What is not bounded passes these bounds by far.

import { assertEquals, assertLess } from "@std/assert";
import type { ConnectOptions } from "../../connect/connect.ts";
import type { ServeOptions } from "../../serve/serve.ts";
import { attack, Attacked, attacker, cannotAttack, hardLimit } from "../_attacked.ts";
import { ask } from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const attacked = { timeout: 60_000, ignore: cannotAttack || overTls.ignore };
const MIB = 1024 * 1024;

/** Each way in, and what a flood may leave there that is dropped: under TLS, every record is garbage for a while. */
const WAYS: [
  name: string,
  kind: "plain" | "tls",
  garbage: number,
  Partial<ServeOptions>,
  ConnectOptions,
][] = [
  ["over TCP", "plain", 32 * MIB, {}, {}],
  ["under TLS", "tls", 128 * MIB, { tls: localhost }, { tls: { ca } }],
];

/** What a flood adds to a server's memory has to stay below a limit. */
async function assertGrowsLess(
  server: Attacked,
  limit: number,
  flood: () => Promise<unknown>,
): Promise<void> {
  const before = await server.report();
  await flood();
  const after = await server.report();
  assertLess(after.rss - before.rss, limit);
  assertLess(after.external - before.external, limit);
}

// Dials as it is told, and floods until the server takes no more, or has taken 300 MB.
const FLOOD = `
client = dial()
if args[0] == "tls":
    client = ssl._create_unverified_context().wrap_socket(client)
client.settimeout(1)
try:
    for _ in range(3000):
        client.sendall(b"x" * 100000)
    print("all sent", flush=True)
except TimeoutError:
    print("stuck", flush=True)
except OSError:
    print("cut off", flush=True)
sys.stdin.read()
`;

for (const [name, kind, garbage, options, how] of WAYS) {
  Deno.test(`Session.lines() accepts no line without an end ${name}`, attacked, async () => {
    await using server = await Attacked.start("echo", { closeTimeout: 1000, ...options });
    await using flood = attacker(FLOOD, server.port, kind);
    await assertGrowsLess(server, garbage, async () => {
      const { ends } = await server.until(({ ends }) => Object.keys(ends).length > 0);
      assertEquals(ends, { "limit FrameTooLargeError": 1 });
      await flood.stdout.until(/all sent|cut off/); // what comes while the server closes is dropped
    });
    await using good = await server.dial(how);
    assertEquals(await ask(good, "rose"), "rose!");
  });

  Deno.test(
    `serve() takes in next to nothing for a handler that does not read ${name}`,
    attacked,
    async () => {
      await using server = await Attacked.start("deaf", options);
      await using flood = attacker(FLOOD, server.port, kind);
      await assertGrowsLess(server, 16 * MIB, async () => {
        const [outcome] = await flood.stdout.until(/stuck|all sent/);
        assertEquals(outcome, "stuck"); // after what the kernel holds, which is no memory of the process
      });
      assertEquals((await server.report()).active, 1);
    },
  );
}

const SAY = `
for word in args:
    client = dial()
    client.sendall(bytes.fromhex(word))
    client.recv(1)
`;

Deno.test("lengthPrefixed() believes no length beyond its limit", attacked, async () => {
  await using server = await Attacked.start("lengthPrefixed(8)");
  const claims = ["7fffffffffffffff", "8000000000000000", "ffffffffffffffff", "0000000000800001"];
  await attack(SAY, server.port, ...claims);
  const report = await server.until(({ active }) => active === 0);
  assertEquals(report.ends, { "limit FrameTooLargeError": claims.length });
  assertEquals(report.causes, {});
});

// Claims 8 MiB and sends a byte of them, so often, and leaves or stays. Whoever leaves has been heard: it is answered
// by a close.
const CLAIM = `
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
claim = struct.pack(">I", 8 * 1024 * 1024) + b"x"
held = []
for _ in range(int(args[0])):
    client = dial()
    client.sendall(claim)
    held.append(client)
    if args[1] == "leave":
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        held.pop().close()
print("claimed", flush=True)
sys.stdin.read()
`;

const CLAIMS = 10_000;
/** What it takes to have them all at once. */
const DESCRIPTORS = CLAIMS + 200;

Deno.test(
  `lengthPrefixed() keeps no memory for 10,000 claims of 8 MiB at once (ignored below ulimit -Hn ${DESCRIPTORS})`,
  { ...attacked, ignore: attacked.ignore || await hardLimit() < DESCRIPTORS },
  async () => {
    await using server = await Attacked.start("lengthPrefixed()", {
      frameTimeout: 60_000,
      tcpBacklog: 4096,
    });
    await using claims = attacker(CLAIM, server.port, `${CLAIMS}`, "stay");
    await assertGrowsLess(server, CLAIMS * 25 * 1024, async () => {
      await claims.stdout.until(/claimed/);
      await server.until(({ active, bytesRead }) => active === CLAIMS && bytesRead === CLAIMS * 5);
    });
  },
);

Deno.test(
  "lengthPrefixed() keeps no memory for 10,000 claims of 8 MiB one after the other",
  attacked,
  async () => {
    await using server = await Attacked.start("lengthPrefixed()");
    await using claims = attacker(CLAIM, server.port, `${CLAIMS}`, "leave");
    await assertGrowsLess(server, 50 * MIB, async () => {
      await claims.stdout.until(/claimed/);
      const { ends } = await server.until(({ active }) => active === 0);
      assertEquals(ends, { "error TruncatedFrameError": CLAIMS });
    });
  },
);

const EMPTY = `
client = dial()
client.sendall(bytes.fromhex(args[0]) * 1000000)
client.shutdown(socket.SHUT_WR)
left = 2000000
while data := client.recv(65536):
    left -= len(data)
print(left)
`;

const FRAMES = [
  ["lengthPrefixed()", "00000000"],
  ["netstring()", "303a2c"],
  ["delimited()", "00"],
  ["lines()", "0a"],
] as const;

for (const [codec, frame] of FRAMES) {
  Deno.test(
    `${codec} takes a million empty frames from who does not read meanwhile`,
    attacked,
    async () => {
      await using server = await Attacked.start(codec);
      await assertGrowsLess(server, 32 * MIB, async () => {
        assertEquals(await attack(EMPTY, server.port, frame), "0\n");
        assertEquals((await server.until(({ active }) => active === 0)).ends, { peer: 1 });
      });
    },
  );
}

const NESTED = `
client = dial()
try:
    for _ in range(1000):
        client.sendall(b"[" * 10000)
except OSError:
    pass
`;

Deno.test("jsonLines() ends a session whose JSON is nested without an end", attacked, async () => {
  await using server = await Attacked.start("jsonLines()");
  await attack(NESTED, server.port);
  const { ends } = await server.until(({ active }) => active === 0);
  assertEquals(ends, { "limit FrameTooLargeError": 1 });
});
