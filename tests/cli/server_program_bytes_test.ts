// The services echo and discard, with clients in Python and others.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { cannotStart, Client, GreetingServer, Program } from "../_programs.ts";
import { cannotRun, runCommand } from "../_server_program.ts";

const ignore = cannotStart || await cannotRun("python3") || Deno.build.os !== "linux";

/** What every client below begins with. */
const COMMON = `
import hashlib, select, socket, sys, threading, os

port, pid, size = (int(arg) for arg in sys.argv[1:])
BLOCK = os.urandom(1 << 20)

def block(i): # no two are the same
    return i.to_bytes(8, "big") + BLOCK[8:]

def peak(): # of the server's memory, in bytes
    status = open(f"/proc/{pid}/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

def receive(sock, digest):
    while True:
        data = sock.recv(1 << 20)
        if not data:
            return
        digest.update(data)

sock = socket.create_connection(("127.0.0.1", port))
before = peak()
sent = hashlib.sha256()
received = hashlib.sha256()
`;

/** Runs a client to its end. It prints what it has to tell on one line. */
async function runClient(server: GreetingServer, code: string, size: number): Promise<string[]> {
  const { port, program } = server;
  const args = ["-c", COMMON + code, `${port}`, `${program.pid}`, `${size}`];
  const { code: exitCode, stdout, stderr } = await runCommand("python3", args);
  assertEquals([exitCode, stderr], [0, ""]);
  return stdout.trim().split(" ");
}

const MIB = 1024 * 1024;
/** Far more than a server takes that holds nothing, far less than what is sent. */
const MAX_GROWTH = 32 * MIB;

const ECHO = `
listener = threading.Thread(target=receive, args=(sock, received))
listener.start()
for i in range(size >> 20):
    data = block(i)
    sent.update(data)
    sock.sendall(data)
sock.shutdown(socket.SHUT_WR)
listener.join()
print(sent.hexdigest(), received.hexdigest(), peak() - before)
`;

Deno.test({ name: "server.ts --service echo sends 200 MB back as they were", ignore }, async () => {
  await using server = await GreetingServer.start("--service", "echo");
  const [sent, received, growth] = await runClient(server, ECHO, 200 * MIB);
  assertEquals(received, sent);
  assert(Number(growth) < MAX_GROWTH, `grew by ${growth} bytes`);
  await server.program.stderr.until(
    /session 1 .* ended: peer, after \d+ ms, 209715200 bytes in, 209715200 bytes out\n/,
  );
});

/** Sends without reading until nothing more is taken or all is sent, then reads everything. */
const STUBBORN = `
sock.setblocking(False)
count = 0
while count < size and select.select([], [sock], [], 1)[1]:
    taken = sock.send(block(count >> 20))
    sent.update(block(count >> 20)[:taken])
    count += taken
grown = peak() - before
sock.setblocking(True)
sock.shutdown(socket.SHUT_WR)
receive(sock, received)
print(sent.hexdigest(), received.hexdigest(), count, grown)
`;

Deno.test(
  { name: "server.ts --service echo stops reading from a client that takes nothing back", ignore },
  async () => {
    await using server = await GreetingServer.start("--service", "echo");
    const size = 100 * MIB;
    const [sent, received, count, growth] = await runClient(server, STUBBORN, size);
    assertEquals(received, sent);
    assert(Number(count) < size, "all was taken");
    assert(Number(growth) < MAX_GROWTH, `grew by ${growth} bytes`);
  },
);

const DISCARD = `
for i in range(size >> 20):
    sock.sendall(block(i))
sock.shutdown(socket.SHUT_WR)
print(len(sock.recv(1)), peak() - before)
`;

Deno.test(
  { name: "server.ts --service discard drops 50 MB and sends nothing", ignore },
  async () => {
    await using server = await GreetingServer.start("--service", "discard");
    const [heard, growth] = await runClient(server, DISCARD, 50 * MIB);
    assertEquals(heard, "0");
    assert(Number(growth) < MAX_GROWTH, `grew by ${growth} bytes`);
    await server.program.stderr.until(
      /session 1 .* ended: peer, after \d+ ms, 52428800 bytes in, 0 bytes out\n/,
    );
  },
);

for (
  const [command, argsFor] of [
    ["nc", (port: number) => ["-N", "127.0.0.1", `${port}`]],
    ["socat", (port: number) => ["-t60", "-", `TCP:127.0.0.1:${port}`]],
  ] as const
) {
  Deno.test({
    name: `server.ts --service echo sends all back to ${command} after the end of its input`,
    ignore: cannotStart || await cannotRun(command),
  }, async () => {
    await using server = await GreetingServer.start("--service", "echo");
    const text = "rose\nżółw 🐢\r\n\0think".repeat(5000);
    const result = await runCommand(command, argsFor(server.port), text);
    assertEquals(result, { code: 0, stdout: text, stderr: "" });
  });
}

for (const service of ["echo", "discard"]) {
  Deno.test({
    name: `server.ts --service ${service} does not wait for the silent on SIGTERM`,
    ignore: cannotStart,
  }, async () => {
    await using server = await GreetingServer.start(
      ...["--service", service, "--shutdown-timeout", "none"],
    );
    using client = await Client.connect(server.port);
    await client.say("rose");
    if (service === "echo") await client.hear("rose");
    else await server.program.stderr.until(/session 1 .* started/);
    server.program.kill("SIGTERM");
    await client.hearEnd();
    client.conn.close();
    const { code, stderr } = await server.program.ended();
    assertEquals(code, 0);
    assertMatch(stderr, /session 1 .* ended: drain, after \d+ ms, 4 bytes in/);
  });
}

/** Goes on until it is told to stop, a few times in a second. */
const ENDLESS = `
i = 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    sock.sendall(block(i))
    sent.update(block(i))
    left = len(BLOCK)
    while left > 0:
        data = sock.recv(left)
        if not data:
            sys.exit("cut off")
        received.update(data)
        left -= len(data)
    i += 1
    print(i, flush=True)
sock.shutdown(socket.SHUT_WR)
receive(sock, received)
print(sent.hexdigest() == received.hexdigest())
`;

Deno.test(
  { name: "server.ts --service echo lets a transfer come to its end on SIGTERM", ignore },
  async () => {
    await using server = await GreetingServer.start("--service", "echo");
    const { port, program } = server;
    const args = ["-c", COMMON + ENDLESS, `${port}`, `${program.pid}`, "0"];
    await using client = new Program("python3", args);
    await client.stdout.until(/1/);
    using silent = await Client.connect(port);
    await program.stderr.until(/session 2 .* started/);
    program.kill("SIGTERM");
    await silent.hearEnd();
    silent.conn.close();
    await program.stderr.until(/session 2 .* ended: drain/); // by then, both have been looked at
    await client.endInput();
    const { code, stdout, stderr } = await client.ended();
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /\nTrue\n$/);
    assertMatch((await program.ended()).stderr, /draining[^]*session 1 .* ended: peer, /);
  },
);
