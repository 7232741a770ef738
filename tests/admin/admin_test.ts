import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { type AdminOptions, serveAdmin, type ServedBy } from "../../admin/mod.ts";
import type { Logger } from "../../_internal/logging.ts";
import { connect } from "../../connect/connect.ts";
import { serveDatagrams } from "../../datagram/mod.ts";
import { Metrics } from "../../metrics/mod.ts";
import { serve } from "../../serve/serve.ts";
import { formatAddress, memoryListener } from "../../transport/mod.ts";
import { Session } from "../../session.ts";
import { NUMBERS } from "../../serve/session_list.ts";
import { serveWorkers } from "../../workers/mod.ts";
import { get, getJson, post, raw, TOKEN } from "../_admin.ts";
import { ask, echo, overNet, portOf, readAll, until } from "../_serving.ts";
import { localhost, overTls } from "../_tls_serving.ts";
import { overUnixMode, somePath } from "../_unix.ts";

const controlled = { port: 0, control: true, token: TOKEN } as const;

Deno.test("/healthz and /readyz answer for load balancers", overNet, async () => {
  const server = serve({ port: 0, drainDelay: 60_000 }, echo);
  await using admin = serveAdmin({ port: 0 }, { greeter: server });
  const ready = async () => {
    const { status, text } = await get(admin, "/readyz");
    assertEquals((await get(admin, "/healthz")).text, "ok\n");
    return [status, text];
  };
  assertEquals(await ready(), [200, "ready\n"]);
  server.suspend();
  assertEquals(await ready(), [503, "greeter is suspended\n"]);
  server.resume();
  assertEquals(await ready(), [200, "ready\n"]);
  const client = await connect({ port: portOf(server) });
  assertEquals(await ask(client, "rose"), "rose!");
  const stopped = server.shutdown();
  assertEquals(await ready(), [503, "greeter is lame-duck\n"]);
  server.shutdown({ drainDelay: 0 });
  assertEquals(await ready(), [503, "greeter is draining\n"]);
  await client.close();
  await stopped;
});

Deno.test("/readyz says which of several servers is not ready", overNet, async () => {
  await using one = serve({ port: 0 }, echo);
  await using other = serve({ listener: memoryListener() }, echo);
  await using admin = serveAdmin({ port: 0 }, { one, other });
  one.suspend();
  other.suspend();
  const { status, text } = await get(admin, "/readyz");
  assertEquals([status, text], [503, "one is suspended\nother is suspended\n"]);
  assertEquals((await get(admin, "/sessions.json")).status, 404);
  assertEquals((await get(admin, "/sessions.json?server=one")).status, 200);
});

Deno.test("serveAdmin() closes when its servers are closed", overNet, async () => {
  const server = serve({ port: 0 }, echo);
  const admin = serveAdmin({ port: 0 }, { server });
  await server.shutdown();
  const isOpen = async (port: number) => {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return true;
    } catch {
      return false;
    }
  };
  while (await isOpen(portOf(admin)));
  await admin.close();
  await admin.close();
});

Deno.test("/readyz fails while a worker is missing", {
  ...overNet,
  ignore: overNet.ignore || Deno.build.os !== "linux",
}, async () => {
  const module = new URL("../workers/_service.ts", import.meta.url);
  await using server = serveWorkers(module, { port: 0, workers: 2 });
  await using admin = serveAdmin({ port: 0 }, { server });
  assertMatch((await get(admin, "/readyz")).text, /^server is starting\n$/);
  await server.listening;
  assertEquals((await get(admin, "/readyz")).status, 200);
  const { servers } = await getJson(admin, "/servers.json");
  assertEquals(servers[0].workers.map(({ state }: { state: string }) => state), [
    "serving",
    "serving",
  ]);
  await using client = await connect({ port: portOf(server) });
  await client.send("die\n");
  const deadline = performance.now() + 20_000;
  for (;;) {
    const { status, text } = await get(admin, "/readyz");
    if (status === 503) {
      assertEquals(text, "server has 1 of 2 workers\n");
      break;
    }
    assert(performance.now() < deadline, "the worker lives");
  }
});

