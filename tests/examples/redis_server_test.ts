import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { serve, type Server } from "@parley/tcp";
import { redis } from "../../examples/redis/redis.ts";
import { Database, List } from "../../examples/redis/store.ts";
import { command, hasRedisServer, RawClient, startRedis } from "../_redis.ts";
import { overNet, portOf } from "../_serving.ts";

/** Compared with a real server where there is one. */
const besideRedis = { ...overNet, ignore: overNet.ignore || !hasRedisServer };

async function dial(server: Server): Promise<RawClient> {
  return new RawClient(await Deno.connect({ hostname: "127.0.0.1", port: portOf(server) }));
}

/** Words, or a line of them. */
type Case = string | readonly string[];

const BINARY = "\0\r\n\xff\x80$";

/** Each goes to both servers, one after the other, and must be answered by the same bytes. */
const CONVERSATIONS: Record<string, readonly Case[]> = {
  "connection commands": [
    "PING",
    ["PING", BINARY],
    "ping a b",
    "pInG",
    "ECHO hello",
    ["ECHO", ""],
    ["ECHO", BINARY],
    "ECHO",
    "echo a b",
    "SELECT 1",
    "SELECT 15",
    "SELECT 16",
    "SELECT -1",
    "SELECT x",
    "SELECT 99999999999999999999",
    "SELECT 0",
    "CLIENT GETNAME",
    "CLIENT SETNAME rose",
    "CLIENT GETNAME",
    ["CLIENT", "SETNAME", "a b"],
    ["CLIENT", "SETNAME", "a\nb"],
    "CLIENT SETNAME",
    "CLIENT GETNAME x",
    "client nonsense",
    ["CLIENT", "SETNAME", ""],
    "CLIENT GETNAME",
    "CLIENT",
    ...["", " normal x", " nonsense", " master", " slave", " REPLICA", " pubsub"]
      .map((type) => `CLIENT LIST TYPE${type}`),
    ...[
      "",
      " x",
      " 0",
      " -1",
      " 4000000000 4000000001",
      " 99999999999999999999",
      " 1 x",
      " 1 TYPE normal",
    ]
      .map((ids) => `CLIENT LIST ID${ids}`),
    "CLIENT LIST nonsense",
    "client list NonSense 1",
    "CLIENT LIST TYPE normal ID 1",
    "HELLO 1",
    "HELLO 4",
    "HELLO x",
    "HELLO 3 NONSENSE",
    "HELLO 2 SETNAME",
    "HELLO 2 AUTH nobody nothing",
    "COMMAND NONSENSE",
    "COMMAND INFO nonsense",
    "CONFIG",
    "CONFIG GET",
    "CONFIG NONSENSE",
    "CONFIG GET nonsense",
    "CONFIG GET databases",
    "CONFIG GET SAVE",
    "CONFIG SET nonsense 1",
    "CONFIG SET databases 1",
  ],
  "unknown commands": [
    "NONSENSE",
    "nonsense a",
    "NonSense a b c",
    [""],
    ["", "a"],
    ["a\r\nb", "c\nd"],
    ["x".repeat(300), "y".repeat(300), "z"],
    ["nonsense", "y".repeat(60), "z".repeat(60), "a".repeat(60), "b"],
    ["nonsense", BINARY.replaceAll("\0", "")],
  ],
  "strings": [
    "GET a",
    "SET a 1",
    "GET a",
    "set a 2 nx",
    "SET b 2 NX",
    "SET b 3 XX",
    "SET c 3 XX",
    "GET b",
    "SET b 4 GET",
    "SET d 4 GET",
    "SET b 5 NX GET",
    "SET e 5 NX GET",
    "GET e",
    "SET b 6 XX GET",
    "SET f 6 XX GET",
    "SET b 7 NX XX",
    "SET b 7 XX NX",
    "SET b 7 EX",
    "SET b 7 EX x",
    "SET b 7 EX 0",
    "SET b 7 EX -1",
    "SET b 7 PX 0",
    "SET b 7 EX 1.5",
    "SET b 7 EX 9223372036854775807",
    "SET b 7 EX 99999999999999999999",
    "SET b 7 EX 10 PX 10",
    "SET b 7 NONSENSE",
    "SET b 7 NX NX",
    "SET b",
    "SET",
    "GET",
    "GET a b",
    ["SET", BINARY, BINARY],
    ["GET", BINARY],
    ["SET", "", ""],
    ["GET", ""],
    ["STRLEN", BINARY],
    "MSET a 1 b 2",
    "MGET a b nothing",
    "MSET a",
    "MSET a 1 b",
    "MGET",
    "STRLEN a",
    "STRLEN nothing",
    "APPEND a bc",
    "APPEND new abc",
    ["APPEND", "new", BINARY],
    "GET new",
    "STRLEN new",
    "SET long " + "x".repeat(10_000),
    "GET long",
    ["SET", "bytes", "\x80\xff".repeat(10_000)],
    ["GET", "bytes"],
  ],
  "counting": [
    "INCR n",
    "INCR n",
    "DECR n",
    "INCRBY n 10",
    "INCRBY n -3",
    "INCRBY n 1.5",
    "INCRBY n x",
    "INCRBY n",
    "GET n",
    "SET n x",
    "INCR n",
    "SET n 01",
    "INCR n",
    ["SET", "n", " 1"],
    "INCR n",
    ["SET", "n", ""],
    "INCR n",
    "SET n -0",
    "INCR n",
    "SET n 9223372036854775806",
    "INCR n",
    "INCR n",
    "GET n",
    "SET n -9223372036854775808",
    "DECR n",
    "INCR n",
    "SET n 9223372036854775808",
    "INCR n",
    "SET n 9007199254740993",
    "INCR n",
    "INCRBY n 9223372036854775807",
    "INCR",
  ],
  "keys": [
    "SET a 1",
    "RPUSH l 1",
    "HSET h a 1",
    "SADD s 1",
    "TYPE a",
    "TYPE l",
    "TYPE h",
    "TYPE s",
    "TYPE nothing",
    "TYPE",
    "EXISTS a",
    "EXISTS a a l nothing",
    "EXISTS",
    "DBSIZE",
    "DBSIZE x",
    "DEL a a nothing l",
    "DEL",
    "DBSIZE",
    "SELECT 1",
    "DBSIZE",
    "GET h",
    "SET h other",
    "SELECT 0",
    "GET h",
    "KEYS *",
    "KEYS ?",
    "KEYS [g-i]",
    "KEYS [i-g]",
    "KEYS [^h]",
    "KEYS \\h",
    "KEYS [h",
    "KEYS x*",
    "KEYS",
    "FLUSHALL NONSENSE",
    "FLUSHALL SYNC",
    "DBSIZE",
    "FLUSHALL ASYNC",
    "flushall",
    "SELECT 1",
    "DBSIZE",
  ],
  "patterns": [
    "MSET hello 1 hallo 2 hxllo 3 heeeello 4 h*llo 5 h[llo 6 h\\llo 7 h-llo 8 hllo 9 h^llo 10",
    ...["h?llo", "h*llo", "h[ae]llo", "h[^e]llo", "h[a-b]llo", "h\\*llo", "h\\[llo", "h\\\\llo"],
    ...["*l*l*o*", "**", "*", "", "h[]llo", "h[-]llo", "h[a-]llo", "h[\\]]llo", "h[\\^]llo"],
    ...["*o", "*x", "h*", "h**l**o", "hell", "hellox", "h[", "h[^", "h\\", "*?????", "?????"],
  ].map((text, i) => i === 0 ? text : ["KEYS", text]),
  "expiry": [
    "SET a 1 EX 100",
    "TTL a",
    "PERSIST a",
    "PERSIST a",
    "TTL a",
    "PERSIST nothing",
    "TTL nothing",
    "TTL",
    "EXPIRE a 50",
    "TTL a",
    "EXPIRE nothing 50",
    "EXPIRE a x",
    "EXPIRE a",
    "EXPIRE a 9223372036854775807",
    ...["-9223372036854776", "-9223372036854775808", "-9223372036854775809", "9223372036854776"]
      .flatMap((
        seconds,
      ) => [`EXPIRE foo ${seconds}`, `EXPIRE a ${seconds}`, `SET a 1 EX ${seconds}`]),
    "EXPIRE foo -9223372036854775",
    "EXPIRE foo 9223372036854775",
    "EXPIRE a 10 NONSENSE",
    "EXPIRE nothing x NONSENSE",
    "EXPIRE a 10 NX nonsense other",
    "EXPIRE a 10 NX XX",
    "EXPIRE a 10 nx gt",
    "EXPIRE a 10 LT NX",
    "EXPIRE a 10 LT GT XX",
    ...["NX", "XX", "GT", "LT", "XX GT", "XX LT", "NX NX"].flatMap((option) =>
      ["20", "200", "-1"].flatMap((seconds) =>
        ["SET e 1", "SET e 1 EX 100", "DEL e"].flatMap((before) => [
          before,
          `EXPIRE e ${seconds} ${option}`,
          "TTL e",
        ])
      )
    ),
    "TTL a",
    "SET a 2",
    "TTL a",
    "SET a 1 PX 20000",
    "TTL a",
    "SET a 1 PX 20400",
    "INCR a",
    "APPEND a x",
    "TTL a",
    "SET a 1 EX 100 NX",
    "TTL a",
    "MSET a 1",
    "TTL a",
    "EXPIRE a 100",
    "DEL a",
    "SET a 1 NX",
    "TTL a",
    "EXPIRE a 0",
    "EXISTS a",
    "SET a 1",
    "EXPIRE a -1",
    "GET a",
    "DBSIZE",
    "RPUSH l 1",
    "EXPIRE l 100",
    "RPUSH l 2",
    "TTL l",
    "LPOP l 2",
    "RPUSH l 1",
    "TTL l",
  ],
  "lists": [
    "LPUSH l a b c",
    "RPUSH l d e",
    "LLEN l",
    "LRANGE l 0 -1",
    "LRANGE l 1 2",
    "LRANGE l -2 -1",
    "LRANGE l -100 100",
    "LRANGE l 3 1",
    "LRANGE l 9 10",
    "LRANGE l 0 -100",
    "LRANGE l 0 x",
    "LRANGE l x 0",
    "LRANGE l 0",
    "LRANGE nothing 0 -1",
    "LPOP l",
    "RPOP l",
    "LPOP l 2",
    "LPOP l 0",
    "LPOP l -1",
    "LPOP l x",
    "LPOP l 1 2",
    "RPOP l 100",
    "EXISTS l",
    "LPOP l",
    "LPOP l 1",
    "RPOP l 0",
    "RPOP",
    "LLEN l",
    "LLEN",
    "LPUSH l",
    ["RPUSH", "l", BINARY, ""],
    "LRANGE l 0 -1",
    ["RPUSH", "many", ...Array.from({ length: 500 }, (_, i) => `item ${i}`)],
    "LPUSH many x y z",
    "LPOP many 10",
    "RPOP many 10",
    "LRANGE many 0 -1",
  ],
  "hashes": [
    "HSET h a 1",
    "HSET h a 2 b 3 c 4",
    "HSET h a",
    "HSET h a 1 b",
    "HSET h",
    "HGET h a",
    "HGET h nothing",
    "HGET nothing a",
    "HGET h",
    "HGETALL h",
    "HGETALL nothing",
    "HGETALL",
    ["HSET", "h", BINARY, BINARY],
    ["HGET", "h", BINARY],
    "HDEL h a nothing",
    "HDEL h a",
    "HDEL h",
    "HDEL nothing a",
    ["HDEL", "h", "b", "c", BINARY],
    "EXISTS h",
  ],
  "sets": [
    "SADD s a b a",
    "SADD s a c",
    "SADD s",
    "SISMEMBER s a",
    "SISMEMBER s nothing",
    "SISMEMBER nothing a",
    "SISMEMBER s",
    "SMEMBERS s",
    "SMEMBERS nothing",
    "SMEMBERS",
    ["SADD", "s", BINARY],
    ["SISMEMBER", "s", BINARY],
    "SREM s a nothing",
    ["SREM", "s", "b", "c", BINARY],
    "SREM s a",
    "SREM s",
    "EXISTS s",
  ],
  "wrong types": [
    "SET string x",
    "RPUSH list x",
    "HSET hash a x",
    "SADD set x",
    ...["list", "hash", "set"].flatMap((key) => [
      `GET ${key}`,
      `INCR ${key}`,
      `INCRBY ${key} 1`,
      `APPEND ${key} x`,
      `STRLEN ${key}`,
      `SET ${key} x GET`,
      `MGET string ${key}`,
    ]),
    ...["string", "hash", "set"].flatMap((key) => [
      `LPUSH ${key} x`,
      `RPUSH ${key} x`,
      `LPOP ${key}`,
      `RPOP ${key} 1`,
      `LPOP ${key} x`,
      `LRANGE ${key} 0 -1`,
      `LRANGE ${key} x -1`,
      `LLEN ${key}`,
    ]),
    ...["string", "list", "set"].flatMap((key) => [
      `HSET ${key} a x`,
      `HGET ${key} a`,
      `HGETALL ${key}`,
      `HDEL ${key} a`,
    ]),
    ...["string", "list", "hash"].flatMap((key) => [
      `SADD ${key} x`,
      `SREM ${key} x`,
      `SMEMBERS ${key}`,
      `SISMEMBER ${key} x`,
    ]),
    "SET list x",
    "GET list",
    "EXPIRE hash 100",
    "TTL hash",
  ],
};

