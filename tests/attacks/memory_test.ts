// Crowds that each have a server hold as much as it lets one of them.

import { assert, assertEquals, assertLess } from "@std/assert";
import { lengthPrefixed } from "../../codecs/length_prefixed.ts";
import type { ConnectOptions } from "../../connect/connect.ts";
import type { ServeOptions } from "../../serve/serve.ts";
import { prepare, type Session } from "../../session.ts";
import { Attacked, attacker, cannotAttack, hardLimit } from "../_attacked.ts";
import { ask } from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const MIB = 1024 * 1024;
/** What the server may hold here; by default it is 256 MiB. */
const LIMIT = 64 * MIB;

// Each says what it is told to say, over and over, as far as it is taken, and reads nothing.
const CROWD = `
import resource, select, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
count, kind, way = int(args[0]), args[1], args[2]
half = struct.pack(">I", 8 * 1024 * 1024) + bytes(4 * 1024 * 1024)
said = memoryview(half if kind == "half" else b"much\\n")
context = ssl._create_unverified_context()
left, at = {}, {}
poll = select.epoll()
for _ in range(count):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    if way == "tls":
        client = context.wrap_socket(client)
    client.setblocking(False)
    left[client.fileno()], at[client.fileno()] = client, 0
    poll.register(client.fileno(), select.EPOLLOUT)
print("all are here", flush=True)
stuck = False
while left:
    ready = poll.poll(2)
    if not ready and not stuck:
        stuck = True
        print("stuck", flush=True)
    for fileno, event in ready:
        client = left[fileno]
        try:
            at[fileno] += client.send(said[at[fileno]:at[fileno] + 65536])
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            continue
        except OSError:
            at[fileno] = len(said)
        if at[fileno] == len(said):
            poll.unregister(fileno)
            del left[fileno], at[fileno]
            held = globals().setdefault("held", [])
            held.append(client)
if not stuck:
    print("stuck", flush=True)
sys.stdin.read()
`;

const WAYS: [name: string, way: "plain" | "tls", Partial<ServeOptions>, ConnectOptions][] = [
  ["over TCP", "plain", {}, {}],
  ["under TLS", "tls", { tls: localhost }, { tls: { ca } }],
  ["over node:net", "plain", { transport: "node" }, {}],
];

/** Each attack, and how a good client asks meanwhile. */
const ATTACKS: [name: string, kind: string, crowd: number, handler: string, ask: Asking][] = [
  ["send half a frame of 8 MiB", "half", 400, "lengthPrefixed()", async (client) => {
    client.send(prepare(new Uint8Array(1234), lengthPrefixed()));
    assertEquals(await client.readLine(), "1234");
  }],
  ["do not read", "deaf", 300, "pushing", async (client) => {
    assertEquals(await ask(client, "rose"), "rose!");
  }],
];

type Asking = (client: Session) => Promise<void>;

for (const [name, kind, count, handler, askOne] of ATTACKS) {
  for (const [way, over, options, how] of WAYS) {
    Deno.test(`serve() keeps its memory beside ${count} who ${name} ${way}`, {
      timeout: 120_000,
      ignore: cannotAttack || overTls.ignore || await hardLimit() < count + 200,
    }, async () => {
      const settings = { ...options, maxBufferMemory: LIMIT, frameTimeout: 120_000 };
      await using server = await Attacked.start(handler, { ...settings, tcpBacklog: 4096 });
      await using good = await server.dial(how);
      await askOne(good);
      const before = (await server.report()).rss;
      await using attack = attacker(CROWD, server.port, `${count}`, kind, over);
      const { memory } = await server.until(({ memory }) => memory.pressure !== "none");
      assertLess(memory.held, LIMIT * 1.5);
      await askOne(good);
      await using late = await server.dial({ ...how, connectTimeout: 60_000 });
      await askOne(late);
      await attack.stdout.until(/stuck/);
      await askOne(good);
      const { memory: { held } } = await server.report();
      assert(held > LIMIT / 2 && held < LIMIT * 1.5, `${held} bytes are held`);
      // Beside what is held, 50 to 250 MB are TLS, garbage, and what the allocator keeps.
      const peak = await server.peak() - before;
      assertLess(peak, LIMIT + 400 * MIB);
    });
  }
}