Deno.test("/sessions.json and control reach the sessions of workers", {
  ...overNet,
  ignore: overNet.ignore || Deno.build.os !== "linux",
}, async () => {
  const module = new URL("../workers/_service.ts", import.meta.url);
  await using server = serveWorkers(module, { port: 0, workers: 2 });
  await using admin = serveAdmin(controlled, { server });
  await server.listening;
  const left = await connect({ port: portOf(server) });
  await ask(left, "thread");
  await left.close();
  // At least two sessions in each worker, with numbers of bytes that alternate between the workers.
  const clients: Session[] = [];
  const counts = new Map<string, number>();
  while (counts.size < 2 || Math.min(...counts.values()) < 2) {
    const client = await connect({ port: portOf(server) });
    clients.push(client);
    const thread = (await ask(client, "thread"))!;
    const count = counts.get(thread) ?? 0;
    counts.set(thread, count + 1);
    await ask(
      client,
      `thread ${"1".repeat(100 * count + 50 * [...counts.keys()].indexOf(thread))}`,
    );
  }
  const whole = async (query: string) => {
    for (;;) { // a worker that is too busy to answer in time is left out
      const page = await getJson(admin, `/sessions.json?sort=bytesRead&order=asc${query}`);
      if (page.total === clients.length) return page;
    }
  };
  const { sessions } = await whole("");
  const addresses = sessions.map(({ address }: { address: string }) => address);
  assertEquals(
    new Set(addresses),
    new Set(clients.map(({ localAddr }) => formatAddress(localAddr))),
  );
  const first = sessions.slice(0, 4).map(({ worker }: { worker: number }) => worker);
  assertEquals([first[0] !== first[1], first[2] !== first[3]], [true, true]);
  const bytes = sessions.map(({ bytesRead }: { bytesRead: number }) => bytesRead);
  assertEquals(bytes, bytes.toSorted((one: number, other: number) => one - other));
  const { sessions: two } = await whole("&offset=2&limit=2");
  assertEquals(two.map(({ address }: { address: string }) => address), addresses.slice(2, 4));

  const { id, worker, address } = two[0];
  for (const body of [{ id }, { id, worker: 9 }, { id: 999, worker }]) {
    assertEquals((await post(admin, "end", body)).status, 404);
  }
  assertEquals((await post(admin, "end", { id, worker })).status, 200);
  const ended = async () => (await getJson(admin, "/sessions.json?state=ended")).sessions;
  const deadline = performance.now() + 20_000;
  while ((await ended()).length < 2) assert(performance.now() < deadline, "it goes on");
  const [row, before] = await ended();
  assertEquals([row.id, row.worker, row.address, row.reason], [id, worker, address, "local"]);
  assertEquals([before.address, before.reason], [formatAddress(left.localAddr), "peer"]);
  for (const client of clients) client.abort();
});

