import { assert, assertEquals } from "@std/assert";
import { serve } from "../../serve/serve.ts";
import { cannotStartPython, Client, Program } from "../_programs.ts";
import { bounded, portOf } from "../_serving.ts";

const MIB = 1024 * 1024;
const SIZE = 200_000_000;

/** Feeds a program with bytes that repeat only after a while, and tells what it took: digests and memory. */
const FEED = `import hashlib, os, subprocess, sys, threading
size, args = int(sys.argv[1]), sys.argv[2:]
program = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
sent, got = hashlib.sha256(), hashlib.sha256()

def feed():
    piece, left = os.urandom(1000003), size
    while left > 0:
        chunk = piece[:left]
        sent.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[program.stdin.write(view):]
        left -= len(chunk)
    program.stdin.close()

feeder = threading.Thread(target=feed)
feeder.start()
length = 0
while chunk := program.stdout.read(1 << 16):
    got.update(chunk)
    length += len(chunk)
feeder.join()
_, status, usage = os.wait4(program.pid, 0)
code = os.waitstatus_to_exitcode(status)
print(code, length, sent.hexdigest() == got.hexdigest(), usage.ru_maxrss)`;

interface Transfer {
  code: number;
  length: number;
  isSame: boolean;
  /** The most memory that the program has held, in bytes. */
  peak: number;
}

async function transfer(size: number, port: number): Promise<Transfer> {
  const client = ["deno", "run", "--quiet", "--allow-net", "client.ts", "--raw"];
  const args = ["-c", FEED, `${size}`, ...client, "--port", `${port}`];
  await using program = new Program("python3", args);
  await program.endInput();
  const { stdout, stderr } = await program.ended();
  assertEquals(stderr, "");
  const [code, length, isSame, peak] = stdout.trim().split(" ");
  return {
    code: Number(code),
    length: Number(length),
    isSame: isSame === "True",
    peak: Number(peak) * 1024,
  };
}

Deno.test({
  name: "client.ts --raw carries 200 MB to an echo and back whole, in little memory",
  ...bounded,
  ignore: cannotStartPython || Deno.build.os !== "linux", // where ru_maxrss counts KiB
}, async () => {
  await using server = serve({ port: 0 }, async (session) => {
    for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
  });
  const port = portOf(server);
  const little = await transfer(1000, port);
  assertEquals([little.code, little.length, little.isSame], [0, 1000, true]);
  const { code, length, isSame, peak } = await transfer(SIZE, port);
  assertEquals([code, length, isSame], [0, SIZE, true]);
  const growth = Math.round((peak - little.peak) / MIB);
  assert(growth < 64, `it took ${growth} MiB more than for 1000 bytes`);
});

Deno.test({
  name: "client.ts --raw buffers no more than it can write, while its output is not read",
  ...bounded,
  ignore: cannotStartPython,
}, async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  // Its output stays unread: the test takes it only at the end.
  const stalled =
    `exec 3< <(exec deno run --quiet --allow-net client.ts --raw --port ${listener.addr.port} <<<"go"); ` +
    `read -r; wc -c <&3`;
  await using program = new Program("bash", ["-c", stalled]);
  using client = new Client(await listener.accept());
  const { conn: peer } = client;
  await client.hear("go\n");
  await client.hearEnd();
  const chunk = new Uint8Array(64 * 1024);
  let sent = 0;
  // Once no write is taken for so long, all buffers in between are full.
  for (;;) {
    const write = peer.write(chunk);
    const taken = await Promise.race([write, new Promise<0>((r) => setTimeout(r, 500, 0))]);
    if (taken > 0) {
      sent += taken;
      assert(sent < 64 * MIB, "it takes all in");
      continue;
    }
    await program.type("\n"); // now all is read
    sent += await write;
    break;
  }
  await peer.closeWrite();
  const { code, stdout } = await program.ended();
  assertEquals([code, Number(stdout)], [0, sent]);
});
