import { assert, assertEquals, assertGreater, assertMatch, assertRejects } from "@std/assert";
import { type Capture, capture, openCapture } from "../../capture/mod.ts";
import { respClient } from "../../codecs/mod.ts";
import { connect } from "../../connect/connect.ts";
import { serve, type Server } from "../../serve/serve.ts";
import { Session } from "../../session.ts";
import { memoryListener, memoryPair, type TransportName } from "../../transport/mod.ts";
import { hasRedisServer, startRedis } from "../_redis.ts";
import { ask, canIpv6, echo, portOf, readAll, until } from "../_serving.ts";
import { ca, caFile, localhost, overTls } from "../_tls_serving.ts";
import { trusting } from "../_starttls.ts";
import { makeTempDir } from "../_temp_dir.ts";
import { canRun } from "../_permissions.ts";
import { assertFlawless, commentsOf, fieldsOf, infoOf, overTshark, streamsOf } from "../_tshark.ts";

const overTlsTshark = { ...overTshark, ignore: overTshark.ignore || overTls.ignore };

/** A file in a directory of its own. */
async function someFile(): Promise<AsyncDisposable & { file: string; files(): string[] }> {
  const dir = await makeTempDir();
  return {
    file: `${dir.path}/test.pcapng`,
    files: () => [...Deno.readDirSync(dir.path)].map(({ name }) => name).sort(),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

/** Sends all input back, in writes of its own sizes. */
async function sendBack(session: Session): Promise<void> {
  for await (const bytes of session.bytes()) await session.send(bytes);
}

/** Random bytes in pieces of random sizes. */
function randomPieces(total: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let left = total; left > 0;) {
    const size = Math.min(left, 1 + Math.floor(Math.random() ** 4 * 200_000));
    const piece = new Uint8Array(size);
    for (let at = 0; at < size; at += 65536) {
      crypto.getRandomValues(piece.subarray(at, Math.min(size, at + 65536)));
    }
    pieces.push(piece);
    left -= size;
  }
  return pieces;
}

/** Sends random pieces to a server that sends them back, and returns what was sent. */
async function converse(client: Session, total: number): Promise<Uint8Array> {
  const pieces = randomPieces(total);
  const received = client.readExactly(total);
  for (const piece of pieces) await client.send(piece);
  const sent = await received;
  await client.closeWrite();
  assertEquals(await readAll(client), "");
  await client.close();
  return sent;
}

function hex(text: string): string {
  return new TextEncoder().encode(text).toHex();
}

async function finish(server: Server, captured: Capture): Promise<void> {
  await server.shutdown();
  await captured.close();
}

for (const transport of ["deno", "node", "TLS"] as const) {
  Deno.test(
    `capture() writes streams that reassemble to the same bytes (${transport})`,
    transport === "TLS" ? overTlsTshark : overTshark,
    async () => {
      await using place = await someFile();
      const server = serve({
        port: 0,
        ...(transport === "TLS" ? { tls: localhost } : { transport: transport as TransportName }),
      }, sendBack);
      const captured = capture(server, place.file, { maxSessionBytes: Infinity });
      const port = portOf(server);
      const sent: Uint8Array[] = [];
      for (const total of [1, 1000, 1_500_000]) {
        const client = await connect({
          port,
          ...(transport === "TLS" && { tls: { ca, serverName: "localhost" } }),
        });
        sent.push(await converse(client, total));
      }
      await finish(server, captured);
      const streams = await streamsOf(place.file, 3);
      for (const [n, { forth, back }] of streams.entries()) {
        assert(Buffer.compare(forth, sent[n]!), `what came in stream ${n} differs`);
        assert(Buffer.compare(back, sent[n]!), `what went out in stream ${n} differs`);
      }
      await assertFlawless(place.file);
      const comments = await commentsOf(place.file);
      assertEquals(comments.length, 6);
      const [first, last] = [comments[0]!, comments[1]!];
      assertMatch(last, /^ended: peer, after \d+ ms, 1 bytes in, 1 bytes out$/);
      if (transport === "TLS") {
        assertMatch(first, /^session 1; shown without its TLS: TLSv1.3, TLS_\w+, localhost$/);
      } else assertEquals(first, "session 1");
      assertEquals(captured.stats().sessions, 3);
      const { "Number of packets": packets, "Strict time order": isOrdered } = await infoOf(
        place.file,
      );
      assertEquals([Number(packets), isOrdered], [captured.stats().packets, "True"]);
    },
  );
}

const Buffer = {
  /** Faster than `assertEquals()` for a megabyte. */
  compare: (a: Uint8Array, b: Uint8Array): boolean =>
    a.length === b.length && a.every((byte, at) => byte === b[at]),
};

Deno.test("capture() shows addresses, who began, and the order of events", overTshark, async () => {
  await using place = await someFile();
  const server = serve({ port: 0 }, echo);
  const captured = capture(server, place.file);
  const client = await connect({ port: portOf(server) });
  const { port } = client.localAddr as Deno.NetAddr;
  const theirs = openCapture(`${place.file}.client`);
  theirs.add(client);
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await finish(server, captured);
  await theirs.close();
  for (const file of [place.file, `${place.file}.client`]) {
    const packets = await fieldsOf(file, "tcp", ["ip.src", "tcp.srcport", "tcp.flags", "tcp.len"]);
    const here = `127.0.0.1\t${portOf(server)}`;
    const there = `127.0.0.1\t${port}`;
    assertEquals(packets.slice(0, 7), [
      `${there}\t0x0002\t0`,
      `${here}\t0x0012\t0`,
      `${there}\t0x0010\t0`,
      `${there}\t0x0018\t5`,
      `${here}\t0x0018\t6`,
      `${there}\t0x0011\t0`,
      `${here}\t0x0011\t0`,
    ]);
    await assertFlawless(file);
    const directions = await fieldsOf(file, "tcp.len > 0", ["frame.packet_flags_direction"]);
    assertEquals(
      directions,
      file === place.file ? ["0x00000001", "0x00000002"] : ["0x00000002", "0x00000001"],
    );
  }
});

Deno.test(
  "capture() shows IPv6",
  { ...overTshark, ignore: overTshark.ignore || !canIpv6 },
  async () => {
    await using place = await someFile();
    const server = serve({ port: 0, hostname: "::1" }, echo);
    const captured = capture(server, place.file);
    const client = await connect({ port: portOf(server), hostname: "::1" });
    assertEquals(await ask(client, "rose"), "rose!");
    await client.close();
    await finish(server, captured);
    assertEquals(await fieldsOf(place.file, "tcp.len > 0", ["ipv6.src", "ipv6.dst", "tcp.len"]), [
      "::1\t::1\t5",
      "::1\t::1\t6",
    ]);
    await assertFlawless(place.file);
  },
);

Deno.test(
  "capture() shows the addresses of PROXY headers, also of different families",
  overTshark,
  async () => {
    await using place = await someFile();
    const server = serve({ port: 0, proxyProtocol: "required", trusted: ["127.0.0.1"] }, echo);
    const captured = capture(server, place.file);
    const client = await connect({
      port: portOf(server),
      proxyHeader: {
        version: 2,
        source: { transport: "tcp", hostname: "2001:db8::7", port: 7 },
        destination: { transport: "tcp", hostname: "2001:db8::8", port: 8 },
      },
    });
    assertEquals(await ask(client, "rose"), "rose!");
    await client.close();
    await finish(server, captured);
    assertEquals(
      await fieldsOf(place.file, "tcp.len == 5", ["ipv6.src", "tcp.srcport", "ipv6.dst"]),
      [
        "2001:db8::7\t7\t2001:db8::8",
      ],
    );
    assertEquals(
      (await commentsOf(place.file))[0],
      "session 1; the addresses are those of its PROXY header",
    );
  },
);

Deno.test("capture() shows HTTP within TLS", {
  ...overTlsTshark,
  ignore: overTlsTshark.ignore || !await canRun("curl"),
}, async () => {
  await using place = await someFile();
  const server = serve({ port: 0, tls: localhost }, async (session) => {
    for await (const line of session.lines()) if (line === "") break;
    await session.send(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nrose\n",
    );
  });
  const captured = capture(server, place.file);
  const { stdout } = await new Deno.Command("curl", {
    args: ["--silent", "--cacert", caFile, `https://localhost:${portOf(server)}/garden?x=1`],
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "rose\n");
  await finish(server, captured);
  const decoded = await fieldsOf(
    place.file,
    "http",
    ["http.request.uri", "http.response.code", "http.file_data"],
    ...["-d", `tcp.port==${portOf(server)},http`],
  );
  assertEquals(decoded.map((line) => line.trim().replace(/\s+/, " ")), [
    "/garden?x=1",
    "200 rose\\n",
  ]);
});

Deno.test("capture() shows a client's Redis commands over a Unix socket", {
  ...overTshark,
  ignore: overTshark.ignore || !hasRedisServer,
}, async () => {
  await using place = await someFile();
  await using redis = await startRedis();
  const client = await connect({ path: redis.path });
  const captured = capture(client, place.file);
  const commands = client.frames(respClient());
  await commands.send(["SET", "flower", "rose"]);
  assertEquals(await commands.read(), "OK");
  await client.close();
  await captured.close();
  const decoded = await fieldsOf(place.file, "resp", [
    "ip.dst",
    "resp.bulk_string.value",
    "resp.string",
  ], ...["-d", "tcp.port==65535,resp"]);
  assertEquals(decoded, [
    `192.0.2.1\t${hex("SET")},${hex("flower")},${hex("rose")}\t`,
    "192.0.2.2\t\tOK",
  ]);
  assertMatch(
    (await commentsOf(place.file))[0]!,
    /^session 1; made-up addresses stand for .+redis.sock and unix socket$/,
  );
});

Deno.test(
  "capture() begins in the middle of a session with the read that waits",
  overTshark,
  async () => {
    for (const transport of ["deno", "node"] as const) {
      await using place = await someFile();
      await using server = serve({ port: 0, transport }, echo);
      const client = await connect({ port: portOf(server), transport });
      assertEquals(await ask(client, "before"), "before!");
      const answer = client.readLine(); // both sides have a read under way
      const [session] = server.sessions;
      await until(() => session!.bytesBuffered === 0);
      const here = capture(session!, place.file);
      const there = capture(client, `${place.file}.client`);
      client.send("rose\n");
      assertEquals(await answer, "rose!");
      assertEquals(await ask(client, "think"), "think!");
      await client.close();
      await server.shutdown();
      await Promise.all([here.close(), there.close()]);
      for (const file of [place.file, `${place.file}.client`]) {
        const [stream] = await streamsOf(file, 1);
        assertEquals(new TextDecoder().decode(stream!.forth), "rose\nthink\n");
        assertEquals(new TextDecoder().decode(stream!.back), "rose!\nthink!\n");
        await assertFlawless(file);
      }
      assertEquals(
        (await commentsOf(place.file))[0],
        "session 1; not captured from its beginning: 7 bytes in and 8 bytes out came before",
      );
    }
  },
);

Deno.test(
  "capture() of a server includes its open sessions, and ends with it",
  overTshark,
  async () => {
    await using place = await someFile();
    const server = serve({ port: 0 }, echo);
    const client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, "before"), "before!");
    const captured = capture(server, place.file);
    assertEquals(await ask(client, "rose"), "rose!");
    const later = await connect({ port: portOf(server) });
    assertEquals(await ask(later, "think"), "think!");
    const ends = [client.close(), later.close()];
    await server.shutdown();
    await Promise.all(ends);
    await captured.close(); // it waits for the file, which is being closed already
    await captured.close();
    const texts = (await streamsOf(place.file, 2)).map(({ forth }) =>
      new TextDecoder().decode(forth)
    );
    assertEquals(texts, ["rose\n", "think\n"]);
  },
);

