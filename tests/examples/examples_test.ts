import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { chat } from "../../examples/chat.ts";
import { RpcClient, RpcError, serveRpc } from "../../examples/json_rpc.ts";
import { proxy } from "../../examples/proxy.ts";
import { lengthPrefixed } from "../../codecs/mod.ts";
import {
  connect,
  MalformedFrameError,
  serve,
  type Server,
  type Session,
  SessionEndedError,
} from "../../mod.ts";
import { TestNetwork } from "../hub/_bus.ts";
import { hasNats, startNats } from "../_nats.ts";
import { canNet, canRun } from "../_permissions.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { until } from "../_transports.ts";

const ignore = !canNet;
const portOf = (server: Server): number => (server.addr as Deno.NetAddr).port;

/** An example that runs as its first lines say, on a free port. */
interface Running extends AsyncDisposable {
  port: number;
  /** Asks it to end, and returns its exit status. */
  stop(): Promise<number>;
}

async function start(example: string, ...args: string[]): Promise<Running> {
  const child = new Deno.Command("deno", {
    args: ["run", "--allow-net", "--allow-read=.", `examples/${example}`, ...args],
    cwd: new URL("../..", import.meta.url),
    stdout: "piped",
    stderr: "inherit",
    stdin: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  while (!printed.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${example} ended: ${printed}`);
    printed += value;
  }
  return {
    port: Number(/:(\d+)/.exec(printed)?.[1]),
    async stop(): Promise<number> {
      child.kill();
      return (await child.status).code;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      try {
        child.kill("SIGKILL");
      } catch { /* it has ended already */ }
      await reader.cancel();
      await child.status;
    },
  };
}

const cannotStart = !canNet || !await canRun("deno");

Deno.test(
  { name: "examples/chat.ts runs and introduces people", ignore: cannotStart },
  async () => {
    await using chatting = await start("chat.ts", "0");
    await using rose = await enter(chatting.port, "rose");
    await using think = await enter(chatting.port, "think");
    assertEquals(await rose.readLine(), "* think joins hall");
    await rose.send("good morning\n");
    for (const person of [rose, think]) assertEquals(await person.readLine(), "rose: good morning");
    await Promise.all([rose.close(), think.close()]);
    assertEquals(await chatting.stop(), 0);
  },
);

async function enter(port: number, name: string): Promise<Session> {
  const session = await connect({ port });
  assertEquals(await session.readLine(), "What is your name?");
  await session.send(`${name}\n`);
  // The news of others may have come from another process within the same turn.
  assertMatch(
    await session.readLine() ?? "",
    new RegExp(`^\\* ([^*]+, )?${name}(, .+)? joins? hall$`),
  );
  return session;
}

/** Reads on until this is heard. */
async function hear(session: Session, wanted: string): Promise<void> {
  for (let line = ""; line !== wanted;) {
    const next = await session.readLine();
    if (next === undefined) throw new Error(`${wanted} was not heard`);
    line = next;
  }
}

/** Asks who is here until it is as wanted. Other processes learn of it a little later. */
async function see(session: Session, isWanted: (names: string[]) => boolean): Promise<void> {
  for (let names: string[] = []; !isWanted(names);) {
    await session.send("/who\n");
    let line: string | undefined = "";
    while (!line.startsWith("hall: ")) line = await session.readLine() ?? "hall: the end";
    names = line.slice("hall: ".length).split(", ");
  }
}

Deno.test({ name: "chat() is one chat over all processes of a bus", ignore }, async () => {
  const network = new TestNetwork();
  await using here = chat({ port: 0, bus: network.bus() });
  await using there = chat({ port: 0, bus: network.bus() });
  await using rose = await enter(portOf(here), "rose");
  await using think = await enter(portOf(there), "think");
  await hear(rose, "* think joins hall");
  await see(think, (names) => names.includes("rose"));
  await using other = await connect({ port: portOf(there) });
  await other.send("rose\nother\n");
  await hear(other, "rose is here already. Another?");
  await hear(other, "* other joins hall");
  await hear(rose, "* other joins hall");
  await rose.send("/who\nhello\n");
  await hear(rose, "hall: rose, think, other");
  for (const person of [rose, think, other]) await hear(person, "rose: hello");
  await Promise.all([think.close(), other.close()]);
  await see(rose, (names) => names.join() === "rose");
});

Deno.test({ name: "chat() closes its bus when the server has ended", ignore }, async () => {
  const bus = new TestNetwork().bus();
  await using server = chat({ port: 0, bus });
  const rose = await enter(portOf(server), "rose");
  await rose.close();
  await server.shutdown();
  await until(() => bus.isClosed);
});

Deno.test({
  name: "examples/chat.ts is one chat over two processes at a NATS server",
  ignore: cannotStart || !hasNats,
}, async () => {
  const nats = await startNats();
  await using _ = nats.program;
  const args = ["chat.ts", "0", `nats://127.0.0.1:${nats.port}`] as const;
  await using here = await start(...args);
  await using there = await start(...args);
  await using rose = await enter(here.port, "rose");
  await using think = await enter(there.port, "think");
  for (const person of [rose, think]) await see(person, (names) => names.length === 2);
  await rose.send("hello\n");
  for (const person of [rose, think]) await hear(person, "rose: hello");
  await think.close();
  assertEquals(await there.stop(), 0);
  await see(rose, (names) => names.join() === "rose");
  await rose.close();
  assertEquals(await here.stop(), 0);
});

Deno.test({
  name: "examples/chat.ts shows the last lines of a room to those who come",
  ignore: cannotStart || !hasNats,
}, async () => {
  await using directory = await makeTempDir();
  const nats = await startNats(undefined, directory.path);
  await using _ = nats.program;
  const args = ["chat.ts", "0", `nats://127.0.0.1:${nats.port}`, "history"] as const;
  await using here = await start(...args);
  await using there = await start(...args);
  await using rose = await enter(here.port, "rose");
  await using think = await enter(there.port, "think");
  for (let at = 1; at <= 20; at++) await rose.send(`line ${at}\n`);
  await hear(think, "rose: line 20"); // so it is kept
  await using late = await enter(there.port, "late");
  for (let at = 11; at <= 20; at++) assertEquals(await late.readLine(), `rose: line ${at}`);
  await Promise.all([rose, think, late].map((person) => person.close()));
  for (const program of [here, there]) assertEquals(await program.stop(), 0);
});

Deno.test({
  name: "examples/chat.ts is one chat over its workers",
  ignore: cannotStart || Deno.build.os !== "linux",
}, async () => {
  await using chatting = await start("chat.ts", "0", "2");
  const people: Session[] = [];
  for (let at = 0; at < 6; at++) {
    const person = await enter(chatting.port, `p${at}`);
    people.push(person);
    for (const other of people) await see(other, (names) => names.length === people.length);
  }
  await people[0]!.send("hello\n");
  for (const person of people) await hear(person, "p0: hello");
  for (const person of people) person.abort();
  await Promise.all(people.map(({ closed }) => closed));
  assertEquals(await chatting.stop(), 0);
});

Deno.test({
  name: "chat() keeps names apart, moves people between rooms and says who is there",
  ignore,
}, async () => {
  await using server = chat({ port: 0 });
  const port = portOf(server);
  const rose = await enter(port, "rose");
  const other = await connect({ port });
  await other.readLine();
  await other.send("rose\n");
  assertEquals(await other.readLine(), "rose is here already. Another?");
  await other.send("no name!\n");
  assertMatch((await other.readLine())!, /^A name has/);
  await other.send("think\n");
  assertEquals(await other.readLine(), "* think joins hall");
  assertEquals(await rose.readLine(), "* think joins hall");
  await other.send("/join garden\n");
  assertEquals(await other.readLine(), "* think joins garden");
  assertEquals(await rose.readLine(), "* think leaves");
  await rose.send("anybody?\n/who\n/dance\n");
  assertEquals(await rose.readLine(), "rose: anybody?");
  assertEquals(await rose.readLine(), "hall: rose");
  assertEquals(await rose.readLine(), "I know /join ROOM, /who and /quit.");
  await other.send("/who\n/quit\n");
  assertEquals(await other.readLine(), "garden: think");
  assertEquals(await other.readLine(), undefined);
  await Promise.all([other.close(), rose.close()]);
});

Deno.test(
  { name: "chat() disconnects a slow reader, and delays no one for it", ignore },
  async () => {
    await using server = chat({ port: 0 });
    const port = portOf(server);
    const slow = await enter(port, "slow");
    const [sleeper] = server.sessions;
    const rose = await enter(port, "rose");
    const said = "x".repeat(900);
    let heard = 0;
    const talk = (async () => {
      while (!sleeper!.signal.aborted) { // until the system's own buffers and 64 KiB are full
        await rose.send(`${said}\n`);
        assertEquals(await rose.readLine(), `rose: ${said}`);
        heard++;
      }
    })();
    await talk;
    assertEquals((await sleeper!.closed).reason, "limit");
    assert(heard > 60, `${heard} lines were heard`);
    assertEquals(await rose.readLine(), "* slow leaves");
    slow.abort();
    await Promise.all([slow.closed, rose.close()]);
  },
);

Deno.test({ name: "examples/json_rpc.ts runs and calls itself", ignore: cannotStart }, async () => {
  const { stdout, success } = await new Deno.Command("deno", {
    args: ["run", "--allow-net", "examples/json_rpc.ts"],
    cwd: new URL("../..", import.meta.url),
    stderr: "inherit",
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "5\nhello, rose!\n-32601: Method not found\n");
  assert(success);
});

const methods = {
  add: ([a, b]: [number, number]) => a + b,
  fail: () => {
    throw new Error("secret");
  },
  never: () => new Promise<never>(() => {}),
  refuse: () => {
    throw new RpcError(7, "no");
  },
  nothing: () => {},
};

Deno.test({ name: "RpcClient calls concurrently, and rejects with errors", ignore }, async () => {
  await using server = serveRpc({ port: 0 }, methods);
  const client = new RpcClient<typeof methods>(await connect({ port: portOf(server) }));
  const sums = await Promise.all(Array.from({ length: 500 }, (_, i) => client.call("add", [i, 1])));
  assertEquals(sums, Array.from({ length: 500 }, (_, i) => i + 1));
  assertEquals(await client.call("nothing", undefined), null as unknown as void);
  await client.notify("add", [1, 2]);
  const errors: [keyof typeof methods, number, string][] = [
    ["fail", -32603, "Internal error"],
    ["refuse", 7, "no"],
    ["toString" as "fail", -32601, "Method not found"],
  ];
  for (const [method, code, message] of errors) {
    const error = await assertRejects(() => client.call(method, undefined as never), RpcError);
    assertEquals([error.code, error.message], [code, message]);
  }
  const lost = client.call("never", undefined);
  server.abort();
  assertEquals((await assertRejects(() => lost, SessionEndedError)).reason, "peer");
  await client[Symbol.asyncDispose]();
});

Deno.test({ name: "serveRpc() answers as JSON-RPC 2.0 requires", ignore }, async () => {
  await using server = serveRpc({ port: 0 }, methods);
  await using session = await connect({ port: portOf(server) });
  const frames = session.frames(lengthPrefixed());
  const bad = { code: -32600, message: "Invalid Request" };
  const cases: [request: string, reply: unknown][] = [
    ['{"jsonrpc":"2.0","method":"add","params":[1,2],"id":"a"}', {
      jsonrpc: "2.0",
      id: "a",
      result: 3,
    }],
    ["{bad", { jsonrpc: "2.0", id: null, error: { code: -32700, message: "Parse error" } }],
    ["[]", { jsonrpc: "2.0", id: null, error: bad }],
    ["null", { jsonrpc: "2.0", id: null, error: bad }],
    ['{"method":"add","id":4}', { jsonrpc: "2.0", id: 4, error: bad }],
    ['{"jsonrpc":"2.0","method":"add","params":"x","id":5}', { jsonrpc: "2.0", id: 5, error: bad }],
    [
      '[{"jsonrpc":"2.0","method":"add","params":[1,2]},{"jsonrpc":"2.0","method":"add","params":[3,4],"id":1},7]',
      [{ jsonrpc: "2.0", id: 1, result: 7 }, { jsonrpc: "2.0", id: null, error: bad }],
    ],
  ];
  for (const [request, reply] of cases) {
    await frames.send(new TextEncoder().encode(request));
    assertEquals(JSON.parse(new TextDecoder().decode(await frames.read())), reply);
  }
});

Deno.test({ name: "serveRpc() answers what it cannot do, too", ignore }, async () => {
  const results: Record<string, unknown> = {
    long: "x".repeat(1024 * 1024),
    wide: "ż".repeat(600_000),
    odd: 1n,
    whole: "x".repeat(1024 * 1024 - 100),
  };
  const methods = { get: ([name]: [string]) => results[name] };
  await using server = serveRpc({ port: 0 }, methods);
  await using session = await connect({ port: portOf(server) });
  const frames = session.frames(lengthPrefixed());
  const ask = async (text: string) => {
    await frames.send(new TextEncoder().encode(text));
    return JSON.parse(new TextDecoder().decode(await frames.read()));
  };
  const get = (name: string, id: unknown) =>
    JSON.stringify({ jsonrpc: "2.0", method: "get", params: [name], id });
  const tooLong = { code: -32603, message: "The result is too long" };
  for (const name of ["long", "wide"]) {
    assertEquals(await ask(get(name, 1)), { jsonrpc: "2.0", id: 1, error: tooLong });
  }
  assertEquals((await ask(get("whole", 1))).result, results.whole);
  assertEquals((await ask(get("odd", 1))).error, { code: -32603, message: "Internal error" });
  const id = "x".repeat(1024 * 1024 - 70);
  const whole = [get("whole", 1), get("whole", 2)];
  for (const each of [`[${whole}]`, get("odd", id)]) {
    assertEquals(await ask(each), { jsonrpc: "2.0", id: null, error: tooLong });
  }

  const many = { code: -32600, message: "A batch has at most 100 requests" };
  const nothing = get("nothing", 1);
  assertEquals((await ask(`[${new Array(100).fill(nothing)}]`)).length, 100);
  for (const batch of [new Array(101).fill(nothing), new Array(500_000).fill(1)]) {
    assertEquals(await ask(`[${batch}]`), { jsonrpc: "2.0", id: null, error: many });
  }
});

Deno.test(
  { name: "RpcClient matches an error without an id with its only call", ignore },
  async () => {
    await using server = serve({ port: 0 }, async (session) => {
      const frames = session.frames(lengthPrefixed());
      const reply = (text: string) => frames.send(new TextEncoder().encode(text));
      const nobodys = '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}';
      for await (const frame of frames) {
        const { id, params } = JSON.parse(new TextDecoder().decode(frame));
        for (const word of params) {
          if (word === "null") await reply(nobodys);
          else if (word === "result null") await reply('{"jsonrpc":"2.0","id":null,"result":1}');
          else if (word === "nonsense") await reply("7");
          else await reply(`{"jsonrpc":"2.0","id":${id + Number(word)},"result":"${word}"}`);
        }
      }
    });
    const open = async () => new RpcClient(await connect({ port: portOf(server) }));
    await using client = await open();
    const says = async (call: Promise<unknown>) => {
      const { code, message } = await assertRejects(() => call, RpcError);
      assertEquals([code, message], [-32700, "Parse error"]);
    };
    await says(client.call("a", ["null"]));
    await says(client.call("a", ["result null", "null"])); // which is no error
    assertEquals(await client.call("a", ["null", "0"]).catch(() => "failed"), "failed");
    assertEquals(await client.call("a", ["0"]), "0");

    // Of two, nobody knows which is meant.
    const controller = new AbortController();
    const lost = client.call("a", [], { signal: controller.signal });
    assertEquals(await client.call("a", ["null", "0"]), "0");
    controller.abort("enough");
    assertEquals(await lost.catch((error) => error), "enough");
    // It may be meant still, until something has come that can be for it.
    assertEquals(await client.call("a", ["null", "0"]), "0");
    await says(client.call("a", ["null"]));

    await using other = await open();
    await assertRejects(() => other.call("a", ["nonsense"]), MalformedFrameError);
  },
);

Deno.test({ name: "examples/proxy.ts runs and relays", ignore: cannotStart }, async () => {
  await using server = serve({ port: 0 }, async (session) => {
    for await (const line of session.lines()) await session.send(`hello, ${line}!\n`);
    await session.send("good-bye\n");
  });
  await using relaying = await start("proxy.ts", "0", `127.0.0.1:${portOf(server)}`);
  await using session = await connect({ port: relaying.port });
  await session.send("rose\n");
  assertEquals(await session.readLine(), "hello, rose!");
  await session.closeWrite(); // the half-close goes through, and the answer to it comes back
  assertEquals(await session.readLine(), "good-bye");
  assertEquals(await session.readLine(), undefined);
});

Deno.test(
  { name: "examples/proxy.ts says what it wants to know", ignore: cannotStart },
  async () => {
    for (const args of [[], ["8080"], ["0", "localhost"], ["0", "localhost:"]]) {
      const { code, stdout, stderr } = await new Deno.Command("deno", {
        args: ["run", "--allow-net", "examples/proxy.ts", ...args],
        cwd: new URL("../..", import.meta.url),
      }).output();
      assertEquals([code, stdout.length], [1, 0]);
      assertMatch(
        new TextDecoder().decode(stderr),
        /wanted: a port to listen on, and where to relay/,
      );
    }
  },
);

Deno.test({ name: "proxy() passes back-pressure through", ignore }, async () => {
  const target = Promise.withResolvers<Session>();
  await using server = serve({ port: 0 }, async (session) => {
    target.resolve(session);
    await session.closed; // reads nothing
  });
  await using relaying = proxy(0, { hostname: "127.0.0.1", port: portOf(server) });
  const client = await connect({ port: portOf(relaying) });
  const sending = client.send(new Uint8Array(64 * 1024 * 1024));
  let before = -1;
  while (client.bytesWritten > before) {
    before = client.bytesWritten;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert(before < 64 * 1024 * 1024, "all of it was taken");
  const [relayed] = relaying.sessions;
  assert(relayed!.bytesBuffered <= 1024 * 1024);
  // Whoever is lost on one side is lost on the other, too.
  (await target.promise).abort();
  const error = await assertRejects(() => sending, SessionEndedError);
  assertEquals(error.reason, "peer");
  await client.closed;
  await until(() => relaying.stats().active === 0);
});

Deno.test({ name: "proxy() ends clients whose target cannot be reached", ignore }, async () => {
  const gone = serve({ port: 0 }, () => {});
  const port = portOf(gone);
  await gone.shutdown();
  await using relaying = proxy(0, { hostname: "127.0.0.1", port });
  await using client = await connect({ port: portOf(relaying) });
  assertEquals(await client.readLine().catch(() => {}), undefined); // with the node transport, it is reset
  assertEquals(relaying.stats().handlerErrors, 1);
});