/** The order of these is not said. */
const UNORDERED = /^(keys|smembers)$/i;

function inOrder(name: string, reply: string): string {
  return UNORDERED.test(name) ? reply.split("\r\n").sort().join("\r\n") : reply;
}

for (const version of ["2", "3"] as const) {
  for (const [name, cases] of Object.entries(CONVERSATIONS)) {
    Deno.test(`redis answers ${name} as Redis does, in RESP${version}`, besideRedis, async () => {
      await using real = await startRedis();
      await using server = serve({ port: 0 }, redis());
      using theirs = await real.dial();
      using ours = await dial(server);
      for (const client of [theirs, ours]) await client.ask("HELLO", version);
      for (const words of cases.map((each) => typeof each === "string" ? each.split(" ") : each)) {
        const expected = inOrder(words[0]!, await theirs.ask(...words));
        assertEquals(inOrder(words[0]!, await ours.ask(...words)), expected, words.join(" "));
      }
    });
  }
}

/** Subscribers get as many replies as there are channels. */
const SUBSCRIBING: readonly [words: string, replies: number][] = [
  ["UNSUBSCRIBE", 1],
  ["UNSUBSCRIBE nothing", 1],
  ["SUBSCRIBE a b a", 3],
  ["GET x", 1],
  ["nonsense", 1],
  ["GET", 1],
  ["PUBLISH a x", 1],
  ["PING", 1],
  ["PING hello", 1],
  ["PING a b", 1],
  ["UNSUBSCRIBE b nothing", 2],
  ["PING", 1],
  ["UNSUBSCRIBE", 1],
  ["UNSUBSCRIBE", 1],
  ["GET x", 1],
  ["PING", 1],
  ["SUBSCRIBE", 1],
];

