// Datagrams from and to the tools of others: nc, socat and Python's socket module.

import { assertEquals } from "@std/assert";
import { connectDatagrams, serveDatagrams } from "../../datagram/mod.ts";
import { Peer, portOf, text } from "../_datagrams.ts";
import { canRun } from "../_permissions.ts";
import { cannotStartPython, isInstalled, Program } from "../_programs.ts";
import { bounded, overNet } from "../_serving.ts";

const lacksNc = overNet.ignore || !await canRun("nc");
const lacksSocat = overNet.ignore || !await isInstalled("socat", "-V");

/** A port on which nothing receives. */
async function freePort(): Promise<number> {
  await using peer = await Peer.bind();
  return peer.port;
}

/** Asks again and again until there is an answer: the other side may not receive yet, and datagrams may be lost. */
async function answerFrom(port: number, question: string): Promise<string> {
  await using client = await connectDatagrams({ port });
  for (let tries = 0; tries < 100; tries++) {
    await client.send(question);
    const answer = await client.receive({ timeout: 100 }).catch(() => undefined);
    if (answer !== undefined) return text(answer);
  }
  throw new Error(`no answer from port ${port}`);
}

Deno.test({ name: "nc -u talks to a server", ...bounded, ignore: lacksNc }, async () => {
  await using server = serveDatagrams(
    { port: 0 },
    (message, sender) => sender.send(text(message).toUpperCase()),
  );
  await using nc = new Program("nc", ["-u", "127.0.0.1", String(portOf(server))]);
  await nc.type("rose\n");
  await nc.stdout.until(/ROSE\n/);
  await nc.type("think\n");
  await nc.stdout.until(/ROSE\nTHINK\n/);
});

Deno.test({ name: "a client talks to nc -u -l", ...bounded, ignore: lacksNc }, async () => {
  const port = await freePort();
  await using nc = new Program("nc", ["-u", "-l", "127.0.0.1", String(port)]);
  await using client = await connectDatagrams({ port });
  for (let tries = 0; tries < 100 && nc.stdout.text === ""; tries++) {
    await client.send("rose\n");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await nc.stdout.until(/rose\n/);
  await nc.type("answer\n");
  assertEquals(text(await client.receive({ timeout: 10_000 })), "answer\n");
});

Deno.test({ name: "socat talks to a server", ...bounded, ignore: lacksSocat }, async () => {
  await using server = serveDatagrams({ port: 0 }, (message, sender) => sender.send(message));
  await using socat = new Program("socat", ["-", `UDP:127.0.0.1:${portOf(server)}`]);
  await socat.type("rose\n");
  await socat.stdout.until(/rose\n/);
});

Deno.test({ name: "a client talks to socat", ...bounded, ignore: lacksSocat }, async () => {
  const port = await freePort();
  await using _socat = new Program("socat", [`UDP-RECVFROM:${port},bind=127.0.0.1,fork`, "PIPE"]);
  assertEquals(await answerFrom(port, "rose"), "rose");
});

const PYTHON_CLIENT = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
for size in (0, 1, 1500, 65507):
    s.sendto(b"x" * size, ("127.0.0.1", int(sys.argv[1])))
    data, addr = s.recvfrom(65535)
    print(len(data), addr[1] == int(sys.argv[1]))
`;

const PYTHON_SERVER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    data, addr = s.recvfrom(65535)
    s.sendto(data.upper(), addr)
`;

Deno.test(
  { name: "Python's socket talks to a server", ...bounded, ignore: cannotStartPython },
  async () => {
    await using server = serveDatagrams({ port: 0 }, (message, sender) => sender.send(message));
    await using python = new Program("python3", ["-c", PYTHON_CLIENT, String(portOf(server))]);
    const { stdout, stderr } = await python.ended();
    assertEquals([stdout, stderr], ["0 True\n1 True\n1500 True\n65507 True\n", ""]);
  },
);

Deno.test(
  { name: "a client talks to Python's socket", ...bounded, ignore: cannotStartPython },
  async () => {
    await using python = new Program("python3", ["-c", PYTHON_SERVER]);
    const [port] = await python.stdout.until(/\d+(?=\n)/);
    assertEquals(await answerFrom(Number(port), "rose"), "ROSE");
  },
);
