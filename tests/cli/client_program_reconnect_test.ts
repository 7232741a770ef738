import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import net from "node:net";
import { reconnect } from "../../connect/reconnect.ts";
import { serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { cannotRun, runClient, startClient, startRaw } from "../_client_program.ts";
import { cannotTls, makeCertificates } from "../_certificates.ts";
import { silentPort } from "../_dialing.ts";
import { assertOneLine, cannotStart, Client, Program } from "../_programs.ts";
import { bounded, portOf, until } from "../_serving.ts";
import { UnreliableProxy } from "../_unreliable_proxy.ts";

const ignore = cannotStart;
const { server: unknown } = await makeCertificates();

async function greet(session: Session): Promise<void> {
  await session.send("welcome!");
  for await (const name of session) {
    if (name === "exit") break;
    await session.send(`hello, ${name}!`);
  }
}

async function echo(session: Session): Promise<void> {
  for await (const chunk of session.bytes({ borrow: true })) await session.send(chunk);
}

/** Everything that may befall a proxy, in turn. */
const MISHAPS = ["kill", "stall", "refuse", "kill", "refuse", "stall"] as const;

Deno.test({
  name: "client.ts --reconnect has each name greeted once, whatever befalls the connection",
  ...bounded,
  ignore,
}, async () => {
  await using server = serve({ port: 0 }, greet);
  await using proxy = await UnreliableProxy.open(portOf(server));
  const args = ["--reconnect", "--timeout", "1s", "--port", `${proxy.port}`];
  await using program = startClient(["--allow-net"], ...args);
  await program.stdout.until(/^welcome!\n$/);
  let expected = "welcome!\n";
  for (const [number, mishap] of MISHAPS.entries()) {
    await proxy[mishap]();
    await program.type(`name-${number}\n`);
    if (mishap === "refuse") {
      await program.stderr.until(new RegExp(`(lost 127[^]*){${number + 1}}`));
      await proxy.accept();
    }
    expected += `hello, name-${number}!\n`;
    await program.stdout.until(new RegExp(`^${expected}$`));
  }
  await program.endInput();
  const { code, stdout, stderr } = await program.ended();
  assertEquals([code, stdout], [0, expected]);
  assertMatch(
    stderr,
    /^lost 127\.0\.0\.1:\d+: .*(reset|BrokenPipe).*: trying again\nconnected to /i,
  );
  assertMatch(stderr, /: no reply within 1000 ms: try a longer --timeout: trying again\n/);
});

Deno.test({
  name: "client.ts --reconnect reports that --timeout is over, and tries again",
  ignore: ignore || Deno.build.os !== "linux", // where a full backlog keeps further clients waiting
}, async () => {
  using silent = await silentPort();
  const args = ["--reconnect", "--timeout", "200ms", "--port", `${silent.port}`];
  await using program = startClient(["--allow-net"], ...args);
  const problem = `cannot connect to 127.0.0.1:${silent.port}: no connection within 200 ms`;
  await program.stderr.until(new RegExp(`^${problem}: trying again\n$`));
});

Deno.test({ name: "client.ts --reconnect reconnects while it is idle", ignore }, async () => {
  let sessions = 0;
  await using server = serve({ port: 0 }, async (session) => {
    sessions++;
    await greet(session);
  });
  await using proxy = await UnreliableProxy.open(portOf(server));
  await using program = startClient(["-N"], "--reconnect", "--port", `${proxy.port}`);
  await program.stdout.until(/^welcome!\n$/);
  proxy.kill();
  await until(() => sessions === 2);
  await program.endInput();
  const { code, stdout } = await program.ended();
  assertEquals([code, stdout], [0, "welcome!\n"]);
});

Deno.test({
  name: "client.ts --raw --reconnect keeps what it has read while there is no connection",
  ...bounded,
  ignore,
}, async () => {
  await using server = serve({ port: 0 }, echo);
  await using proxy = await UnreliableProxy.open(portOf(server));
  await using program = startRaw(proxy.port, "--reconnect");
  let expected = "";
  for (const [number, mishap] of ["kill", "refuse", "kill", "refuse"].entries()) {
    expected += `line ${number}\n`;
    await program.type(`line ${number}\n`);
    await program.stdout.until(new RegExp(`^${expected}$`));
    const lost = new RegExp(`(lost[^]*){${number + 1}}`);
    if (mishap === "kill") proxy.kill();
    else await proxy.refuse();
    await program.stderr.until(lost);
    if (mishap === "refuse") {
      await program.type("meanwhile\n");
      await proxy.accept();
      expected += "meanwhile\n";
      await program.stdout.until(new RegExp(`^${expected}$`));
    } else await program.stderr.until(new RegExp(`(connected to[^]*){${number + 1}}`));
  }
  await program.endInput();
  const { code, stdout } = await program.ended();
  assertEquals([code, stdout], [0, expected]);
});

Deno.test(
  { name: "client.ts --raw --reconnect leaves a stalled connection by --idle", ignore },
  async () => {
    await using server = serve({ port: 0 }, echo);
    await using proxy = await UnreliableProxy.open(portOf(server));
    await using program = startRaw(proxy.port, "--reconnect", "--idle", "2s", "--verbose");
    await program.stderr.until(/connected to/);
    proxy.stall();
    await program.type("lost in flight\n");
    await program.stderr.until(/lost 127\.0\.0\.1:\d+: idle: trying again\n[^]*connected to/);
    await program.type("heard\n");
    await program.stdout.until(/^heard\n$/);
    await program.endInput();
    const { code, stdout } = await program.ended();
    assertEquals([code, stdout], [0, "heard\n"]);
  },
);

Deno.test({
  name:
    "client.ts --raw --reconnect continues with the first byte that the connection has not taken",
  ...bounded,
  ignore: ignore || await cannotRun("bash"),
}, async () => {
  const all = Array.from({ length: 2_000_000 }, (_, index) => `${index + 1}\n`).join("");
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const client = `deno run --quiet --allow-net client.ts --raw --reconnect --port ${port}`;
  await using program = new Program("bash", ["-c", `seq 1 2000000 | ${client}`]);
  await program.endInput();
  {
    using first = new Client(await listener.accept());
    await first.hear(all.slice(0, 1_000_000));
  } // closed with input unread: reset
  using second = await listener.accept();
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of second.readable.values({ preventCancel: true })) {
    rest += decoder.decode(chunk);
  }
  assert(rest.length > 0 && rest.length <= all.length - 1_000_000, `${rest.length}`);
  assert(all.endsWith(rest), "there is a gap, or something came twice");
  assertEquals((await program.ended()).code, 0);
});