for (const version of ["2", "3"] as const) {
  Deno.test(`redis answers subscribers as Redis does, in RESP${version}`, besideRedis, async () => {
    await using real = await startRedis();
    await using server = serve({ port: 0 }, redis());
    using theirs = await real.dial();
    using ours = await dial(server);
    for (const client of [theirs, ours]) await client.ask("HELLO", version);
    for (const [words, replies] of SUBSCRIBING) {
      // A subscriber that hears itself: whether the reply or the message comes first differs between versions.
      if (version === "3" && words.startsWith("PUBLISH")) continue;
      for (const client of [theirs, ours]) await client.send(command(words.split(" ")));
      for (let i = 0; i < replies; i++) {
        assertEquals(await ours.reply(), await theirs.reply(), words);
      }
    }
    for (const dialed of [() => real.dial(), () => dial(server)]) {
      using publisher = await dialed();
      assertEquals(await publisher.ask("PUBLISH", "a", "x"), ":0\r\n");
    }
    for (const client of [theirs, ours]) await client.ask("SUBSCRIBE", BINARY);
    for (const dialed of [() => real.dial(), () => dial(server)]) {
      using publisher = await dialed();
      assertEquals(await publisher.ask("PUBLISH", BINARY, BINARY), ":1\r\n");
    }
    assertEquals(await ours.reply(), await theirs.reply());
  });
}