Deno.test("/metrics has the metrics of the servers", overNet, async () => {
  await using greeter = serve({ port: 0 }, echo);
  await using admin = serveAdmin({ port: 0 }, { greeter });
  const { headers, text } = await get(admin, "/metrics");
  assertEquals(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assertStringIncludes(text, 'parley_active_sessions{parley_server_name="greeter"');
  const open = await get(admin, "/metrics", {
    headers: { accept: "application/openmetrics-text" },
  });
  assertStringIncludes(open.headers.get("content-type")!, "application/openmetrics-text");
});

Deno.test("/sessions.json is sorted, filtered and paged", overNet, async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, echo);
  await using admin = serveAdmin({ port: 0 }, { server });
  const clients: Session[] = [];
  for (let n = 0; n < 12; n++) {
    const client = new Session(listener.connect());
    assertEquals(await ask(client, "x".repeat(n)), `${"x".repeat(n)}!`);
    clients.push(client);
  }
  const ids = async (query: string) => {
    const { sessions } = await getJson(admin, `/sessions.json?${query}`);
    return sessions.map(({ id }: { id: number }) => id);
  };
  assertEquals(await ids("sort=bytes&limit=3"), [12, 11, 10]);
  assertEquals(await ids("sort=bytesRead&order=asc&limit=3&offset=2"), [3, 4, 5]);
  assertEquals(await ids("minBytes=23"), [12, 11]); // with both ends of lines and the mark
  assertEquals(await ids("search=%2311"), [11]);
  assertEquals(await ids("search=MEMORY&limit=2"), [12, 11]);
  assertEquals(await ids("search=nobody"), []);
  assertEquals(await ids("minAge=100000000"), []);
  const { total, matching } = await getJson(admin, "/sessions.json?minBytes=23&limit=0");
  assertEquals([total, matching], [12, 2]);
  for (const client of clients.slice(0, 5)) await client.close();
  clients[5]!.abort();
  await until(() => server.stats().active === 6);
  assertEquals(await ids("state=ended&sort=id&order=asc"), [1, 2, 3, 4, 5, 6]);
  const { sessions: [cut] } = await getJson(admin, "/sessions.json?state=ended&search=reset");
  assertEquals([cut.id, cut.reason], [6, "peer"]);
  assertMatch(cut.cause, /^ConnectionReset/);
  assertEquals(await ids("state=ended&reason=local"), []);
  for (const client of clients) client.abort();
  for (
    const query of ["sort=constructor", "limit=501", "limit=-1", "order=up", "state=x", "minAge=x"]
  ) assertEquals((await get(admin, `/sessions.json?${query}`)).status, 400, query);
});

Deno.test("/sessions.json sorts by each number as its rows would be sorted", overNet, async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, echo);
  await using admin = serveAdmin({ port: 0 }, { server });
  const clients = Array.from({ length: 40 }, () => new Session(listener.connect()));
  for (const client of clients) {
    const length = Math.floor(Math.random() * 20);
    await ask(client, "x".repeat(length));
    await client.send("unfinished".slice(0, length % 4));
  }
  for (const client of clients.slice(0, 15)) await client.close();
  await until(() => server.stats().active === 25);
  for (const sort of NUMBERS) {
    for (const order of ["asc", "desc"]) {
      for (const state of ["open", "ended"]) {
        const query = `/sessions.json?state=${state}&sort=${sort}&order=${order}`;
        const page = await getJson(admin, query);
        const rows = await getJson(admin, `${query}&search=%23`); // each row has it
        const ids = (found: typeof page): number[] =>
          found.sessions.map(({ id }: { id: number }) => id);
        assertEquals([page.total, page.matching], [rows.total, rows.matching]);
        if (sort === "idle") continue; // it may go on in between
        assertEquals(ids(page), ids(rows), query);
        const numbers = page.sessions.map((row: Record<string, number>) =>
          sort === "bytes" ? row.bytesRead! + row.bytesWritten! : row[sort] ?? 0
        );
        const sorted = numbers.toSorted((one: number, other: number) => one - other);
        assertEquals(numbers, order === "asc" ? sorted : sorted.reverse(), query);
        const minimum = `min${sort[0]!.toUpperCase()}${sort.slice(1)}=${Math.max(...numbers)}`;
        const { matching } = await getJson(admin, `${query}&${minimum}`);
        if (sort !== "age") assertEquals(matching >= 1 && matching <= page.matching, true, query);
      }
    }
  }
  for (const client of clients) client.abort();
});

Deno.test("/sessions.json remembers the last 10,000 that have ended", overNet, async () => {
  const listener = memoryListener();
  await using server = serve({ listener }, () => {});
  await using admin = serveAdmin({ port: 0 }, { server });
  for (let n = 0; n < 10_020; n++) {
    listener.connect().close();
    if (n % 100 === 0) await until(() => server.stats().active === 0);
  }
  await until(() => server.stats().accepted === 10_020 && server.stats().active === 0);
  const { total, sessions } = await getJson(
    admin,
    "/sessions.json?state=ended&sort=id&order=asc&limit=1",
  );
  assertEquals([total, sessions[0].id], [10_000, 21]);
});

