// Attacks on the memory of a server, and the good clients that use it meanwhile.

import { assertEquals } from "@std/assert";
import { lengthPrefixed } from "../codecs/length_prefixed.ts";
import type { ConnectOptions } from "../connect/connect.ts";
import type { ServeOptions } from "../serve/serve.ts";
import { prepare, type Session } from "../session.ts";
import { Attacked, attacker, cannotAttack } from "./_attacked.ts";
import { ask } from "./_serving.ts";
import { ca, localhost, overTls } from "./_tls_serving.ts";

/** Whether there can be no such attack here. */
export const cannotBesiege: boolean = cannotAttack || overTls.ignore;

/** Over what a server is attacked. */
export interface Way {
  readonly name: string;
  readonly crowd: "plain" | "tls";
  readonly server: Partial<ServeOptions>;
  readonly client: ConnectOptions;
}

export const WAYS: readonly Way[] = [
  { name: "over TCP", crowd: "plain", server: {}, client: {} },
  { name: "under TLS", crowd: "tls", server: { tls: localhost }, client: { tls: { ca } } },
  { name: "over node:net", crowd: "plain", server: { transport: "node" }, client: {} },
];

/** What each client of the crowd does, and how a good client asks meanwhile. */
export interface Attack {
  readonly name: string;
  readonly kind: "half" | "deaf";
  readonly handler: string;
  ask(client: Session): Promise<void>;
}

export const ATTACKS: readonly Attack[] = [
  {
    name: "send half a frame of 8 MiB",
    kind: "half",
    handler: "lengthPrefixed()",
    async ask(client): Promise<void> {
      client.send(prepare(new Uint8Array(1234), lengthPrefixed()));
      assertEquals(await client.readLine(), "1234");
    },
  },
  {
    name: "do not read",
    kind: "deaf",
    handler: "pushing",
    async ask(client): Promise<void> {
      assertEquals(await ask(client, "rose"), "rose!");
    },
  },
];

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

/** What an attack has led to. Sizes are bytes, times milliseconds. */
export interface Outcome {
  /** The resident memory of the process before the attack, and the most of it during the attack. */
  readonly before: number;
  readonly peak: number;
  /** The most that the server counted as held. */
  readonly held: number;
  /** How many sessions the server has ended. */
  readonly ended: number;
  /** How long a good client waited for each of its answers, and new ones for their first, in order of length. */
  readonly answers: readonly number[];
  readonly arrivals: readonly number[];
}

/** Attacks a server with a crowd, until no more comes of it and for `settling` more milliseconds. */
export async function besiege(
  attack: Attack,
  way: Way,
  count: number,
  limit: number,
  settling = 0,
): Promise<Outcome> {
  const settings = {
    ...way.server,
    maxBufferMemory: limit,
    frameTimeout: 120_000,
    handshakeTimeout: 60_000, // a crowd's handshakes take long
    tcpBacklog: 4096,
  };
  await using server = await Attacked.start(attack.handler, settings);
  const dial = (): Promise<Session> => server.dial({ ...way.client, connectTimeout: 60_000 });
  await using good = await dial();
  await attack.ask(good);
  const before = (await server.report()).rss;
  await using crowd = attacker(CROWD, server.port, `${count}`, attack.kind, way.crowd);
  let isOver = false;
  const until = crowd.stdout.until(/stuck/).then(() => pause(settling)).finally(() =>
    isOver = true
  );
  const answers: number[] = [];
  const arrivals: number[] = [];
  let held = 0;
  const stay = async (): Promise<void> => {
    while (!isOver) {
      answers.push(await timed(() => attack.ask(good)));
      held = Math.max(held, (await server.report()).memory.held);
      await pause(20);
    }
  };
  const arrive = async (): Promise<void> => {
    while (!isOver) {
      arrivals.push(
        await timed(async () => {
          await using client = await dial();
          await attack.ask(client);
        }),
      );
      await pause(50);
    }
  };
  await Promise.all([until, stay(), arrive()]);
  const { memory: { ended } } = await server.report();
  const peak = await server.peak();
  for (const waits of [answers, arrivals]) waits.sort((a, b) => a - b);
  return { before, peak, held, ended, answers, arrivals };
}

async function timed(run: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}