/** What is sent byte for byte; what comes until the server closes must be the same. */
const SCRIPTS: Record<string, string> = {
  "inline commands": "PING\r\nECHO hello\r\nSET a 1\nGET a\n  GET \t a  \r\nQUIT\r\n",
  "empty lines": "\r\n\nPING\r\n\r\n   \r\nQUIT\r\n",
  "quoted words": 'ECHO "a b"\r\nECHO "\\x41\\xff\\n\\"\\q\\x4"\r\nECHO \'a\\\'b\\n"\'\r\n' +
    'ECHO a"b c"\r\nECHO ""\r\nECHO \'\'\r\nQUIT\r\n',
  "a quote that is not closed": 'PING\r\nECHO "a\r\nPING\r\n',
  "a single quote that is not closed": "ECHO 'a\\'\r\nPING\r\n",
  "a quote that goes on": 'ECHO "a"b\r\nPING\r\n',
  "bytes over ASCII in a line": "ECHO \xa0\xff\x85\r\nQUIT\r\n",
  "commands of no words": "*0\r\n*-1\r\n*-7\r\n" + command(["PING"]) + command(["QUIT"]),
  "what follows QUIT": command(["PING"]) + command(["QUIT"]) + command(["PING"]),
  "a count that is no number": command(["PING"]) + "*x\r\n" + command(["PING"]),
  "an empty count": "*\r\n",
  "a count with a leading zero": "*01\r\n",
  "a count that is too large": "*99999999999\r\n",
  "a count beyond all numbers": `*${"9".repeat(40)}\r\n`,
  "a length that is no number": "*1\r\n$x\r\n",
  "an empty length": "*1\r\n$\r\n",
  "a negative length": "*1\r\n$-1\r\n",
  "a length with a leading zero": "*1\r\n$04\r\nPING\r\n",
  "a length with a sign": "*1\r\n$+4\r\nPING\r\n",
  "a length of minus nothing": "*1\r\n$-0\r\n",
  "a length that is too large": "*1\r\n$99999999999\r\n",
  "something else than a length": "*1\r\nPING\r\n",
  "a bad second length": "*2\r\n$4\r\nECHO\r\n:5\r\n",
  "a length begun with a line end": "*1\r\n\r\n",
  "a request of HTTP": "POST / HTTP/1.1\r\nHost: a\r\n\r\nPING\r\n",
  "a header of HTTP": "host: a\r\n\r\nPING\r\n",
  "a line without an end": "x".repeat(70_000),
  "one count too many before a command": "*3\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n",
};