Deno.test(
  "/servers.json has states, figures and certificates with their days",
  overTls,
  async () => {
    await using server = serve({ port: 0, tls: localhost }, echo);
    await using admin = serveAdmin({ port: 0 }, { server });
    const { servers: [about], control } = await getJson(admin, "/servers.json");
    assertEquals([about.name, about.state, about.active, control], [
      "server",
      "listening",
      0,
      false,
    ]);
    const [certificate] = about.certificates;
    assertStringIncludes(certificate.names.join(), "DNS:localhost");
    const left = (Date.parse(certificate.validTo) - Date.now()) / 86_400_000;
    assertEquals(certificate.daysLeft, Math.floor(left));
  },
);

Deno.test("readers of /events leave room for other requests and readers", overNet, async () => {
  const logger = recorder();
  await using server = serve({ listener: memoryListener() }, echo);
  await using admin = serveAdmin({ port: 0, logger }, { server });
  const readers: Session[] = [];
  for (let n = 0; n < 100; n++) { // none of them reads on
    const reader = await connect({ port: portOf(admin) });
    readers.push(reader);
    await reader.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assertEquals(await reader.readLine(), "HTTP/1.1 200 OK");
  }
  assertEquals((await get(admin, "/healthz")).status, 200);
  const [gone, rest] = [readers.slice(0, 68), readers.slice(68)];
  await Promise.all(gone.map(readAll));
  for (const reader of rest) while (!(await reader.readLine())!.startsWith("data: [{"));
  for (const reader of readers) reader.abort();
  assertEquals(logger.lines, []);
});

Deno.test("/events are not for the pages of others", overNet, async () => {
  await using server = serve({ listener: memoryListener() }, echo);
  await using admin = serveAdmin({ port: 0 }, { server });
  const host = `127.0.0.1:${portOf(admin)}`;
  const status = async (header: string): Promise<string> => {
    const client = await connect({ port: portOf(admin) });
    await client.send(`GET /events HTTP/1.1\r\nHost: ${host}\r\n${header}\r\n\r\n`);
    const line = await client.readLine();
    client.abort();
    return line!.split(" ")[1]!;
  };
  for (const site of ["cross-site", "same-site"]) {
    assertEquals(await status(`Sec-Fetch-Site: ${site}`), "403");
  }
  assertEquals(await status("Origin: http://evil.example"), "403");
  assertEquals(await status("Sec-Fetch-Site: same-origin"), "200");
  assertEquals(await status(`Origin: http://${host}`), "200");
  assertEquals(await status("Accept: text/event-stream"), "200");
});

Deno.test("/metrics refuses an Accept that is none, and logs nothing of it", overNet, async () => {
  const logger = recorder();
  await using server = serve({ listener: memoryListener() }, echo);
  await using admin = serveAdmin({ port: 0, logger }, { server });
  for (const accept of ["\x1b[2J\0", "a\rb", "\u20ac", "a\x7f"]) {
    const answer = await raw(
      admin,
      `GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: ${accept}\r\n\r\n`,
    );
    assertMatch(answer, /^HTTP\/1.1 400 /);
  }
  assertEquals(logger.lines, []);
});

