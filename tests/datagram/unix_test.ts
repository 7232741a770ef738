// Unix datagram sockets, which need --unstable-net: a process of its own has it.

import { assertEquals } from "@std/assert";
import { canRun, canUnix } from "../_permissions.ts";
import { cannotStartPython, Program } from "../_programs.ts";
import { bounded } from "../_serving.ts";
import { makeTempDir } from "../_temp_dir.ts";

const ignore = !canUnix || !await canRun("deno");

/** Runs code with the flag, in a directory of its own. */
async function runUnstable(directory: string, code: string): Promise<string> {
  const module = JSON.stringify(import.meta.resolve("../../datagram/mod.ts"));
  const file = `${directory}/test.ts`;
  await Deno.writeTextFile(
    file,
    `import { connectDatagrams, serveDatagrams } from ${module};
    import { assertEquals, assertRejects, assertThrows } from "node:assert";
    const [path, localPath] = [${JSON.stringify(directory)} + "/server", ${
      JSON.stringify(directory)
    } + "/client"];
    const text = (bytes) => new TextDecoder().decode(bytes);
    ${code}`,
  );
  await using program = new Program("deno", [
    ...["run", "--no-check", "--quiet", "--unstable-net", "--allow-all", file],
  ], { NO_COLOR: "1" });
  const { stdout, stderr } = await program.ended();
  return stdout + stderr;
}

Deno.test(
  { name: "Unix datagram sockets carry datagrams both ways", ...bounded, ignore },
  async () => {
    await using directory = await makeTempDir();
    const printed = await runUnstable(
      directory.path,
      `
    const server = serveDatagrams({ path, maxMessageSize: 60_000 }, async (message, sender) => {
      // Later, when the socket waits for the next datagram.
      await new Promise((done) => setTimeout(done, message.length % 2));
      console.log(message.length, sender.remoteAddr.path === localPath, sender.isProven);
      return sender.send(new Uint8Array(message.length * 10 + 1));
    });
    await server.listening;
    const client = await connectDatagrams({ path, localPath });
    for (const size of [0, 1, 4999]) {
      await client.send(new Uint8Array(size));
      console.log((await client.receive()).length);
    }
    await client.send(new Uint8Array(60_001));
    while (server.stats().drops["too-large"] === 0) await new Promise((done) => setTimeout(done, 5));
    try {
      serveDatagrams({ path }, () => {});
    } catch (error) {
      console.log(error.name);
    }
    await client.close();
    await server.shutdown();
    try {
      const nobody = await connectDatagrams({ path, localPath });
      await nobody.send("x").catch((error) => console.log(error.name));
      await nobody.close();
    } catch (error) {
      console.log(error);
    }
    `,
    );
    assertEquals(
      printed,
      "0 true true\n1\n1 true true\n11\n4999 true true\n49991\nAddrInUse\nNotFound\n",
    );
    const left = await Array.fromAsync(Deno.readDir(directory.path));
    assertEquals(left.map(({ name }) => name), ["test.ts"]);
  },
);

Deno.test({
  name: "A Unix datagram server tells that its file was removed while it sends",
  ...bounded,
  ignore,
}, async () => {
  await using directory = await makeTempDir();
  const printed = await runUnstable(
    directory.path,
    `
    const { promise, resolve } = Promise.withResolvers();
    const server = serveDatagrams({ path, observer: { onReceiveError: resolve } }, () => {});
    await server.listening;
    await new Promise((done) => setTimeout(done, 20)); // the socket waits for a datagram
    Deno.removeSync(path);
    const sent = server.send("rose", { transport: "unixpacket", path: localPath });
    sent.catch((error) => console.log("not sent", error.message));
    console.log((await promise).name);
    server.abort();
    await server.finished;
    `,
  );
  assertEquals(printed, "NotFound\nnot sent the socket is closed\n");
});