Deno.test("capture() shows both sides of STARTTLS in the clear", overTlsTshark, async () => {
  await using place = await someFile();
  const server = serve({ port: 0, tls: { ...localhost, mode: "starttls" } }, async (session) => {
    assertEquals(await session.readLine(), "STARTTLS");
    await session.send("go ahead\n");
    await session.upgradeTls();
    await echo(session);
  });
  const captured = capture(server, place.file);
  const client = await connect({ port: portOf(server) });
  assertEquals(await ask(client, "STARTTLS"), "go ahead");
  await client.upgradeTls(trusting);
  assertEquals(await ask(client, "rose"), "rose!");
  await client.close();
  await finish(server, captured);
  const [stream] = await streamsOf(place.file, 1);
  assertEquals(new TextDecoder().decode(stream!.forth), "STARTTLS\nrose\n");
  assertEquals(new TextDecoder().decode(stream!.back), "go ahead\nrose!\n");
  assertMatch((await commentsOf(place.file))[1]!, /^TLS begins: TLSv1.3, TLS_\w+, localhost$/);
  await assertFlawless(place.file);
});

Deno.test("capture() says why sessions end, and shows resets", overTshark, async () => {
  await using place = await someFile();
  const errors: unknown[] = [];
  const server = serve(
    { port: 0, transport: "node", onError: (error) => void errors.push(error) },
    async (session) => {
      const line = await session.readLine();
      if (line === "throw") throw new Error("no roses");
      if (line === "abort") return session.abort("enough");
      for await (const _ of session);
    },
  );
  const captured = capture(server, place.file);
  const port = portOf(server);
  for (const line of ["throw", "abort", "reset"]) {
    const client = await connect({ port, transport: "node" });
    await client.send(`${line}\n`);
    if (line === "reset") {
      await until(() => [...server.sessions].some(({ bytesRead }) => bytesRead > 0));
      client.abort();
    } else await readAll(client).catch(() => {});
    client.abort();
    await until(() => server.stats().active === 0);
  }
  await finish(server, captured);
  assertEquals(errors.length, 1);
  const resets = await fieldsOf(place.file, "tcp.flags.reset == 1", [
    "tcp.srcport",
    "frame.comment",
  ]);
  assertEquals(resets.map((line) => line.startsWith(`${port}\t`)), [true, true, false]);
  assertMatch(resets[0]!, /ended: error \(Error: no roses\), after/);
  assertMatch(resets[1]!, /ended: local \(enough\), after/);
  assertMatch(resets[2]!, /ended: peer \(ConnectionReset: .*\), after/);
  await assertFlawless(place.file);
});