Deno.test("An error of the metrics is logged as text that disturbs nothing", overNet, async () => {
  const logger = recorder();
  const metrics = {
    handler: (): never => {
      throw new Error("%s of \x1b[2J\nadmin: rose was suspended");
    },
  };
  await using server = serve({ listener: memoryListener() }, echo);
  await using admin = serveAdmin({ port: 0, logger, metrics }, { server });
  assertEquals(await raw(admin, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"), "");
  const [line = "", ...more] = logger.lines;
  assertEquals(more, []);
  const first = "admin: Error: % s of \\x1b[2J\\nadmin: rose was suspended";
  assertEquals(line.split("\n")[0], first);
});

/** A logger that keeps what it is told. */
function recorder(): Logger & { lines: string[] } {
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  return { lines, debug: log, info: log, warn: log, error: log };
}

for (
  const [what, request] of [
    ["send nothing", ""],
    ["send half a request", "GET /healthz HTTP/1.1\r\nHost: local"],
    ["are refused and do not close", "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"],
    ["are answered and do not close", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"],
  ] as const
) {
  Deno.test(`Connections that ${what} make room for a probe`, overNet, async () => {
    await using server = serve({ listener: memoryListener() }, echo);
    await using admin = serveAdmin({ port: 0 }, { server });
    const reader = await connect({ port: portOf(admin) });
    await reader.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assertMatch((await reader.readLine())!, / 200 /);
    const clients: Deno.TcpConn[] = [];
    for (let n = 0; n < 200; n++) {
      const client = await Deno.connect({ hostname: "127.0.0.1", port: portOf(admin) });
      clients.push(client);
      if (request !== "") await client.write(new TextEncoder().encode(request)).catch(() => {});
      if (n % 50 === 0 || n > 195) assertEquals((await get(admin, "/healthz")).text, "ok\n");
    }
    // One that reads the events is not ended.
    while (!(await reader.readLine())!.startsWith("data: [{"));
    reader.abort();
    for (const client of clients) client.close();
  });
}

Deno.test(
  "What is logged of a change has nothing that the client has made up",
  overNet,
  async () => {
    const listener = memoryListener();
    await using server = serve({ listener }, echo);
    await using admin = serveAdmin(controlled, { server });
    const client = new Session(listener.connect());
    await ask(client, "rose");
    const { id } = [...server.sessions][0]!;
    for (const worker of ["2\nadmin at 127.0.0.1:1: server was resumed", {}, null]) {
      assertEquals((await post(admin, "end", { id, worker })).status, 404);
    }
    assertEquals(await ask(client, "rose"), "rose!");
    assertEquals((await post(admin, "end", { id })).status, 200);
    client.abort();
  },
);

Deno.test(
  "An admin server on a Unix socket checks the hosts that it is given",
  overUnixMode,
  async () => {
    await using place = await somePath();
    await using server = serve({ listener: memoryListener() }, echo);
    const { path } = place;
    await using admin = serveAdmin({ path, control: true, hosts: ["ok.example"] }, { server });
    await admin.listening;
    const suspend = async (host: string) => {
      await using client = await connect({ path });
      await client.send(
        `POST /control/suspend HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://${host}\r\n` +
          "Content-Type: application/json\r\n\r\n",
      );
      return (await readAll(client)).split(" ")[1];
    };
    assertEquals(await suspend("evil.example"), "421");
    assertEquals(server.state, "listening");
    assertEquals(await suspend("ok.example"), "200");
  },
);

Deno.test("/events sends samples, and /history.json has those of before", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  await using admin = serveAdmin({ port: 0 }, { server });
  const client = await connect({ port: portOf(server) });
  assertEquals(await ask(client, "rose"), "rose!");
  const response = await fetch(`http://127.0.0.1:${portOf(admin)}/events`);
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.split("\n\n").length > 2) break; // which cancels it
  }
  const [first, second] = text.split("\n\n").slice(0, 2).map((event) => JSON.parse(event.slice(6)));
  assertEquals([first[0].name, first[0].state], ["server", "listening"]);
  assertEquals(second[0].sample.active, 1);
  assert(second[0].sample.bytesRead >= 5);
  const history = await getJson(admin, "/history.json");
  assertEquals(history.active.at(-1), 1);
  assertEquals(history.time.length, history.lateness.length);
  await client.close();
});