Deno.test({
  name: "A Unix datagram server waits longer and longer while it cannot receive",
  ...bounded,
  ignore,
}, async () => {
  await using directory = await makeTempDir();
  const printed = await runUnstable(
    directory.path,
    `
    // Nothing makes a socket fail at once for ever, so it is replaced.
    let isBroken = true;
    let failures = 0;
    const { listenDatagram } = Deno;
    Deno.listenDatagram = (options) => {
      const conn = listenDatagram(options);
      return {
        receive(buffer) {
          if (!isBroken || failures === 1000) return conn.receive(buffer);
          failures++;
          return Promise.reject(new Error("broken"));
        },
        send: (message, to) => conn.send(message, to),
        close: () => conn.close(),
      };
    };
    const received = Promise.withResolvers();
    const server = serveDatagrams({ path, observer: { onReceiveError() {} } }, received.resolve);
    await server.listening;
    while (server.stats().receiveErrors < 5) await new Promise((done) => setTimeout(done, 5));
    await new Promise((done) => setTimeout(done, 100));
    console.log(failures < 20, server.stats().receiveErrors === failures);
    await server.send("rose", { transport: "unixpacket", path: localPath }).catch(({ name }) => console.log(name));
    isBroken = false;
    const client = await connectDatagrams({ path, localPath });
    await client.send("rose");
    console.log(text(await received.promise));
    const before = failures;
    isBroken = true;
    await client.send("rose");
    while (server.stats().receiveErrors === before) await new Promise((done) => setTimeout(done, 5));
    await client.close();
    server.abort(); // which does not wait any longer
    await server.finished;
    `,
  );
  assertEquals(printed, "true true\nNotFound\nrose\n");
});

/** Sends all that the server takes, and reads nothing. */
const DEAF = `
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[2])
s.setblocking(False)
while True:
    try:
        s.sendto(b"x", sys.argv[1])
    except BlockingIOError:
        time.sleep(0.01)
    except OSError:
        break
`;

Deno.test({
  name: "A Unix datagram server tells who does not read its answers",
  ...bounded,
  ignore: ignore || cannotStartPython,
}, async () => {
  await using directory = await makeTempDir();
  const printed = await runUnstable(
    directory.path,
    `
    const onReceiveError = (error) => {
      console.log(error.message.replace(localPath, "client"));
      python.kill("SIGKILL"); // then the send fails, and the server goes on
    };
    const server = serveDatagrams(
      { path, observer: { onReceiveError } },
      (message, sender) => sender.send(message),
    );
    await server.listening;
    const python = new Deno.Command("python3", {
      args: ["-c", ${JSON.stringify(DEAF)}, path, localPath],
    }).spawn();
    await python.status;
    const client = await connectDatagrams({ path, localPath: localPath + "2" });
    await client.send("rose");
    console.log(text(await client.receive()));
    await client.close();
    await server.shutdown();
    `,
  );
  assertEquals(
    printed,
    "client has not read its datagrams for 1000 ms: until then, nothing is sent or received\nrose\n",
  );
});

const PYTHON = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.settimeout(20)
unnamed = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
unnamed.sendto(b"unnamed", sys.argv[1])
s.bind(sys.argv[2])
s.sendto(b"rose", sys.argv[1])
print(s.recv(100).decode())
`;

Deno.test({
  name: "Python talks to a Unix datagram server",
  ...bounded,
  ignore: ignore || cannotStartPython,
}, async () => {
  await using directory = await makeTempDir();
  const printed = await runUnstable(
    directory.path,
    `
    const seen = [];
    const server = serveDatagrams({ path }, async (message, sender) => {
      seen.push(text(message));
      await sender.send(text(message).toUpperCase()).catch((error) => seen.push(error.message));
      if (seen.includes("rose")) {
        console.log(seen.join("; "));
        server.shutdown();
      }
    });
    const python = new Deno.Command("python3", {
      args: ["-c", ${JSON.stringify(PYTHON)}, path, localPath],
    });
    console.log(text((await python.output()).stdout).trim());
    `,
  );
  assertEquals(
    printed.split("\n").sort(),
    [
      "",
      "ROSE",
      "unnamed; the receiver has no path: a client must bind one to be answered; rose",
    ],
  );
});