Deno.test("capture() makes up addresses where there are none", overTshark, async () => {
  await using place = await someFile();
  const listener = memoryListener();
  const server = serve({ listener }, echo);
  const captured = capture(server, place.file);
  for (let n = 0; n < 2; n++) {
    const client = new Session(listener.connect());
    assertEquals(await ask(client, "rose"), "rose!");
    await client.close();
  }
  await finish(server, captured);
  assertEquals(
    await fieldsOf(place.file, "tcp.len == 5", ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport"]),
    [
      "192.0.2.2\t1024\t192.0.2.1\t65535",
      "192.0.2.2\t1025\t192.0.2.1\t65535",
    ],
  );
  assertEquals(
    (await commentsOf(place.file))[0],
    "session 1; made-up addresses stand for memory a and memory b",
  );
});

Deno.test(
  "capture() keeps to maxSessionBytes, and says how much is missing",
  overTshark,
  async () => {
    await using place = await someFile();
    const server = serve({ port: 0 }, echo);
    const captured = capture(server, place.file, { maxSessionBytes: 7 });
    for (let n = 0; n < 2; n++) {
      const client = await connect({ port: portOf(server) });
      assertEquals(await ask(client, "rose"), "rose!");
      assertEquals(await ask(client, "think"), "think!");
      await client.close();
      await until(() => server.stats().active === 0);
    }
    await finish(server, captured);
    const lengths = await fieldsOf(place.file, "tcp.len > 0", ["tcp.stream", "tcp.len"]);
    assertEquals(lengths, ["0\t5", "0\t2", "1\t5", "1\t2"]);
    const [, missing] = await commentsOf(place.file);
    assertEquals(missing, "17 bytes are missing here"); // 4 of the first answer, 6 and 7
    const [, , , fin] = await fieldsOf(place.file, "tcp.stream == 0 && tcp.flags.fin == 0", [
      "tcp.seq",
    ]);
    assertEquals(fin, "1");
  },
);

Deno.test("capture() begins new files, and deletes the oldest", overTshark, async () => {
  await using place = await someFile();
  const server = serve({ port: 0 }, sendBack);
  const captured = capture(server, place.file, {
    ...{ maxSessionBytes: Infinity, maxFileSize: 100_000, maxFiles: 3 },
  });
  const client = await connect({ port: portOf(server) });
  await converse(client, 500_000);
  await finish(server, captured);
  assertEquals(place.files(), ["test.pcapng", "test.pcapng.1", "test.pcapng.2"]);
  const { files, packets, droppedPackets } = captured.stats();
  assertGreater(files, 5);
  assertEquals(droppedPackets, 0);
  let found = 0;
  for (const name of ["", ".1", ".2"]) {
    const { size, mode } = await Deno.stat(place.file + name);
    assert(size <= 100_000, `${size} bytes in ${name}`);
    assertEquals(mode! & 0o777, 0o600);
    found += Number((await infoOf(place.file + name))["Number of packets"]);
  }
  assert(found > 3 && found < packets, `${found} of ${packets}`);
});

Deno.test("capture() renames an existing file, and refuses what is none", overTshark, async () => {
  await using place = await someFile();
  await Deno.writeTextFile(place.file, "old");
  const [connection] = memoryPair();
  const session = new Session(connection);
  await capture(session, place.file).close();
  assertEquals(await Deno.readTextFile(`${place.file}.1`), "old");
  await capture(session, place.file, { maxFiles: 2 }).close();
  assertEquals(place.files(), ["test.pcapng", "test.pcapng.1"]);
  assertEquals((await infoOf(`${place.file}.1`))["Number of packets"], "3");
  const link = `${place.file}.link`;
  await Deno.symlink(place.file, link);
  const folder = `${place.file}.folder`;
  await Deno.mkdir(folder);
  for (const path of [link, folder]) {
    await assertRejects(
      async () => await capture(session, path).close(),
      Error,
      `${path} is not a regular file`,
    );
  }
  session.abort();
});

Deno.test(
  "capture() drops what the file does not take in time, and counts it",
  overTshark,
  async () => {
    await using place = await someFile();
    const [left, right] = memoryPair({ capacity: 2 ** 20 });
    const session = new Session(left);
    const peer = new Session(right);
    const captured = capture(session, place.file, {
      maxSessionBytes: Infinity,
      maxQueue: 64 * 1024,
    });
    for (let n = 0; n < 10; n++) session.send(new Uint8Array(100_000)); // all within one turn
    await session.flush();
    await peer.readExactly(1_000_000);
    await until(() => captured.stats().bytesWritten > 0);
    await session.send("last");
    assertEquals((await peer.readExactly(4)).length, 4);
    await Promise.all([session.close(), peer.close()]);
    await captured.close();
    const { droppedPackets, packets } = captured.stats();
    assertGreater(droppedPackets, 0);
    const info = await infoOf(place.file);
    assertEquals(Number(info["Number of packets"]), packets);
    const missing = (await commentsOf(place.file)).flatMap((line) =>
      /^(\d+) bytes are missing/.exec(line)?.[1] ?? []
    );
    const lengths = await fieldsOf(place.file, "tcp.len > 0", ["tcp.len"]);
    const sum = (numbers: string[]) => numbers.reduce((all, one) => all + Number(one), 0);
    assertEquals(sum(missing) + sum(lengths), 1_000_004);
  },
);

Deno.test("capture() reports that it cannot write, and sessions go on", overTshark, async () => {
  await using place = await someFile();
  const { file } = place;
  const directory = `${file}.d`;
  await Deno.mkdir(directory);
  const errors: unknown[] = [];
  const server = serve({ port: 0 }, sendBack);
  const limits = { maxFileSize: 65536, maxSessionBytes: Infinity };
  const told = capture(server, `${directory}/a`, {
    ...limits,
    onError: (error) => void errors.push(error),
  });
  const untold = capture(server, `${directory}/b`, limits);
  await Deno.remove(directory, { recursive: true }); // so that the next file cannot be begun
  const client = await connect({ port: portOf(server) });
  await converse(client, 200_000);
  await server.shutdown();
  await told.close();
  assertEquals(errors.length, 1);
  assertMatch(String(errors[0]), /ENOENT/);
  await assertRejects(() => untold.close(), Error, "ENOENT");
});

Deno.test("capture() checks its target before it opens the file", overTshark, async () => {
  await using place = await someFile();
  const inWorkers = { observe: () => {}, finished: Promise.resolve() } as unknown as Server;
  for (const target of [inWorkers, {} as Server, undefined as unknown as Server]) {
    await assertRejects(async () => await capture(target, place.file).close(), TypeError, "target");
  }
  assertEquals(place.files(), []);
});

Deno.test("capture() of a session that has ended says how", overTshark, async () => {
  await using place = await someFile();
  const [left, right] = memoryPair();
  const session = new Session(left);
  session.abort();
  right.close();
  await session.closed;
  const captured = capture(session, place.file);
  await captured.close();
  assertMatch((await commentsOf(place.file))[1]!, /^ended: local, after/);
});