Deno.test(
  "serveAdmin() is closed to foreign hosts, and its answers are safe",
  overNet,
  async () => {
    await using server = serve({ port: 0 }, echo);
    await using admin = serveAdmin({ port: 0, hosts: ["Admin.example"] }, { server });
    const asked = async (host: string) =>
      (await raw(admin, `GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).split(" ")[1];
    for (
      const host of [
        "127.0.0.1:9",
        "localhost",
        "LOCALHOST:1",
        "[::1]:9",
        "10.0.0.7",
        "admin.example:80",
      ]
    ) assertEquals(await asked(host), "200", host);
    for (
      const host of [
        "evil.example",
        "",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "[evil]",
        "127.0.0.1@evil",
        "a, localhost",
      ]
    ) assertEquals(await asked(host), "421", host);
    assertEquals((await raw(admin, "GET /healthz HTTP/1.1\r\n\r\n")).split(" ")[1], "421");
    const { headers } = await get(admin, "/healthz");
    assertStringIncludes(
      headers.get("content-security-policy")!,
      "default-src 'none'; script-src 'self'",
    );
    assertEquals(headers.get("x-content-type-options"), "nosniff");
    assertEquals(headers.get("access-control-allow-origin"), null);
  },
);

Deno.test(
  "serveAdmin() refuses what is not a small, complete request",
  { ...overNet, timeout: 30_000 },
  async () => {
    await using server = serve({ port: 0 }, echo);
    await using admin = serveAdmin(controlled, { server });
    const host = "Host: localhost\r\n";
    const cases: [request: string, status: string | undefined][] = [
      ["hello\r\n\r\n", "400"],
      ["GET /healthz HTTP/2.0\r\n\r\n", "400"],
      ["GET healthz HTTP/1.1\r\n\r\n", "400"],
      ["GET / x HTTP/1.1\r\n\r\n", "400"],
      [`GET /healthz HTTP/1.1\r\n${host}: x\r\n\r\n`, "400"],
      [`GET /healthz HTTP/1.1\r\n${host}a b: x\r\n\r\n`, "400"],
      [`GET /healthz HTTP/1.1\r\n${host}${"A: b\r\n".repeat(64)}\r\n`, "431"],
      [`POST /control/drain HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, "411"],
      [`POST /control/drain HTTP/1.1\r\n${host}Content-Length: 1e3\r\n\r\n`, "400"],
      [`POST /control/drain HTTP/1.1\r\n${host}Content-Length: 2, 2\r\n\r\n{}`, "400"],
      [`POST /control/drain HTTP/1.1\r\n${host}Content-Length: 5000\r\n\r\n`, "413"],
      [`POST /healthz HTTP/1.1\r\n${host}\r\n`, "405"],
      [`GET /__proto__ HTTP/1.1\r\n${host}\r\n`, "404"],
      [`GET /constructor HTTP/1.1\r\n${host}\r\n`, "404"],
      [`GET /../admin.ts HTTP/1.1\r\n${host}\r\n`, "404"],
      [`HEAD /healthz HTTP/1.1\r\n${host}\r\n`, "200"],
      [`GET /healthz HTTP/1.1\r\nX: ${"x".repeat(9000)}\r\n\r\n`, undefined],
    ];
    for (const [request, status] of cases) {
      const answer = await raw(admin, request);
      assertEquals(answer.split(" ")[1], status, request.slice(0, 80));
      if (request.startsWith("HEAD")) assert(answer.endsWith("\r\n\r\n"), answer);
    }
    assertEquals(server.state, "listening");
    assertEquals((await get(admin, "/healthz")).text, "ok\n");
  },
);