for (const [name, script] of Object.entries(SCRIPTS)) {
  Deno.test(`redis answers ${name} as Redis does`, besideRedis, async () => {
    await using real = await startRedis();
    await using server = serve({ port: 0 }, redis());
    using theirs = await real.dial();
    using ours = await dial(server);
    for (const client of [theirs, ours]) await client.send(script);
    assertEquals(await ours.rest(), await theirs.rest());
  });
}

/** A reply with the figures taken out. */
function shape(reply: string): string {
  return reply.replace(/\r\n[^*$%~:>_+=-][^\r]*/g, "").replace(/\d+/g, "N");
}

for (const version of ["2", "3"] as const) {
  Deno.test(
    `redis describes itself in the shape that Redis does, in RESP${version}`,
    besideRedis,
    async () => {
      await using real = await startRedis();
      await using server = serve({ port: 0 }, redis());
      using theirs = await real.dial();
      using ours = await dial(server);
      for (
        const words of [["HELLO", version], ["HELLO"], ["INFO"], ["CLIENT", "INFO"], [
          "CLIENT",
          "ID",
        ]]
      ) {
        assertEquals(
          shape(await ours.ask(...words)),
          shape(await theirs.ask(...words)),
          `${words}`,
        );
      }
      const names = ["get", "set", "mget", "mset", "del", "incr", "lpop", "hset", "ping", "select"];
      for (const name of names) {
        const [our, their] = [
          await ours.ask("COMMAND", "INFO", name),
          await theirs.ask("COMMAND", "INFO", name),
        ];
        const head = /^\*1\r\n\*10\r\n\$\d+\r\n\w+\r\n:-?\d+\r\n/;
        assertEquals(our.match(head)?.[0], their.match(head)?.[0]);
        assertEquals(keyPositions(our), keyPositions(their), name);
      }
    },
  );
}

