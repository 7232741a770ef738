// Python's `socket` module on the other side, used as the tutorials for beginners use it.

import { assertEquals } from "@std/assert";
import { cannotStartPython, GreetingServer, Program, start } from "../_programs.ts";

const ignore = cannotStartPython;

const CLIENT = `
import socket, sys

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect(("127.0.0.1", int(sys.argv[1])))
print(s.recv(1024).decode("utf-8"))
for name in sys.argv[2:]:
    s.send(name.encode("utf-8"))
    print(s.recv(1024).decode("utf-8"))
s.send(b"exit")
print(s.recv(1024))
s.close()
`;

const SERVER = `
import socket, threading

def serve(sock, addr):
    sock.send(b"welcome!")
    while True:
        data = sock.recv(1024)
        if not data or data.decode("utf-8") == "exit":
            break
        sock.send(("hello, %s!" % data.decode("utf-8")).encode("utf-8"))
    sock.close()
    print("left", flush=True)

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(("127.0.0.1", 0))
s.listen(5)
print(s.getsockname()[1], flush=True)
while True:
    sock, addr = s.accept()
    threading.Thread(target=serve, args=(sock, addr), daemon=True).start()
`;

function python(code: string, ...args: string[]): Program {
  return new Program("python3", ["-c", code, ...args], { PYTHONIOENCODING: "utf-8" });
}

Deno.test({ name: "server.ts serves a client in Python", ignore }, async () => {
  await using server = await GreetingServer.start();
  const names = ["rose", "think", "babala", "żółw", "x".repeat(1016)];
  await using client = python(CLIENT, String(server.port), ...names);
  const { code, stdout, stderr } = await client.ended();
  assertEquals([code, stderr], [0, ""]);
  const replies = names.map((name) => `hello, ${name}!\n`).join("");
  assertEquals(stdout, `welcome!\n${replies}b''\n`); // recv() gives nothing: the end
  await server.program.stderr.until(/session 1 .* ended: local, /);
});

Deno.test({ name: "server.ts serves clients in Python side by side", ignore }, async () => {
  await using server = await GreetingServer.start("--delay", "50");
  await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    const names = [`rose ${i}`, `think ${i}`];
    await using client = python(CLIENT, String(server.port), ...names);
    const { stdout, stderr } = await client.ended();
    assertEquals(stderr, "");
    assertEquals(stdout, `welcome!\nhello, rose ${i}!\nhello, think ${i}!\nb''\n`);
  }));
});

Deno.test({ name: "client.ts talks to a threaded server in Python", ignore }, async () => {
  await using server = python(SERVER);
  const [, port] = await server.stdout.until(/^(\d+)\n/);
  await using rose = start("client.ts", "--port", port!);
  await using others = start("client.ts", "--port", port!, "think", "żółw", "x".repeat(1016));
  await rose.stdout.until(/^welcome!\n$/); // the one is still there while the other comes and goes
  assertEquals(await others.ended(), {
    code: 0,
    stdout: `welcome!\nhello, think!\nhello, żółw!\nhello, ${"x".repeat(1016)}!\n`,
    stderr: "",
  });
  await rose.type("rose\n");
  await rose.stdout.until(/hello, rose!\n$/);
  await rose.endInput();
  assertEquals(await rose.ended(), { code: 0, stdout: "welcome!\nhello, rose!\n", stderr: "" });
  await server.stdout.until(/left\nleft\n/);
  assertEquals(server.stderr.text, "");
});