Deno.test(
  "Nothing can be changed without the token, by GET, or from another site",
  overNet,
  async () => {
    await using server = serve({ port: 0 }, echo);
    await using admin = serveAdmin(controlled, { server });
    await using shut = serveAdmin({ port: 0 }, { server });
    const suspend = (headers: Record<string, string> = {}) => post(admin, "suspend", {}, headers);
    const refused: [Promise<{ status: number }>, number][] = [
      [get(admin, "/control/suspend", { headers: { authorization: `Bearer ${TOKEN}` } }), 405],
      [suspend({ authorization: "" }), 401],
      [suspend({ authorization: TOKEN }), 401],
      [suspend({ authorization: `Bearer ${TOKEN}x` }), 401],
      [suspend({ authorization: `Basic ${btoa(`a:${TOKEN}`)}` }), 401],
      [suspend({ origin: "http://evil.example" }), 403],
      [suspend({ origin: "null" }), 403],
      [suspend({ "sec-fetch-site": "cross-site" }), 403],
      [suspend({ "sec-fetch-site": "same-site" }), 403],
      [suspend({ "content-type": "text/plain" }), 415],
      [suspend({ "content-type": "application/x-www-form-urlencoded" }), 415],
      [post(shut, "suspend"), 403],
      [post(admin, "nothing"), 404],
      [post(admin, "suspend", { server: "other" }), 404],
      [post(admin, "suspend", []), 200],
    ];
    for (const [answer, status] of refused.slice(0, -1)) {
      assertEquals(
        (await answer).status,
        status,
      );
    }
    assertEquals((await refused.at(-1)![0]).status, 200);
    assertEquals(server.state, "suspended");
  },
);

Deno.test(
  "Control suspends, resumes, ends sessions, sets the log level and drains",
  overNet,
  async () => {
    const logged: string[] = [];
    const log = (text: string) => void logged.push(text);
    const logger = { debug: log, info: log, warn: log, error: log };
    const logLevel = { levels: ["info", "debug"], level: "info" };
    const server = serve({ port: 0 }, echo);
    await using admin = serveAdmin({ ...controlled, logger, logLevel }, { server });
    const done = async (action: string, body = {}) => {
      const { status, text } = await post(admin, action, body);
      return [status, JSON.parse(text).done ?? JSON.parse(text).error];
    };
    assertEquals(await done("suspend"), [200, "server was suspended"]);
    assertEquals(server.state, "suspended");
    assertEquals(await done("resume", { server: "server" }), [200, "server was resumed"]);
    assertEquals(server.state, "listening");
    const client = await connect({ port: portOf(server) });
    assertEquals(await ask(client, "rose"), "rose!");
    for (const id of [2, "1", null, {}]) {
      assertEquals(await done("end", { id }), [404, "there is no such open session"]);
    }
    assertEquals(await done("end", { id: 1 }), [200, "session 1 of server was ended"]);
    await readAll(client).catch(() => {});
    await client.close();
    const { sessions: [ended] } = await getJson(admin, "/sessions.json?state=ended");
    assertEquals([ended.reason, ended.cause], ["local", "Error: ended by an administrator"]);
    assertEquals(await done("log-level", { level: "all" }), [
      ...[400, "level must be one of info, debug"],
    ]);
    assertEquals(await done("log-level", { level: "debug" }), [200, "the log level is debug"]);
    assertEquals(logLevel.level, "debug");
    assertEquals(await done("drain"), [200, "server drains"]);
    await server.finished;
    assertEquals(logged.length, 5);
    assertMatch(logged[0]!, /^admin at 127\.0\.0\.1:\d+: server was suspended$/);
    assert(!logged.some((line) => line.includes(TOKEN)));
  },
);

Deno.test(
  "serveAdmin() on a Unix socket needs no token, and has the mode that is asked for",
  overUnixMode,
  async () => {
    await using place = await somePath();
    await using server = serve({ listener: memoryListener() }, echo);
    await using admin = serveAdmin({ path: place.path, mode: 0o600, control: true }, { server });
    await admin.listening;
    assertEquals((await Deno.stat(place.path)).mode! & 0o777, 0o600);
    await using client = await connect({ path: place.path });
    await client.send("POST /control/suspend HTTP/1.1\r\nContent-Type: application/json\r\n\r\n");
    assertStringIncludes(await readAll(client), '{"done":"server was suspended"}');
    assertEquals(server.state, "suspended");
  },
);

