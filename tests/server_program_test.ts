import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  assertOneLine,
  cannotStart,
  cannotStartPython,
  Client,
  GreetingServer,
  Program,
  run,
  start,
} from "./_programs.ts";

const ignore = cannotStart;

Deno.test({ name: "server.ts greets each name until exit", ignore }, async () => {
  await using server = await GreetingServer.start();
  using client = await server.enter();
  for (const name of ["rose", "think", "babala", "żółw 🐢", "Exit", "exit now"]) {
    await client.say(name);
    await client.hear(`hello, ${name}!`);
  }
  await client.say("exit");
  await client.hearEnd();
});

Deno.test({ name: "server.ts greets each name until the end of input", ignore }, async () => {
  await using server = await GreetingServer.start();
  using client = await server.enter();
  await client.say("rose");
  await client.conn.closeWrite();
  await client.hear("hello, rose!"); // as `printf rose | nc` gets it
  await client.hearEnd();
});

for (const [program, lineEnd] of [["nc", "\n"], ["telnet", "\r\n"]] as const) {
  Deno.test({ name: `server.ts takes names as ${program} sends them`, ignore }, async () => {
    await using server = await GreetingServer.start();
    using client = await server.enter();
    await client.say(`rose${lineEnd}`);
    await client.hear("hello, rose!");
    await client.say(`think\t${lineEnd}${lineEnd}`); // of several, one is the line's
    await client.hear(`hello, think\t${lineEnd}!`);
    await client.say(`exit${lineEnd}`);
    await client.hearEnd();
  });
}

Deno.test({ name: "server.ts logs that it waits, who comes and how they leave", ignore }, async () => {
  await using server = await GreetingServer.start();
  const { stderr } = server.program;
  using polite = await server.enter();
  await polite.say("rose");
  await polite.hear("hello, rose!");
  await polite.say("exit");
  await polite.hearEnd();
  polite.conn.close();
  await stderr.until(/session 1 .* ended/);
  using finished = await server.enter();
  await finished.conn.closeWrite();
  await finished.hearEnd();
  finished.conn.close();
  await stderr.until(/session 2 .* ended/);
  const rude = await Client.connect(server.port);
  await rude.hear("welc");
  rude.conn.close(); // with input unread: a reset
  await stderr.until(/session 3 .* ended.*\n/);

  const lines = stderr.text.trimEnd().split("\n");
  const messages = lines.map((line) =>
    line
      .replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+00:00 \[INF\] parley: /, "")
      .replace(/after \d+ ms/, "after N ms")
  );
  const [port, rudePort] = [polite.address, rude.address].map((address) => address.split(":")[1]);
  assertEquals(messages.slice(0, 3), [
    `listening on 127.0.0.1:${server.port}`,
    `session 1 from 127.0.0.1:${port} started`,
    `session 1 from 127.0.0.1:${port} ended: local, after N ms, 8 bytes in, 20 bytes out`,
  ]);
  assertMatch(messages[4]!, /^session 2 from \S+ ended: peer, after N ms, 0 bytes in, 8 bytes out$/);
  assertMatch(messages[6]!, new RegExp(`^session 3 from 127.0.0.1:${rudePort} ended: peer \\(.+\\),`));
  assertEquals(messages.length, 7);
});
