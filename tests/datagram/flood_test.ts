// A flood of datagrams at a slow handler: memory stays bounded, and TCP sessions of the same process are served.

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { connectDatagrams } from "../../datagram/mod.ts";
import { text } from "../_datagrams.ts";
import { cannotStartPython, Program } from "../_programs.ts";
import { bounded } from "../_serving.ts";

/** Sends as fast as it can, from many ports, until its standard input ends. */
const FLOOD = `
import socket, sys, threading
socks = []
for _ in range(50):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", int(sys.argv[1])))
    socks.append(s)
over = False
def wait():
    global over
    sys.stdin.read()
    over = True
threading.Thread(target=wait, daemon=True).start()
sent = 0
data = b"x" * 1000
while not over:
    for s in socks:
        try:
            s.send(data)
            sent += 1
        except OSError:
            pass
print(sent)
`;

interface Figures {
  line: string;
  received: number;
  dropped: number;
  queuedBytes: number;
  active: number;
  rss: number;
}

for (const overflow of ["drop-newest", "drop-oldest"] as const) {
  Deno.test({
    name: `a flood leaves memory bounded and TCP served: ${overflow}`,
    ...bounded,
    ignore: cannotStartPython,
  }, async () => {
    await using server = new Program("deno", [
      ...[
        "run",
        "--quiet",
        "--allow-net",
        "--allow-sys",
        "tests/datagram/_flooded_server.ts",
        overflow,
      ],
    ]);
    const [printed] = await server.stdout.until(/\[.*\]/);
    const [tcpPort, udpPort] = JSON.parse(printed) as [number, number];
    await using session = await connect({ port: tcpPort });
    async function ask(line: string): Promise<Figures> {
      await session.send(`${line}\n`);
      return JSON.parse(await session.readLine() ?? "{}");
    }
    const before = await ask("before");
    await using flood = new Program("python3", ["-c", FLOOD, String(udpPort)]);
    // Until the queue, of 835 such datagrams, has been full for some time.
    let during = before;
    let most = 0;
    for (let count = 0; during.dropped < 1_000; count++) {
      during = await ask(String(count));
      assertEquals(during.line, String(count));
      assert(during.queuedBytes <= 2 ** 20 && during.active <= 10, JSON.stringify(during));
      most = Math.max(most, during.rss);
    }
    await flood.endInput();
    const { stdout } = await flood.ended();
    assert(Number(stdout) >= during.received, stdout);
    // 1 MiB of queue, and garbage: 64 KiB for each datagram that came.
    assert(most - before.rss < 300 * 2 ** 20, `${before.rss} bytes before, ${most} in the flood`);
    // It still answers.
    await using client = await connectDatagrams({ port: udpPort });
    let answer: Uint8Array | undefined;
    while (answer === undefined) {
      await client.send("rose");
      answer = await client.receive({ timeout: 500 }).catch(() => undefined);
    }
    assertEquals(text(answer), "rose");
  });
}
