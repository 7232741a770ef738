import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { hasDenoSockets } from "../../../_internal/deno_sockets.ts";
import { systemErrors } from "../../../_internal/system_error_classes.ts";
import { connect, type ConnectOptions } from "../../../connect/connect.ts";
import { ConnectError, ConnectionRefusedError, UnknownHostError } from "../../../errors.ts";
import { serve, type ServeOptions } from "../../../serve/serve.ts";
import { listen } from "../../../transport/listen.ts";
import { memoryListener } from "../../../transport/mod.ts";
import { runtime } from "../../../transport/node/handles.ts";
import { dial, dialNodeFrom, listenNodeTcp, nodePair, placeOf, testWays } from "../../_node.ts";
import { canRun, hasUnixListening } from "../../_permissions.ts";
import { ask, bounded, echo, overNet, portOf, runModule } from "../../_serving.ts";
import { makeTempDir } from "../../_temp_dir.ts";
import { Peer } from "../../_transports.ts";

const isLinux = Deno.build.os === "linux";
const node = { transport: "node" } as const;
const canRunDeno = !overNet.ignore && await canRun("deno");

/** What Linux says of one end of a connection: the timer that runs, and the hundredths of a second that it has left. */
async function timerOf(port: number, remotePort: number): Promise<string> {
  const { stdout } = await new Deno.Command("bash", {
    args: ["-c", "cat /proc/net/tcp"],
    stdin: "null",
  }).output();
  const [local, remote] = [port, remotePort].map((port) =>
    `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  );
  return new TextDecoder().decode(stdout).split("\n").slice(1)
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => fields[1]?.endsWith(local!) && fields[2]!.endsWith(remote!))![5]!;
}

/** Whether a connection is probed by one of its ends (timer 2), and in how many seconds. */
async function probedIn(port: number, remotePort: number): Promise<number | undefined> {
  for (;;) {
    const [timer, left] = (await timerOf(port, remotePort)).split(":");
    // While something is not acknowledged yet, another timer runs.
    if (timer !== "01") return timer === "02" ? parseInt(left!, 16) / 100 : undefined;
  }
}

testWays("serve() and connect() probe silent peers after as long as keepAlive says", async () => {
  if (!isLinux || !await canRun("bash")) return;
  for (
    const [keepAlive, least, most] of [
      [undefined, undefined, undefined],
      [false, undefined, undefined],
      [90_000, 60, 90],
      [30_500, 10, 31],
      [true, 7000, 7200],
    ] as const
  ) {
    const listener = await listenNodeTcp();
    const options: ServeOptions = keepAlive === undefined ? {} : { keepAlive };
    await using server = serve({ listener, ...node, ...options }, echo);
    await using client = await connect({ port: portOf(server), ...node, ...options });
    assertEquals(await ask(client, "rose"), "rose!");
    const ports = [portOf(server), (client.localAddr as Deno.NetAddr).port] as const;
    for (const [port, remotePort] of [ports, ports.toReversed() as [number, number]]) {
      const seconds = await probedIn(port, remotePort);
      if (least === undefined) assertEquals(seconds, undefined);
      else assert(seconds! >= least && seconds! <= most, `${keepAlive} ms, got ${seconds} s`);
    }
  }
});

testWays("A node connection resets on reset()", async () => {
  const [near, far] = await nodePair();
  const reading = far.read(new Uint8Array(1));
  near.reset!();
  await assertRejects(() => reading, Deno.errors.ConnectionReset);
  near.reset!();
  await assertRejects(() => near.read(new Uint8Array(1)), Deno.errors.BadResource);
  far.close();
});

testWays("dialNode() comes from localAddress", async () => {
  const listener = await listenNodeTcp();
  const [near, far] = await Promise.all([
    listener.accept(),
    dialNodeFrom("127.0.0.7", placeOf(listener.addr)),
  ]);
  assertEquals((near.remoteAddr as Deno.NetAddr).hostname, "127.0.0.7");
  assertEquals(far.localAddr, near.remoteAddr);
  near.close();
  far.close();
  listener.close();
});

testWays("dialNode() tries all addresses of a name (RFC 8305)", async () => {
  const listener = await listenNodeTcp(); // on 127.0.0.1 only, and localhost may be ::1 first
  const [near, far] = await Promise.all([
    listener.accept(),
    dial({ hostname: "localhost", port: portOf(listener) }),
  ]);
  await far.write(Uint8Array.of(7));
  assertEquals([...await new Peer(near).bytes(1)], [7]);
  near.close();
  far.close();
  listener.close();
});

testWays("connect() names what is wrong over node:net", async () => {
  const listener = await listenNodeTcp();
  const port = portOf(listener);
  listener.close();
  await assertRejects(() => connect({ port, ...node }), ConnectionRefusedError);
  const unknown: ConnectOptions = { hostname: "nonexistent.invalid", port: 9, ...node };
  await assertRejects(() => connect(unknown), UnknownHostError, "has no address");
  const path = "/nonexistent/parley.sock";
  await assertRejects(() => connect({ path, ...node }), ConnectError, "no such file");
  const foreign: ConnectOptions = { port: 9, localAddress: "192.0.2.1", ...node };
  await assertRejects(() => connect(foreign), ConnectError);
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  assertEquals(await connect({ port: 9, signal, ...node }).catch((error) => error), reason);
});

Deno.test(
  "serve() and connect() refuse what a transport cannot do",
  { permissions: "none", ignore: !hasDenoSockets },
  async () => {
    const listener = memoryListener();
    const servers: [ServeOptions, string][] = [
      [{ port: 0, transport: "bun" as "deno" }, 'transport must be "deno" or "node", got "bun"'],
      [{ port: 0, keepAlive: 5000 }, 'keepAlive in milliseconds needs transport: "node"'],
      [
        { port: 0, keepAlive: 5, ...node },
        "keepAlive must be an integer from 1000 to 32767000, got 5",
      ],
      [
        { port: 0, keepAlive: "on" as unknown as true },
        "keepAlive must be true, false or a number",
      ],
      [{ fd: 3 }, 'fd needs transport: "node"'],
      [{ fd: -1, ...node }, "fd must be an integer from 0 to 2147483647, got -1"],
      [{ fd: 3, port: 0, ...node }, "fd and port exclude each other"],
      [{ fd: 3, listener, ...node }, "fd and listener exclude each other"],
      [{ fd: 3, reusePort: true, ...node }, "fd and reusePort exclude each other"],
      [{ port: 0, reusePort: 1 as unknown as true, ...node }, "reusePort must be true or false"],
    ];
    for (const [options, says] of servers) {
      const error = assertThrows(() => serve(options, () => {}), Error, says);
      assert(error instanceof TypeError || error instanceof RangeError);
    }
    const clients: [ConnectOptions, string][] = [
      [{ port: 9, transport: "bun" as "deno" }, 'transport must be "deno" or "node", got "bun"'],
      [{ port: 9, localAddress: "127.0.0.1" }, 'localAddress needs transport: "node"'],
      [
        { port: 9, localAddress: "rose", ...node },
        'localAddress must be an IP address, got "rose"',
      ],
      [{ path: "/x", localAddress: "127.0.0.1", ...node }, "localAddress is for TCP"],
      [{ port: 9, keepAlive: 5000 }, 'keepAlive in milliseconds needs transport: "node"'],
    ];
    for (const [options, says] of clients) {
      const error = await assertRejects(() => connect(options), Error, says);
      assert(error instanceof TypeError || error instanceof RangeError);
    }
  },
);

Deno.test("serve() shares its port over node:net without a flag", {
  ...bounded,
  ignore: !canRunDeno || !isLinux,
}, async () => {
  const { code, stdout, stderr } = await runModule(`
    import { connect } from "library/connect/connect.ts";
    import { serve } from "library/serve/serve.ts";
    const counts = [0, 0];
    const options = { transport: "node", reusePort: true };
    const greet = (i) => (session) => void counts[i]++;
    await using one = serve({ ...options, port: 0 }, greet(0));
    const { port } = one.addr;
    await using two = serve({ ...options, port }, greet(1));
    for (let i = 0; i < 100; i++) {
      await using client = await connect({ port, transport: "node" });
      await client.text().next();
    }
    console.log(counts[0] + counts[1], counts[0] > 10, counts[1] > 10);
  `);
  assertEquals([code, stdout], [0, "100 true true\n"], stderr);
});

Deno.test("Finding out whether one can listen takes no connection from others on the port", {
  ...overNet,
  ignore: overNet.ignore || !isLinux || runtime.handles()?.reusePort === undefined,
}, async () => {
  const options = { ...node, hostname: "127.0.0.1", reusePort: true };
  const listener = listen({ ...options, port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const trial = listen({ ...options, port, isTrial: true });
  const clients = await Promise.all(Array.from({ length: 30 }, () => Deno.connect({ port })));
  trial.close();
  const ends = clients.map((client) => client.read(new Uint8Array(1)).catch(String));
  const taken = (async () => {
    for (const _ of clients) (await listener.accept()).close();
  })();
  assertEquals(await Promise.all(ends), clients.map(() => null)); // half of them would be reset
  await taken;
  for (const client of clients) client.close();
  const alone = { ...options, port, reusePort: false, isTrial: true };
  assertThrows(() => listen(alone), systemErrors.AddrInUse);
  listener.close();
});

for (const kind of ["TCP", "Unix"]) {
  Deno.test(`serve() takes a descriptor that listens on ${kind}, without a permission`, {
    ...bounded,
    ignore: !canRunDeno || !hasUnixListening || !await canRun("python3"),
  }, async () => {
    await using dir = await makeTempDir();
    const { code, stdout, stderr } = await runModule(
      `
      import { serve } from "library/serve/serve.ts";
      const server = serve({ fd: 3, transport: "node" }, async (session) => {
        await session.send("welcome!");
        server.shutdown();
      });
      await server.listening;
      await server.finished;
      console.log(server.addr.transport);
    `,
      { through: ["python3", "-c", LISTENING, kind, `${dir.path}/test.sock`] },
    );
    assertEquals([code, stdout], [0, `${kind === "TCP" ? "tcp" : "unix"}\nwelcome!\n`], stderr);
  });
}

/** Listens, starts a program with the descriptor as its third, and is greeted. */
const LISTENING = `
import os, socket, subprocess, sys
kind, path, *command = sys.argv[1:]
listener = socket.socket(socket.AF_INET if kind == "TCP" else socket.AF_UNIX)
listener.bind(("127.0.0.1", 0) if kind == "TCP" else path)
listener.listen()
os.dup2(listener.fileno(), 3)
program = subprocess.Popen(["deno"] + command, pass_fds=[3])
client = socket.socket(listener.family)
client.connect(listener.getsockname())
text = client.recv(100)
program.wait()
print(text.decode(), flush=True)
assert kind == "TCP" or os.path.exists(path)
sys.exit(program.returncode)
`;
