// Many clients at once: as many as a server takes by default, and as many as it has to say goodbye to.

import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import type { ServeOptions } from "../../serve/serve.ts";
import { Attacked, attacker, cannotAttack, COLLECTING, hardLimit } from "../_attacked.ts";
import { localhost, overTls } from "../_tls_serving.ts";

const attacked = { timeout: 60_000, ignore: cannotAttack };
const MANY = 10_000;
/** What a process needs besides. */
const SPARE = 200;

const CROWD = `
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
crowd = [dial() for _ in range(int(args[0]))]
print("all are here", flush=True)
sys.stdin.readline()
for at, client in enumerate(crowd):
    client.sendall(b"%d\\n" % at)
for at, client in enumerate(crowd):
    answer = b"%d!\\n" % at
    got = client.recv(100)
    while got != answer:
        assert answer.startswith(got) and len(got) > 0, (at, got)
        got += client.recv(100)
print("all are answered", flush=True)
sys.stdin.readline()
`;

const enough = await hardLimit() >= MANY + SPARE;

Deno.test(`serve() has 10,000 sessions at once (ignored below ulimit -Hn ${MANY + SPARE})`, {
  ...attacked,
  ignore: attacked.ignore || !enough,
}, async () => {
  await using server = await Attacked.start("echo", { tcpBacklog: 4096 }, { flags: COLLECTING });
  const { rss: before } = await server.collected();
  await using crowd = attacker(CROWD, server.port, `${MANY}`);
  await crowd.stdout.until(/all are here/);
  await server.until(({ active }) => active === MANY);
  assertLess(((await server.collected()).rss - before) / MANY, 20 * 1024);
  await using _late = await server.dial(); // the system makes the connection, and it waits
  await crowd.type("ask\n");
  await crowd.stdout.until(/all are answered/);
  assertEquals((await server.report()).accepted, MANY);
  await crowd.type("leave\n");
  const { stderr, code } = await crowd.ended();
  assertEquals([stderr, code], ["", 0]);
  const { ends, causes, active } = await server.until(({ accepted }) => accepted === MANY + 1);
  assertEquals(causes, {});
  await server.until((report) => Object.values(report.ends).reduce((a, b) => a + b) === MANY);
  assert(active >= 1 && Object.keys(ends).every((end) => end.startsWith("peer")));
});

// Stays, sends much when it is told to, and stays.
const STAY = `
context = ssl._create_unverified_context()
crowd = [context.wrap_socket(dial()) for _ in range(int(args[0]))]
print("all are here", flush=True)
sys.stdin.readline()
for client in crowd:
    client.sendall(bytes(int(args[1])))
print("all is sent", flush=True)
sys.stdin.readline()
`;

Deno.test("serve() takes little memory for sessions under TLS, also once they have sent much", {
  ...attacked,
  ignore: attacked.ignore || overTls.ignore,
}, async () => {
  const [CLIENTS, BYTES] = [800, 200_000];
  await using server = await Attacked.start("swallow", { tls: localhost }, { flags: COLLECTING });
  const dialled = await server.dial({ tls: { unsafelyIgnoreCertificateErrors: true } });
  await dialled.close();
  const before = (await server.collected()).rss;
  // The least of three: the allocator gives memory back when it likes. What was kept before was 306 KiB.
  const each = async (): Promise<number> => {
    let least = Infinity;
    for (let at = 0; at < 3; at++) least = Math.min(least, (await server.collected()).rss);
    return (least - before) / CLIENTS;
  };
  await using crowd = attacker(STAY, server.port, `${CLIENTS}`, `${BYTES}`);
  await crowd.stdout.until(/all are here/);
  await server.until(({ active }) => active === CLIENTS);
  assertLess(await each(), 60 * 1024);
  await crowd.type("send\n");
  await crowd.stdout.until(/all is sent/);
  await server.until(({ bytesRead }) => bytesRead === CLIENTS * BYTES);
  assertLess(await each(), 256 * 1024);
  await crowd.type("leave\n");
  assertEquals((await crowd.ended()).stderr, "");
});

// Each asks, and asks again once it is answered, until the server closes. Then it tells how many answers came.
const ASK = `
import selectors
answers, resets = 0, 0
waiting = selectors.DefaultSelector()
for _ in range(int(args[0])):
    client = dial()
    if args[1] == "tls":
        client = ssl._create_unverified_context().wrap_socket(client)
    client.sendall(b"question\\n")
    waiting.register(client, selectors.EVENT_READ)
print("all are here", flush=True)
while waiting.get_map():
    for key, _ in waiting.select():
        client = key.fileobj
        try:
            data = client.recv(1000)
        except ConnectionResetError:
            data, resets = b"", resets + 1
        if not data:
            waiting.unregister(client)
            client.close()
            continue
        answers += data.count(b"\\n")
        try:
            client.sendall(b"question\\n")
        except OSError:
            pass # what it was sent before, it still reads
print(answers, resets, flush=True)
`;

const SHUTDOWNS: [name: string, kind: string, clients: number, Partial<ServeOptions>][] = [
  ["1,000 busy sessions", "plain", 1000, {}],
  ["200 busy sessions under TLS", "tls", 200, { tls: localhost }],
];

for (const [name, kind, clients, options] of SHUTDOWNS) {
  Deno.test(`Server.shutdown() loses no answer of ${name}`, {
    ...attacked,
    ignore: attacked.ignore || overTls.ignore,
  }, async () => {
    await using server = await Attacked.start("busy", { shutdownTimeout: 30_000, ...options });
    await using crowd = attacker(ASK, server.port, `${clients}`, kind);
    await crowd.stdout.until(/all are here/);
    await server.until(({ active, answers }) => active === clients && answers > 2 * clients);
    await server.shutdown();
    const { stdout, stderr } = await crowd.ended();
    assertEquals(stderr, "");
    const { answers, ends, causes, shutdownTook } = await server.until(({ shutdownTook }) =>
      shutdownTook !== undefined
    );
    assertEquals(stdout, `all are here\n${answers} 0\n`);
    assertEquals([ends, causes], [{ drain: clients }, {}]);
    assertGreater(answers, 2 * clients);
    assertLess(shutdownTook!, 15_000);
  });
}