Deno.test("serveAdmin() refuses options that let everybody in", overNet, async () => {
  await using server = serve({ listener: memoryListener() }, echo);
  const cases: [options: AdminOptions, message: string][] = [
    [
      { port: 0, control: true },
      "control on TCP needs a token: anybody on this machine can connect",
    ],
    [{ port: 0, token: TOKEN }, "token is of no use without control"],
    [
      { port: 0, control: true, token: "short" },
      "the length of token must be an integer from 16 to 200, got 5",
    ],
    [
      { port: 0, control: true, token: "with a space in it" },
      "token must be visible ASCII characters",
    ],
    [{ port: 0, hosts: ["a:80"] }, 'hosts must be host names without a port, got "a:80"'],
    [
      { port: 0, logLevel: { levels: ["a"], level: "b" } },
      'level of logLevel must be "a", got "b"',
    ],
  ];
  for (const [options, message] of cases) {
    assertThrows(() => serveAdmin(options, { server }), Error, message);
  }
  assertThrows(
    () => serveAdmin({ port: 0 }, {}),
    TypeError,
    "servers must have a server by its name",
  );
});

Deno.test("serveAdmin() refuses what is no server of sessions, at once", overNet, async () => {
  await using server = serve({ listener: memoryListener() }, echo);
  await using datagrams = serveDatagrams({ port: 0 }, () => {});
  /** A server that lacks something, or has something else. */
  const like = (changes: object): unknown => {
    const methods = ["stats", "observe", "suspend", "resume", "shutdown", "reloadTls"] as const;
    const { addr, state, sessions, certificates, finished } = server;
    return {
      ...Object.fromEntries(methods.map((name) => [name, server[name].bind(server)])),
      ...{ addr, state, sessions, certificates, finished },
      ...changes,
    };
  };
  const metrics = new Metrics();
  await using _right = serveAdmin({ port: 0, metrics }, { x: like({}) as ServedBy });
  const none = "x must be what serve() or serveWorkers() returns";
  const cases: [wrong: unknown, message: string][] = [
    [datagrams, `${none}, and that of serveDatagrams() goes to addDatagramServer(): `],
    [undefined, none],
    ["rose", none],
    [{}, none],
    [like({ addr: undefined }), none],
    [like({ state: "rose" }), 'state must be "starting" or'],
    [like({ stats: undefined }), none],
    [like({ stats: () => ({ ...server.stats(), ends: undefined }) }), none],
    [like({ stats: () => ({ ...server.stats(), blocked: "1" }) }), "blocked_sessions would be a s"],
    [like({ suspend: undefined }), "suspend of x must be a function"],
    [like({ observe: 1 }), "observe of x must be a function"],
    [like({ sessions: {} }), none],
    [like({ certificates: undefined }), none],
    [like({ finished: undefined }), none],
  ];
  for (const [wrong, message] of cases) {
    for (const options of [{ port: 0 }, { port: 0, metrics }]) {
      assertThrows(() => serveAdmin(options, { x: wrong as ServedBy }), TypeError, message);
    }
  }
  const { sessions: _, ...withoutSessions } = like({}) as Record<string, unknown>;
  const workers = withoutSessions as unknown as ServedBy;
  assertThrows(() => serveAdmin({ port: 0 }, { x: workers }), TypeError, none);
});

Deno.test("serveAdmin() leaves nothing behind where it cannot listen", overNet, async () => {
  await using server = serve({ port: 0 }, echo);
  let observers = 0;
  const { observe } = server;
  Object.assign(server, {
    observe(...args: Parameters<typeof observe>): () => void {
      observers++;
      return observe.apply(server, args);
    },
  });
  assertThrows(() => serveAdmin({ port: portOf(server) }, { server }), Deno.errors.AddrInUse);
  assertEquals(observers, 0);
  await using _admin = serveAdmin({ port: 0 }, { server });
  assertEquals(observers, 1);
});
