// The options of the server program that say who may come in, and for how long.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { cannotStart, Client, GreetingServer } from "../_programs.ts";
import { cannotRun, runCommand } from "../_server_program.ts";

const ignore = cannotStart;
/** Elsewhere, 127.0.0.2 is no address of the machine. */
const ignoreFrom = ignore || await cannotRun("socat") || Deno.build.os !== "linux";

/** What the server says to somebody who comes from this address and leaves at once. */
async function heardFrom(address: string, { port }: GreetingServer): Promise<string> {
  const target = `TCP:127.0.0.1:${port},bind=${address}`;
  return (await runCommand("socat", ["-t60", "-", target])).stdout;
}

const LISTS: [args: string[], welcome: string[], refused: string[]][] = [
  [["--allow", "127.0.0.2"], ["127.0.0.2"], ["127.0.0.1"]],
  [["--allow", "10.0.0.0/8, 127.0.0.2/31,::1"], ["127.0.0.2", "127.0.0.3"], ["127.0.0.1"]],
  [["--deny", "127.0.0.2/32,127.0.0.3"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.3"]],
  [["--allow=127.0.0.0/8", "--deny=127.0.0.2"], ["127.0.0.1"], ["127.0.0.2"]],
];

for (const [args, welcome, refused] of LISTS) {
  Deno.test({
    name: `server.ts ${args.join(" ")} lets in only whom it names`,
    ignore: ignoreFrom,
  }, async () => {
    await using server = await GreetingServer.start(...args);
    for (const address of welcome) assertEquals(await heardFrom(address, server), "welcome!");
    for (const address of refused) {
      assertEquals(await heardFrom(address, server), "");
      const line = `connection from ${address}:\\d+ refused: its address is denied\n`;
      await server.program.stderr.until(new RegExp(line.replaceAll(".", "\\.")));
    }
  });
}

Deno.test(
  { name: "server.ts logs ten refusals, and how many more there were", ignore },
  async () => {
    await using server = await GreetingServer.start("--deny", "127.0.0.1");
    for (let i = 0; i < 30; i++) {
      using client = await Client.connect(server.port);
      await client.hearEnd();
    }
    server.program.kill("SIGTERM");
    const { stderr } = await server.program.ended();
    const logged = stderr.match(/ refused: its address is denied/g)!.length;
    const omitted = stderr.match(/(\d+) more were refused and not logged/)![1];
    assertEquals(logged + Number(omitted), 30);
    assert(logged <= 20, `${logged} were logged`); // 10 unless the machine took over 10 s
  },
);

Deno.test({
  name: "server.ts --max-sessions-per-address refuses more from one address",
  ignore: ignoreFrom,
}, async () => {
  await using server = await GreetingServer.start("--max-sessions-per-address", "2");
  using first = await server.enter();
  using second = await server.enter();
  assertEquals(await heardFrom("127.0.0.1", server), "");
  assertEquals(await heardFrom("127.0.0.2", server), "welcome!");
  await server.program.stderr.until(/127\.0\.0\.1:\d+ refused: maxSessionsPerAddress reached\n/);
  await first.say("exit");
  await first.hearEnd();
  first.conn.close();
  await server.program.stderr.until(/session 1 .* ended/);
  assertEquals(await heardFrom("127.0.0.1", server), "welcome!");
  await second.say("rose");
  await second.hear("hello, rose!");
});

Deno.test({
  name: "server.ts --session-rate refuses who comes too often",
  ignore: ignoreFrom,
}, async () => {
  await using server = await GreetingServer.start("--session-rate", "1");
  assertEquals(await heardFrom("127.0.0.1", server), "welcome!");
  assertEquals(await heardFrom("127.0.0.2", server), "welcome!");
  // A second may go by between two of them, but not between all of them.
  const heard: string[] = [];
  for (let i = 0; i < 20; i++) heard.push(await heardFrom("127.0.0.1", server));
  assert(heard.includes(""), "nobody was refused");
  await server.program.stderr.until(/127\.0\.0\.1:\d+ refused: sessionRate exceeded\n/);
});

Deno.test({ name: "server.ts --write-rate sends no faster", ignore }, async () => {
  await using server = await GreetingServer.start("--write-rate", "30", "--read-rate", "1M");
  using client = await server.enter(); // with 8 bytes
  const began = performance.now();
  await client.say("x".repeat(80));
  await client.hear(`hello, ${"x".repeat(80)}!`);
  assert(performance.now() - began >= 1900); // 89 bytes, of which 22 go at once
});

Deno.test({ name: "server.ts counts networks of IPv6 by --ipv6-prefix", ignore }, async () => {
  const cases = [
    [["--max-sessions-per-address", "1"], false],
    [["--max-sessions-per-address", "1", "--ipv6-prefix", "128"], true],
    [["--session-rate", "1", "--ipv6-prefix", "128"], true],
  ] as const;
  for (const [args, comesIn] of cases) {
    await using server = await GreetingServer.start(
      ...["--proxy-protocol", "--trusted", "127.0.0.1"],
      ...args,
    );
    using first = await Client.connect(server.port);
    await first.say("PROXY TCP6 2001:db8::1 2001:db8::2 5555 80\r\n");
    await first.hear("welcome!");
    using neighbour = await Client.connect(server.port);
    await neighbour.say("PROXY TCP6 2001:db8::3 2001:db8::2 5555 80\r\n");
    if (comesIn) await neighbour.hear("welcome!");
    else await neighbour.hearEnd();
  }
});

const HEADER = "PROXY TCP4 192.0.2.7 192.0.2.1 5555 80\r\n";

Deno.test(
  { name: "server.ts --proxy-protocol takes the client's address from a header", ignore },
  async () => {
    await using server = await GreetingServer.start(
      ...["--proxy-protocol", "--trusted", "127.0.0.0/8,::1", "--deny", "192.0.2.8"],
    );
    const { stderr } = server.program;
    using client = await Client.connect(server.port);
    await client.say(`${HEADER}rose`);
    await client.hear("welcome!hello, rose!");
    await stderr.until(/session 1 from 192\.0\.2\.7:5555 started\n/);
    using denied = await Client.connect(server.port);
    await denied.say(HEADER.replace("2.7", "2.8"));
    await denied.hearEnd();
    await stderr.until(/connection from 192\.0\.2\.8:5555 refused: its address is denied\n/);
    using direct = await Client.connect(server.port);
    await direct.say("rose\n");
    await stderr.until(/ refused: no valid PROXY header /);
  },
);

Deno.test(
  { name: "server.ts --proxy-protocol refuses peers that are not --trusted", ignore },
  async () => {
    await using server = await GreetingServer.start("--proxy-protocol", "--trusted=192.0.2.0/24");
    using client = await Client.connect(server.port);
    await client.hearEnd();
    await server.program.stderr.until(/ refused: it is not a trusted proxy\n/);
  },
);

Deno.test({ name: "server.ts --idle-timeout ends who is silent", ignore }, async () => {
  await using server = await GreetingServer.start("--idle-timeout", "200ms");
  using client = await server.enter();
  await client.hearEnd();
  const { stderr } = server.program;
  const [, duration] = await stderr.until(/session 1 .* ended: idle, after (\d+) ms/);
  assert(Number(duration) >= 200, duration); // a slow machine can only make it more
});

Deno.test({ name: "server.ts --read-idle-timeout ends who only listens", ignore }, async () => {
  await using server = await GreetingServer.start("--read-idle-timeout", "200ms");
  using client = await server.enter();
  await client.hearEnd();
  await server.program.stderr.until(/session 1 .* ended: read-idle, after \d+ ms/);
});

Deno.test(
  { name: "server.ts --shutdown-timeout ends what does not come to an end", ignore },
  async () => {
    await using server = await GreetingServer.start(
      ...["--delay", "1000000", "--shutdown-timeout", "150ms"],
    );
    using asking = await server.enter();
    await asking.say("rose");
    using _late = await server.enter(); // its welcome tells that the name was read
    const before = performance.now();
    server.program.kill("SIGTERM");
    const { code, stderr } = await server.program.ended();
    const took = performance.now() - before;
    assertEquals(code, 0);
    assert(took > 140 && took < 14_000, `took ${took} ms`); // 15 s would be the default
    assertMatch(stderr, /session 1 .* ended: drain, after \d+ ms, 4 bytes in, 8 bytes out\n/);
  },
);

Deno.test({ name: "server.ts --drain-delay accepts on after SIGTERM", ignore }, async () => {
  await using server = await GreetingServer.start("--drain-delay", "1h");
  const { program } = server;
  using old = await server.enter();
  program.kill("SIGTERM");
  await program.stderr.until(/: lame-duck \(127\.0\.0\.1:\d+\)\n/);
  await program.stderr.until(
    /: accepting until the drain delay is over: another SIGTERM stops the server at once\n/,
  );
  using late = await server.enter();
  for (const client of [old, late]) {
    await client.say("rose");
    await client.hear("hello, rose!");
  }
  program.kill("SIGTERM");
  await Promise.all([old, late].map((client) => client.hearEnd()));
  assertEquals((await program.ended()).code, 1);
});

for (const delay of ["50ms", "none"]) {
  Deno.test({ name: `server.ts --drain-delay ${delay} drains after it`, ignore }, async () => {
    await using server = await GreetingServer.start("--drain-delay", delay);
    const { program } = server;
    using client = await server.enter();
    program.kill("SIGTERM");
    await client.hearEnd();
    client.conn.close();
    const { code, stderr } = await program.ended();
    assertEquals([code, /lame-duck/.test(stderr)], [0, delay !== "none"]);
    assertMatch(stderr, /: draining .*\n[^]*session 1 .* ended: drain, /);
  });
}