Deno.test(
  { name: "client.ts --raw --reconnect does not reconnect once all input is sent", ignore },
  async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await using program = startRaw(listener.addr.port, "--reconnect");
    await program.type("question");
    await program.endInput();
    {
      using peer = new Client(await listener.accept());
      await peer.hear("question");
      await peer.hearEnd();
      await peer.say("answer");
    }
    assertEquals(await program.ended(), { code: 0, stdout: "answer", stderr: "" });
  },
);

Deno.test({
  name: "client.ts --raw --reconnect reconnects to a server that closes before the end of input",
  ignore,
}, async () => {
  await using server = serve({ port: 0 }, async (session) => {
    await session.send(`${await session.readLine()} to ${session.id}\n`);
  });
  await using program = startRaw(portOf(server), "--reconnect");
  for (const [index, text] of ["1 to 1", "2 to 2"].entries()) {
    await program.type(`${index + 1}\n`);
    await program.stdout.until(new RegExp(`${text}\n$`));
    await program.stderr.until(new RegExp(`(closed by the peer: trying again[^]*){${index + 1}}`));
    await program.stderr.until(new RegExp(`(connected to[^]*){${index + 1}}`));
  }
});

Deno.test({
  name: "client.ts --raw --reconnect fails if the connection is lost once all input is sent",
  ignore,
}, async () => {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("end", () => socket.resetAndDestroy()).resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const args = ["--raw", "--reconnect", "--port", `${port}`];
  const { code, stderr } = await runClient(["--allow-net"], args, "question");
  assertEquals(code, 1);
  assertMatch(stderr, /^error: the connection to 127\.0\.0\.1:\d+ was lost: .*reset.*\n$/i);
  const closed = once(server, "close");
  server.close();
  await closed;
});

Deno.test(
  { name: "client.ts --raw --reconnect --recv-only reconnects for more", ignore },
  async () => {
    await using server = serve({ port: 0 }, (session) => session.send(`${session.id}\n`));
    await using program = startRaw(portOf(server), "--reconnect", "--recv-only");
    await program.stdout.until(/^1\n2\n3\n/);
    await program.stdout.close();
    assertEquals((await program.ended()).code, 0);
  },
);

Deno.test({
  name: "client.ts --reconnect does not reconnect to a certificate that it does not trust",
  ignore: ignore || cannotTls,
}, async () => {
  await using server = serve({ port: 0, tls: unknown }, echo);
  const port = portOf(server);
  const { code, stderr } = await runClient(["-N"], [
    "--raw",
    "--tls",
    "--reconnect",
    "--port",
    `${port}`,
  ]);
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^error: TLS handshake with 127\.0\.0\.1:\d+ failed: the server's certificate .*--ca.*\n$/,
  );
  assertOneLine(await runClient([], ["--reconnect", "--port", `${port}`, "rose"]), [
    1,
    `no permission for net access to "127.0.0.1:${port}": run with --allow-net`,
  ]);
});

Deno.test({
  name: "reconnect() keeps its place through a proxy that kills, stalls and refuses",
  ...bounded,
  ignore,
}, async () => {
  await using server = serve({ port: 0 }, async (session) => {
    for await (const line of session.lines()) await session.send(`${line}!\n`);
  });
  await using proxy = await UnreliableProxy.open(portOf(server));
  const answers: string[] = [];
  await using client = reconnect({ port: proxy.port, idleTimeout: 1_000, maxDelay: 50 });
  await client.run(async (session) => {
    while (answers.length < 3 * MISHAPS.length) {
      const place = answers.length;
      await session.send(`${place}\n`);
      const answer = await session.readLine();
      if (answer === undefined) return;
      answers.push(answer);
      if (place % 3 !== 0) continue;
      const mishap = MISHAPS[place / 3]!;
      await proxy[mishap]();
      if (mishap === "refuse") setTimeout(() => proxy.accept(), 20);
    }
    client.close();
  });
  assertEquals(answers, Array.from({ length: 3 * MISHAPS.length }, (_, place) => `${place}!`));
});