/** The three numbers that stand in a row. */
function keyPositions(reply: string): string | undefined {
  return /(:-?\d+\r\n){3}/.exec(reply)?.[0];
}

/** Words that make sense in many places, so that what comes of them depends on what came before. */
const SOME = fc.constantFrom("a", "b", "c", "0", "1", "-1", "7", "", "x y", BINARY, "NX", "GET");
const COMMON = fc.constantFrom(
  ...["GET", "SET", "MGET", "MSET", "DEL", "EXISTS", "INCR", "DECR", "INCRBY", "APPEND", "STRLEN"],
  ...["TTL", "PERSIST", "TYPE", "DBSIZE", "LPUSH", "RPUSH", "LPOP", "RPOP", "LRANGE", "LLEN"],
  ...["HSET", "HGET", "HDEL", "SADD", "SREM", "SISMEMBER", "PING", "ECHO", "SELECT", "FLUSHALL"],
);

Deno.test("redis answers any run of commands as Redis does", besideRedis, async () => {
  await using real = await startRedis();
  await using server = serve({ port: 0 }, redis());
  using theirs = await real.dial();
  using ours = await dial(server);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("2", "3"),
      fc.array(fc.tuple(COMMON, fc.array(SOME, { maxLength: 4 })), { maxLength: 60 }),
      async (version, run) => {
        const commands = run.map(([name, args]) => [name, ...args]);
        const all = [["FLUSHALL"], ["SELECT", "0"], ["HELLO", version], ...commands];
        for (const client of [theirs, ours]) await client.send(all.map(command).join(""));
        for (const words of all) {
          const [expected, actual] = [await theirs.reply(), await ours.reply()];
          if (words[0] !== "HELLO") assertEquals(actual, expected, JSON.stringify(words));
        }
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("List grows and shrinks at both ends as an array does", { permissions: "none" }, () => {
  fc.assert(fc.property(
    fc.array(fc.constantFrom("push", "push", "unshift", "unshift", "pop", "shift"), {
      size: "large",
    }),
    (steps) => {
      const list = new List();
      const array: string[] = [];
      for (const [i, step] of steps.entries()) {
        if (step === "push" || step === "unshift") {
          list[step as "push"](`${i}`);
          array[step as "push"](`${i}`);
        } else if (array.length > 0) {
          assertEquals(list[step as "pop"](), array[step as "pop"]());
        }
        assertEquals(list.length, array.length);
      }
      assertEquals(array.map((_, i) => list.at(i)), array);
    },
  ));
});

Deno.test("redis forgets what has expired", overNet, async () => {
  await using server = serve({ port: 0 }, redis());
  using client = await dial(server);
  assertEquals(await client.ask("SET", "a", "x", "PX", "1"), "+OK\r\n");
  assertEquals(await client.ask("SET", "b", "x", "PX", "1"), "+OK\r\n");
  for (const key of ["a", "b"]) while (await client.ask("GET", key) !== "$-1\r\n");
  assertEquals(await client.ask("TTL", "a"), ":-2\r\n");
  assertEquals(await client.ask("KEYS", "*"), "*0\r\n");
  assertEquals(await client.ask("DBSIZE"), ":0\r\n");
});

Deno.test("redis counts no keys that have expired", overNet, async () => {
  await using server = serve({ port: 0 }, redis());
  using client = await dial(server);
  await client.ask("SET", "lasting", "x", "EX", "100");
  await client.ask("SET", "eternal", "x");
  for (let i = 0; i < 10; i++) await client.ask("SET", `brief ${i}`, "x", "PX", "1");
  const expired = Date.now() + 1;
  while (Date.now() <= expired);
  assertEquals(await client.ask("DBSIZE"), ":2\r\n");
  assertEquals(await client.ask("INFO", "keyspace"), "$24\r\n# Keyspace\r\ndb0:keys=2\r\n\r\n");
  await client.ask("SET", "late", "x", "PX", "1");
  const over = Date.now() + 1;
  while (Date.now() <= over);
  assertEquals(await client.ask("DBSIZE"), ":2\r\n");
});

Deno.test("Database removes expired keys that are never read", () => {
  const db = new Database();
  for (let i = 0; i < 1000; i++) {
    db.set(`brief ${i}`, "x");
    db.expireAt(`brief ${i}`, Date.now());
    assert(db.held <= 3, `${db.held} keys are held`); // each new deadline looks at two others
  }
  db.set("lasting", "x");
  for (let i = 0; i < 4; i++) db.expireAt("lasting", Date.now() + 100_000);
  assertEquals([db.held, db.size], [1, 1]);
});

Deno.test("redis publishes in both versions, binary-safe", overNet, async () => {
  await using server = serve({ port: 0 }, redis());
  using second = await dial(server);
  using third = await dial(server);
  using publisher = await dial(server);
  await third.ask("HELLO", "3");
  assertEquals(
    await second.ask("SUBSCRIBE", "news"),
    "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
  );
  assertEquals(
    await third.ask("SUBSCRIBE", "news"),
    ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
  );
  assertEquals(await publisher.ask("PUBLISH", "news", BINARY), ":2\r\n");
  assertEquals(await publisher.ask("PUBLISH", "nothing", "x"), ":0\r\n");
  const body = `3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$${BINARY.length}\r\n${BINARY}\r\n`;
  assertEquals(await second.reply(), `*${body}`);
  assertEquals(await third.reply(), `>${body}`);
  // In RESP3 a subscriber goes on as before.
  assertEquals(await third.ask("ECHO", "x"), "$1\r\nx\r\n");
});

Deno.test("redis forgets a subscriber that leaves", overNet, async () => {
  await using server = serve({ port: 0 }, redis());
  using publisher = await dial(server);
  {
    using subscriber = await dial(server);
    await subscriber.ask("SUBSCRIBE", "news");
    assertEquals(await publisher.ask("PUBLISH", "news", "x"), ":1\r\n");
  }
  while (await publisher.ask("PUBLISH", "news", "x") !== ":0\r\n");
});

Deno.test(
  "redis cuts off a subscriber that does not read, and serves the others",
  overNet,
  async () => {
    await using server = serve({ port: 0, maxBufferedOutput: 256 * 1024 }, redis());
    using stuck = await dial(server);
    using publisher = await dial(server);
    await stuck.ask("SUBSCRIBE", "news");
    const message = "x".repeat(10_000);
    while (await publisher.ask("PUBLISH", "news", message) !== ":0\r\n");
  },
);

Deno.test("redis keeps the data of two servers apart", overNet, async () => {
  await using first = serve({ port: 0 }, redis());
  await using second = serve({ port: 0 }, redis());
  using a = await dial(first);
  using b = await dial(second);
  await a.ask("SET", "a", "x");
  assertEquals(await b.ask("GET", "a"), "$-1\r\n");
});

Deno.test("redis disconnects a client that exceeds a limit, and says which", overNet, async () => {
  const limits = { maxBulkLength: 100, maxArguments: 5, maxCommandLength: 200 };
  await using server = serve({ port: 0 }, redis(limits));
  for (
    const [sent, reply] of [
      ["*1\r\n$101\r\n", "-ERR Protocol error: invalid bulk length\r\n"],
      ["*6\r\n", "-ERR Protocol error: invalid multibulk length\r\n"],
      [
        command(["ECHO", "x".repeat(100)]) + "*6\r\n",
        `$100\r\n${"x".repeat(100)}\r\n` +
        "-ERR Protocol error: invalid multibulk length\r\n",
      ],
    ] as const
  ) {
    using client = await dial(server);
    await client.send(sent);
    assertEquals(await client.rest(), reply);
  }
  using client = await dial(server);
  await client.send(command(["MGET", "x".repeat(100), "y".repeat(100)]).slice(0, -1));
  await client.rest().catch(() => {}); // a reset or the end: as from Redis, no reply
  using other = await dial(server);
  assertEquals(await other.ask("PING"), "+PONG\r\n");
});

Deno.test("redis replies with megabytes", overNet, async () => {
  await using server = serve({ port: 0, maxBufferedOutput: 32 * 1024 * 1024 }, redis());
  using client = await dial(server);
  const value = BINARY.repeat(500_000);
  assertEquals(await client.ask("SET", "a", value), "+OK\r\n");
  assert(await client.ask("GET", "a") === `$${value.length}\r\n${value}\r\n`);
  assert(
    await client.ask("MGET", "a", "a") === `*2\r\n${`$${value.length}\r\n${value}\r\n`.repeat(2)}`,
  );
});

Deno.test("redis describes itself", overNet, async () => {
  await using server = serve({ port: 0 }, redis());
  using client = await dial(server);
  await client.ask("SET", "a", "x");
  const info = await client.ask("INFO");
  assertMatch(info, /\r\n# Server\r\nredis_version:\d+\.\d+\.\d+\r\n/);
  assertMatch(info, /\r\nloading:0\r\n/);
  assertMatch(info, /\r\ndb0:keys=1\r\n/);
  assertMatch(await client.ask("INFO", "keyspace"), /^\$24\r\n# Keyspace\r\ndb0:keys=1\r\n\r\n$/);
  assertMatch(await client.ask("CLIENT", "LIST"), /^\$\d+\r\nid=1 addr=127\.0\.0\.1:\d+ name= /);
  using other = await dial(server);
  using subscriber = await dial(server);
  await other.ask("PING");
  await subscriber.ask("SUBSCRIBE", "news");
  const cases: [by: string, ids: number[]][] = [
    ["", [1, 2, 3]],
    ["TYPE normal", [1, 2]],
    ["type NORMAL", [1, 2]],
    ["TYPE pubsub", [3]],
    ["TYPE master", []],
    ["ID 2", [2]],
    ["id 3 1 9 3", [3, 1, 3]],
  ];
  for (const [by, ids] of cases) {
    const list = await client.ask("CLIENT", "LIST", ...by.split(" ").filter(Boolean));
    assertEquals([...list.matchAll(/id=(\d+)/g)].map(([, id]) => Number(id)), ids, by);
  }
  assertMatch(await client.ask("COMMAND", "COUNT"), /^:4\d\r\n$/);
  assertMatch(await client.ask("COMMAND"), /^\*4\d\r\n\*10\r\n/);
  assertEquals(await client.ask("COMMAND", "DOCS"), "*0\r\n");
  assertEquals(await client.ask("INFO", "nonsense"), "$0\r\n\r\n");
});
