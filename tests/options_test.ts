// What holds for every function that takes options.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { serveAdmin } from "../admin/mod.ts";
import { PLACES } from "../_internal/options.ts";
import { ADMIN_OPTIONS } from "../admin/options.ts";
import { CAPTURE_OPTIONS, openCapture } from "../capture/capture.ts";
import { Cursor } from "../codecs/cursor.ts";
import { PREFIXED_OPTIONS } from "../codecs/prefix.ts";
import { connectDatagrams, serveDatagrams } from "../datagram/mod.ts";
import {
  MESSAGE_RATE,
  MULTICAST,
  SERVE_OPTIONS as SERVE_DATAGRAMS_OPTIONS,
} from "../datagram/settings.ts";
import { CONNECT_OPTIONS as CONNECT_DATAGRAMS_OPTIONS } from "../datagram/connect_options.ts";
import { delimited } from "../codecs/delimited.ts";
import { jsonLines } from "../codecs/json_lines.ts";
import { lengthPrefixed } from "../codecs/length_prefixed.ts";
import { lines, LINES_OPTIONS } from "../codecs/lines.ts";
import { netstring } from "../codecs/netstring.ts";
import { headerPrefixed } from "../codecs/header_prefixed.ts";
import { octetCounted } from "../codecs/octet_counted.ts";
import { respClient, respServer } from "../codecs/resp/resp.ts";
import { FrameTooLargeError } from "../errors.ts";
import { keep, relayHandover } from "../handover/mod.ts";
import { connect, CONNECT_OPTIONS } from "../connect/connect.ts";
import { type SessionPool, sessionPool } from "../connect/pool.ts";
import { reconnect } from "../connect/reconnect.ts";
import { Hub, natsBus, redisBus } from "../hub/mod.ts";
import { HISTORY_OPTIONS } from "../hub/history_options.ts";
import { NATS_BUS_OPTIONS } from "../hub/nats_bus.ts";
import { NATS_HISTORY_OPTIONS } from "../hub/nats_history.ts";
import { REDIS_BUS_OPTIONS } from "../hub/redis_bus.ts";
import { HUB_OPTIONS, JOIN_OPTIONS, PUBLISH_OPTIONS } from "../hub/options.ts";
import { PROXY_HEADER_INIT } from "../proxy_protocol/header.ts";
import { decodeProxyHeader, encodeProxyHeader } from "../proxy_protocol/mod.ts";
import { requests } from "../requests/requests.ts";
import { REQUEST_OPTIONS, STREAM_OPTIONS } from "../requests/options.ts";
import { serve } from "../serve/serve.ts";
import { SERVE_OPTIONS, SERVER_TLS_OPTIONS } from "../serve/known_options.ts";
import { MessageQueue, prepare, Session } from "../session.ts";
import { HEARTBEAT_OPTIONS } from "../session/heartbeat.ts";
import {
  BYTES_OPTIONS,
  READ_EXACTLY_OPTIONS,
  READ_OPTIONS,
  SESSION_OPTIONS,
  TEXT_OPTIONS,
} from "../session/options.ts";
import { BYTE_RATE } from "../session/throttle.ts";
import {
  converse,
  datagramNetwork,
  hostileNetwork,
  HubNetwork,
  sessionPair,
} from "../testing/mod.ts";
import type { Connection, Listener } from "../transport/connection.ts";
import { memoryListener, memoryPair } from "../transport/memory.ts";
import { LISTEN_FD_OPTIONS, listenFd } from "../transport/systemd/listen_fd.ts";
import { NOTIFIER_OPTIONS, serviceNotifier } from "../transport/systemd/notifier.ts";
import { TLS_CLIENT_OPTIONS } from "../transport/tls/options.ts";
import { TRACE_MESSAGES_OPTIONS } from "../metrics/message_links.ts";
import { traceMessages, traceSessions } from "../metrics/mod.ts";
import { TRACE_SESSIONS_OPTIONS } from "../metrics/session_spans.ts";
import { serveWorkers } from "../workers/mod.ts";
import { WORKERS_OPTIONS } from "../workers/options.ts";

/** Calls with options of any shape, as JavaScript does; there is a session for it. */
// deno-lint-ignore no-explicit-any
type Call = (options: any, session: Session) => unknown;

/** A function that takes options. */
interface Taker {
  call: Call;
  /** Names of its options: all of them, or where the table is private some. */
  names: readonly string[];
  /** Where messages say that they are. */
  where?: string;
}

const handler = (): void => {};
const abortedPool = (): SessionPool => sessionPool({ port: 1, signal: AbortSignal.abort() });
const listener = {
  addr: { transport: "memory", name: "none" } as const,
  accept: (): Promise<Connection> => Promise.reject(new Deno.errors.BadResource()),
  close: (): void => {},
};
const ipcChannel = { on: (): void => {}, off: (): void => {} };
const natsConnection = {
  publish: (): void => {},
  subscribe: () => ({ unsubscribe: (): void => {} }),
  flush: (): Promise<void> => Promise.resolve(),
  status: async function* (): AsyncGenerator<{ type: string }> {},
  isClosed: (): boolean => false,
};
const redisClient = {
  ...ipcChannel,
  status: "ready",
  publish: () => Promise.resolve(0),
  subscribe: () => Promise.resolve(),
  unsubscribe: () => Promise.resolve(),
  callBuffer: () => Promise.resolve(),
};
const header = { version: 2, command: "LOCAL" } as const;
const network = [
  "seed",
  "chop",
  "delay",
  "stallAfter",
  "truncateAfter",
  "resetAfter",
  "blockAfter",
];
const lengths = [
  "width",
  "maxWidth",
  "littleEndian",
  "includesHeader",
  "offset",
  "adjustment",
  "keepHeader",
];

const TAKERS: Record<string, Taker> = {
  "new Session()": {
    call: (o) => new Session(memoryPair()[0], o).abort(),
    names: Object.keys(SESSION_OPTIONS),
  },
  "new Session() with heartbeat": {
    call: (heartbeat) => new Session(memoryPair()[0], { heartbeat }).abort(),
    names: Object.keys(HEARTBEAT_OPTIONS),
    where: "heartbeat",
  },
  "Session.text()": { call: (o, session) => session.text(o), names: Object.keys(TEXT_OPTIONS) },
  "Session.bytes()": { call: (o, session) => session.bytes(o), names: Object.keys(BYTES_OPTIONS) },
  "Session.lines()": {
    call: (o, session) => session.lines(o),
    names: Object.keys({ ...LINES_OPTIONS, ...READ_OPTIONS }),
  },
  "Session.readLine()": {
    call: (o, session) => session.readLine(o),
    names: Object.keys({ ...LINES_OPTIONS, ...READ_OPTIONS }),
  },
  "Session.frames()": {
    call: (o, session) => session.frames(lines(), o),
    names: ["signal", "timeout"],
  },
  "Frames.read()": { call: (o, session) => session.lines().read(o), names: ["signal", "timeout"] },
  "Session.readExactly()": {
    call: (o, session) => session.readExactly(1, o),
    names: Object.keys(READ_EXACTLY_OPTIONS),
  },
  "Session.upgradeTls()": {
    call: (o, session) => session.upgradeTls(o),
    names: [...Object.keys(TLS_CLIENT_OPTIONS), "signal", "handshakeTimeout"],
  },
  "serve()": {
    call: (o) => serve(Object.assign(o, { listener }), handler).abort(),
    names: Object.keys(SERVE_OPTIONS),
  },
  "listenFd()": { call: (o) => listenFd(o), names: Object.keys(LISTEN_FD_OPTIONS) },
  "serviceNotifier()": { call: (o) => serviceNotifier(o), names: Object.keys(NOTIFIER_OPTIONS) },
  "Server.shutdown()": {
    call: (o) => {
      const server = serve({ listener }, handler);
      try {
        server.shutdown(o);
      } finally {
        server.abort();
      }
    },
    names: ["drainDelay"],
  },
  "relayHandover()": {
    call: (o) => relayHandover(ipcChannel, ipcChannel, o),
    names: ["onError"],
  },
  "serve() with tls": {
    call: (tls) => serve({ listener, tls }, handler),
    names: Object.keys(SERVER_TLS_OPTIONS),
    where: "tls",
  },
  "serve() with sessionRate": {
    call: (sessionRate) => serve({ listener, sessionRate }, handler).abort(),
    names: ["perSecond", "burst", "exceeded"],
    where: "sessionRate",
  },
  "new Session() with readRate": {
    call: (readRate) => new Session(memoryPair()[0], { readRate }).abort(),
    names: Object.keys(BYTE_RATE),
    where: "readRate",
  },
  "new Session() with writeRate": {
    call: (writeRate) => new Session(memoryPair()[0], { writeRate }).abort(),
    names: Object.keys(BYTE_RATE),
    where: "writeRate",
  },
  "serveWorkers()": {
    call: (o) => serveWorkers("file:///none.ts", o),
    names: Object.keys(WORKERS_OPTIONS),
  },
  "traceSessions()": {
    call: (o) => traceSessions({ startSpan: () => undefined as never }, o),
    names: Object.keys(TRACE_SESSIONS_OPTIONS),
  },
  "traceMessages()": {
    call: (o) => traceMessages({ getActiveSpan: () => undefined }, { spanOf: () => undefined }, o),
    names: Object.keys(TRACE_MESSAGES_OPTIONS),
  },
  "connect()": { call: (o) => connect(o), names: Object.keys(CONNECT_OPTIONS) },
  "connect() with tls": {
    call: (tls) => connect({ port: 1, tls }),
    names: Object.keys(TLS_CLIENT_OPTIONS),
    where: "tls",
  },
  "connect() with proxyHeader": {
    call: (proxyHeader) => connect({ port: 1, proxyHeader }),
    names: Object.keys(PROXY_HEADER_INIT),
    where: "proxyHeader",
  },
  "reconnect()": {
    call: (o) => reconnect(Object.assign(o, { port: 1 })),
    names: [
      ...Object.keys(CONNECT_OPTIONS),
      ...["addresses", "minDelay", "maxDelay", "resetAfter", "maxAttempts", "shouldRetry"],
      ...["random", "observer", "onError", "logger", "setUp", "setUpTimeout"],
    ],
  },
  "reconnect() with addresses": {
    call: (address) => reconnect({ addresses: [{ port: 1 }, address] }),
    names: Object.keys(CONNECT_OPTIONS).filter((name) => name !== "signal"),
    where: "addresses[1]",
  },
  "sessionPool()": {
    call: (o) => sessionPool(Object.assign(o, { port: 1 })),
    names: [
      ...Object.keys(CONNECT_OPTIONS),
      ...["addresses", "maxSessions", "maxIdleTime", "maxWaiting", "waitTimeout", "setUp"],
      ...["setUpTimeout", "check", "checkAfter", "isReusable"],
    ],
  },
  "sessionPool() with addresses": {
    call: (address) => sessionPool({ addresses: [{ port: 1 }, address] }),
    names: Object.keys(CONNECT_OPTIONS).filter((name) => name !== "signal"),
    where: "addresses[1]",
  },
  "SessionPool.get()": {
    call: (o) => abortedPool().get(o),
    names: ["signal", "timeout"],
  },
  "SessionPool.use()": {
    call: (o) => abortedPool().use(handler, o),
    names: ["signal", "timeout"],
  },
  "requests()": {
    call: (o, session) => requests(session.lines(), o).abort(),
    names: ["requestId", "replyId", "isReply", "isLast", "onUnmatched", "timeout", "maxInFlight"],
  },
  "Requests.stream()": {
    call: (o, session) => requests(session.lines()).stream("rose", o).next(),
    names: Object.keys(STREAM_OPTIONS),
  },
  "Requests.connected()": {
    call: (o, session) => requests(session.lines()).connected(o),
    names: ["signal"],
  },
  "new MessageQueue()": {
    call: (o) => new MessageQueue(o),
    names: ["maxSize", "sizeOf", "overflow", "keyOf", "signal"],
  },
  "new Hub()": { call: (o) => void new Hub(o), names: Object.keys(HUB_OPTIONS) },
  "Hub.join()": {
    call: (o, session) => void new Hub().join("news", session, o),
    names: Object.keys(JOIN_OPTIONS),
  },
  "natsBus()": {
    call: (o) => natsBus(natsConnection, o),
    names: Object.keys(NATS_BUS_OPTIONS),
  },
  "redisBus()": {
    call: (o) => redisBus({ publisher: redisClient, subscriber: { ...redisClient } }, o),
    names: Object.keys(REDIS_BUS_OPTIONS),
  },
  "natsBus() with history": {
    call: (history) => natsBus(natsConnection, { history }),
    names: Object.keys(NATS_HISTORY_OPTIONS),
    where: "history",
  },
  "redisBus() with history": {
    call: (history) =>
      redisBus({ publisher: redisClient, subscriber: { ...redisClient } }, { history }),
    names: Object.keys(HISTORY_OPTIONS),
    where: "history",
  },
  "new HubNetwork()": {
    call: (o) => new HubNetwork(o),
    names: ["seed", "delay", "lose", "duplicate", "reorder", "outage", "history"],
  },
  "Hub.publish()": {
    call: (o) => void new Hub().publish("news", "rain", o),
    names: Object.keys(PUBLISH_OPTIONS),
  },
  "new Cursor()": {
    call: (o) => new Cursor(new Uint8Array(1), o),
    names: ["length", "fatal"],
  },
  "Cursor.prefixed()": {
    call: (o) => new Cursor(new Uint8Array(1)).prefixed(1, o),
    names: Object.keys(PREFIXED_OPTIONS),
  },
  "FrameWriter.prefixed()": {
    call: (o) => {
      prepare(1, { encode: (_, out) => out.prefixed(1, () => {}, o) });
    },
    names: Object.keys(PREFIXED_OPTIONS),
  },
  "Requests.request()": {
    call: (o, session) => requests(session.lines()).request("rose", o),
    names: Object.keys(REQUEST_OPTIONS),
  },
  "lines()": { call: (o) => lines(o), names: Object.keys(LINES_OPTIONS) },
  "jsonLines()": { call: (o) => jsonLines(o), names: ["maxLength", "parse", "onTooLong"] },
  "delimited()": { call: (o) => delimited("|", o), names: ["maxLength", "onTooLong"] },
  "respServer()": {
    call: (o) => respServer(o),
    names: ["encoding", "maxBulkLength", "maxArguments", "maxCommandLength"],
  },
  "respClient()": {
    call: (o) => respClient(o),
    names: ["encoding", "maxBulkLength", "maxItems", "maxDepth", "maxReplyLength"],
  },
  "octetCounted()": { call: (o) => octetCounted(o), names: ["maxLength", "onTooLong"] },
  "headerPrefixed()": {
    call: (o) => headerPrefixed(o),
    names: [
      "startLine",
      "lengthHeader",
      "ending",
      "separator",
      "terminator",
      "maxLength",
      "maxHeaderLength",
      "onTooLong",
    ],
  },
  "netstring()": { call: (o) => netstring(o), names: ["maxLength", "onTooLong"] },
  "lengthPrefixed()": { call: (o) => lengthPrefixed(o), names: [...lengths, "maxLength"] },
  "memoryPair()": { call: (o) => memoryPair(o), names: ["capacity"] },
  "MemoryListener.connect()": { call: (o) => memoryListener().connect(o), names: ["capacity"] },
  "decodeProxyHeader()": {
    call: (o) => decodeProxyHeader(new Uint8Array(0), o),
    names: ["maxLength"],
  },
  "encodeProxyHeader()": {
    call: (o) => encodeProxyHeader(Object.assign(o, header)),
    names: Object.keys(PROXY_HEADER_INIT),
  },
  "encodeProxyHeader() with tls": {
    call: (tls) => encodeProxyHeader({ ...header, tls }),
    names: ["secure", "verified", "commonName", "certificate", "signatureAlgorithm"],
    where: "tls",
  },
  "serveDatagrams()": {
    call: (o) => serveDatagrams(o, handler),
    names: Object.keys(SERVE_DATAGRAMS_OPTIONS),
  },
  "serveDatagrams() with messageRate": {
    call: (messageRate) => serveDatagrams({ port: 0, messageRate }, handler),
    names: Object.keys(MESSAGE_RATE),
    where: "messageRate",
  },
  "serveDatagrams() with multicast": {
    call: (multicast) =>
      serveDatagrams({ socket: datagramNetwork().socket(), multicast }, handler).abort(),
    names: Object.keys(MULTICAST),
    where: "multicast",
  },
  "connectDatagrams()": {
    call: (o) => connectDatagrams(o),
    names: Object.keys(CONNECT_DATAGRAMS_OPTIONS),
  },
  "DatagramClient.receive()": {
    call: async (o) => {
      const socket = datagramNetwork().socket();
      const client = await connectDatagrams({ socket, remoteAddr: socket.addr });
      await client.close();
      await client.receive(o);
    },
    names: ["signal", "timeout"],
  },
  "datagramNetwork()": {
    call: (o) => datagramNetwork(o),
    names: ["seed", "lose", "duplicate", "reorder", "delay"],
  },
  "serveAdmin()": {
    call: (o) => serveAdmin(o, { server: abortedPool() as never }),
    names: Object.keys(ADMIN_OPTIONS),
  },
  "openCapture()": { call: (o) => openCapture("/", o), names: Object.keys(CAPTURE_OPTIONS) },
  "hostileNetwork()": { call: (o) => hostileNetwork(memoryPair()[0], o), names: network },
  "sessionPair()": {
    call: (o) => sessionPair(o).forEach((session) => session.abort()),
    names: ["capacity", "left", "right", "network"],
  },
  "sessionPair() with network": {
    call: (network) => sessionPair({ network }).forEach((session) => session.abort()),
    names: network,
    where: "network",
  },
  "sessionPair() with left": {
    call: (left) => sessionPair({ left }).forEach((session) => session.abort()),
    names: Object.keys(SESSION_OPTIONS),
    where: "left",
  },
  "converse()": {
    call: (o) => converse(handler, () => Promise.resolve(), o),
    names: ["capacity", "session", "network", "timeout"],
  },
  "converse() with session": {
    call: (session) => converse(handler, () => Promise.resolve(), { session }),
    names: Object.keys(SESSION_OPTIONS),
    where: "session",
  },
};

/** What a call throws, at once or later. */
async function thrownBy(call: Call, options: unknown): Promise<Error> {
  const session = new Session(memoryPair()[0]);
  try {
    return await assertRejects(async () => await call(options, session), Error);
  } finally {
    session.abort();
  }
}

for (const [name, { call, names, where }] of Object.entries(TAKERS)) {
  const before = where === undefined ? "" : `${where}.`;

  Deno.test(`${name} refuses options that do not exist, and suggests the nearest`, async () => {
    for (const option of names) {
      const misspelled = [
        option.slice(0, -1),
        `${option}s`,
        option.replace(/(.)(.)/, "$2$1"),
        option.toUpperCase(),
      ];
      for (const wrong of misspelled.filter((one) => !names.includes(one))) {
        const error = await thrownBy(call, { [wrong]: 1 });
        assert(error instanceof TypeError, String(error));
        assertStringIncludes(error.message, `there is no option ${before}${wrong}`);
        if (option.length > 4) {
          assertStringIncludes(error.message, `: did you mean ${before}${option}?`);
        }
      }
    }
    for (const options of [{ nonsense: 1 }, Object.create({ nonsense: null })]) {
      const error = await thrownBy(call, options);
      assertEquals(error.message, `there is no option ${before}nonsense`);
    }
  });

  Deno.test(`${name} takes options that are undefined for left out`, async () => {
    const session = new Session(memoryPair()[0]);
    const options = Object.fromEntries([...names, "nonsense"].map((option) => [option, undefined]));
    try {
      const called = Promise.resolve(call(options, session));
      session.abort();
      await called;
    } catch (error) {
      assert(!/no option/.test((error as Error).message), String(error));
    }
    session.abort();
  });

  Deno.test(`${name} refuses options that are no object`, async () => {
    for (const options of [null, "options", 7]) {
      if (/^(serve|reconnect|sessionPool|encodeProxyHeader)\(\)$/.test(name)) continue; // where the test adds some
      const got = options === null ? "null" : `a ${typeof options}`;
      const error = await thrownBy(call, options);
      assertEquals(error.message, `${where ?? "options"} must be an object, got ${got}`);
    }
  });
}

Deno.test("options in the wrong place are refused with the right one", async () => {
  const given: [taker: string, options: Record<string, unknown>, says: string][] = [
    ["serve()", { cert: "" }, "cert: did you mean tls.cert?"],
    ["serve()", { perSecond: 1 }, "did you mean readRate.perSecond or writeRate.perSecond or sess"],
    ["connect()", { serverName: "" }, "serverName: did you mean tls.serverName?"],
    ["serve()", { maxLineLength: 1 }, "maxLineLength: session.lines() and lines() have maxLength"],
    ["serve()", { maxLength: 1 }, "maxLength: session.lines() and codecs have it"],
    ["lines()", { idleTimeout: 1 }, "idleTimeout: serve() and connect() have it"],
    ["lines()", { maxLineLength: 1 }, "maxLineLength: did you mean maxLength?"],
  ];
  for (const [taker, options, says] of given) {
    const { message } = await thrownBy(TAKERS[taker]!.call, options);
    assertStringIncludes(message, says);
  }
  const known = { ...SERVE_OPTIONS, ...LINES_OPTIONS, ...BYTES_OPTIONS };
  const synonyms = ["maxLineLength", "maxFrameLength"];
  assertEquals(Object.keys(PLACES).filter((name) => !(name in known)), synonyms);
});

/** Options that must be of a certain type, and what they are refused with. */
const WRONG: [taker: string, options: Record<string, unknown>, says: string][] = [
  ...[
    ["new Session()", "fatal"],
    ["Session.text()", "fatal"],
    ["Session.bytes()", "borrow"],
    ["Session.lines()", "fatal"],
    ["Session.readLine()", "fatal"],
    ["lines()", "fatal"],
    ["lines()", "strict"],
    ["new Cursor()", "fatal"],
    ["Cursor.prefixed()", "littleEndian"],
    ["FrameWriter.prefixed()", "includesHeader"],
    ["lengthPrefixed()", "littleEndian"],
    ["lengthPrefixed()", "includesHeader"],
    ["lengthPrefixed()", "keepHeader"],
    ["headerPrefixed()", "startLine"],
    ["serve()", "fatal"],
    ["serve()", "noDelay"],
    ["serve()", "keepAlive"],
    ["serve()", "reusePort"],
    ["listenFd()", "noDelay"],
    ["connect()", "fatal"],
    ["connect()", "noDelay"],
    ["connect()", "keepAlive"],
    ["connect() with tls", "unsafelyIgnoreCertificateErrors"],
    ["connect() with proxyHeader", "crc32c"],
    ["reconnect()", "noDelay"],
    ["reconnect() with addresses", "keepAlive"],
    ["sessionPool()", "noDelay"],
    ["encodeProxyHeader()", "crc32c"],
    ["encodeProxyHeader() with tls", "secure"],
    ["encodeProxyHeader() with tls", "verified"],
    ["sessionPair() with left", "fatal"],
    ["converse() with session", "fatal"],
  ].map(([taker, name]): [string, Record<string, unknown>, string] => [
    taker!,
    { [name!]: "false", ...(name === "keepAlive" && { port: 1 }) }, // which is checked before it
    `${name} must be true${
      name === "keepAlive" ? ", false or a number of milliseconds" : " or false"
    }, got a string`,
  ]),
  ...[
    "Session.text()",
    "Session.bytes()",
    "Session.lines()",
    "Session.readLine()",
    "Session.frames()",
    "Frames.read()",
    "Session.readExactly()",
    "Session.upgradeTls()",
    "serve()",
    "connect()",
    "reconnect()",
    "sessionPool()",
    "SessionPool.get()",
    "SessionPool.use()",
    "Requests.request()",
    "Requests.stream()",
    "new MessageQueue()",
  ].map((taker): [string, Record<string, unknown>, string] => [
    taker,
    { signal: { aborted: false } },
    "signal must be an AbortSignal, got an object of class Object",
  ]),
  ...[
    "Session.text()",
    "Session.bytes()",
    "Session.lines()",
    "Session.readLine()",
    "Session.frames()",
    "Frames.read()",
    "Session.readExactly()",
  ].map((taker): [string, Record<string, unknown>, string] => [
    taker,
    { timeout: "5s" },
    "timeout must be a number of milliseconds, got a string",
  ]),
  [
    "Server.shutdown()",
    { drainDelay: "5s" },
    "drainDelay must be a number of milliseconds, got a string",
  ],
  ["serve()", { goodbye: "bye" }, "goodbye must be a function, got a string"],
  ["serve()", { heartbeat: 5 }, "heartbeat must be an object, got a number"],
  ["connect()", { heartbeat: null }, "heartbeat must be an object, got null"],
  [
    "new Session() with heartbeat",
    { message: "PING" },
    "heartbeat.interval must be a number of milliseconds, got undefined",
  ],
  [
    "new Session() with heartbeat",
    { interval: 5 },
    "heartbeat.message must be a string, a Uint8Array or a PreparedMessage, got undefined",
  ],
  [
    "new Session() with heartbeat",
    { interval: 5, message: "PING", isAnswer: "PONG" },
    "heartbeat.isAnswer must be a function, got a string",
  ],
  ["serve()", { logger: {} }, "debug of logger must be a function, got undefined"],
  ["serve()", { logger: { ...console, error: "x" } }, "error of logger must be a function"],
  ["serve()", { observer: "x" }, "observer must be an object, got a string"],
  [
    "serve()",
    { observer: { onSessionEnd: 1 } },
    "observer.onSessionEnd must be a function, got a number",
  ],
  [
    "serve()",
    { observer: { onMemoryPressure: 1 } },
    "observer.onMemoryPressure must be a function, got a number",
  ],
  [
    "serve()",
    { sessionRate: { perSecond: "10" } },
    "sessionRate.perSecond must be a number, got a string",
  ],
  ["connect()", { port: 1, readRate: {} }, "readRate.perSecond must be a number, got undefined"],
  ["serve()", { maxBufferMemory: "1GB" }, "maxBufferMemory must be a number, got a string"],
  ["serve()", { onError: console }, "onError must be a function, got an object"],
  ["serve()", { tls: "x" }, "tls must be an object, got a string"],
  ["connect()", { tls: null }, "tls must be an object, got null"],
  ["connect()", { proxyHeader: "x" }, "proxyHeader must be an object, got a string"],
  ["connect() with proxyHeader", { tls: { commonname: "x" } }, "proxyHeader.tls.commonName?"],
  ["reconnect()", { observer: { onDial: true } }, "observer.onDial must be a function, got true"],
  ["reconnect()", { onError: {} }, "onError must be a function"],
  ["reconnect()", { logger: {} }, "debug of logger must be a function, got undefined"],
  ["listenFd()", { name: 5 }, "name must be text, got a number"],
  ["listenFd()", { index: "0" }, "index must be a number, got a string"],
  ["serviceNotifier()", { onError: true }, "onError must be a function, got true"],
  ["sessionPool()", { check: true }, "check must be a function, got true"],
  ["sessionPool()", { isReusable: "x" }, "isReusable must be a function, got a string"],
  ["Requests.request()", { idempotent: 1 }, "idempotent must be true or false, got a number"],
  ["requests()", { isReply: 1 }, "isReply must be a function, got a number"],
  ["jsonLines()", { parse: {} }, "parse must be a function"],
  [
    "sessionPair()",
    { left: { fatall: 1 } },
    "there is no option left.fatall: did you mean left.fa",
  ],
];

Deno.test("Options of a wrong type are refused at the call, by name", async () => {
  for (const [taker, options, says] of WRONG) {
    const error = await thrownBy(TAKERS[taker]!.call, options);
    assert(error instanceof TypeError, `${taker}: ${error}`);
    assertStringIncludes(error.message, says, taker);
  }
});

Deno.test("serve() refuses a listener and new Session() a connection that lack something", () => {
  const { addr, accept, close } = listener;
  const lacking: [Listener, string][] = [
    [{ addr, accept } as Listener, "close of listener must be a function, got undefined"],
    [{ addr, close } as Listener, "accept of listener must be a function, got undefined"],
    [{ accept, close } as Listener, "addr of listener must be an object, got undefined"],
  ];
  for (const [listener, says] of lacking) {
    assertThrows(() => serve({ listener }, handler), TypeError, says);
  }
  const [connection] = memoryPair();
  for (const method of ["read", "write", "closeWrite", "close"]) {
    const without = { [method]: undefined };
    const lame = Object.assign(Object.create(connection), without) as Connection;
    assertThrows(() => new Session(lame), TypeError, `${method} of connection must be a function`);
  }
  const says = "connection must be an object, got undefined";
  assertThrows(() => new Session(undefined as unknown as Connection), TypeError, says);
});

Deno.test("What is no connection of a broker, and no session, is refused at once", () => {
  const noFlush = { ...natsConnection, flush: undefined };
  const noOff = { ...redisClient, off: undefined };
  const calls: [call: (...args: never[]) => unknown, args: unknown[], says: string][] = [
    [natsBus, [], "connection must be an object, got undefined"],
    [natsBus, ["nats://127.0.0.1"], "connection must be an object, got a string"],
    [natsBus, [Promise.resolve(natsConnection)], "publish of connection must be a function"],
    [natsBus, [noFlush], "flush of connection must be a function, got undefined"],
    [redisBus, [], "clients must be an object, got undefined"],
    [redisBus, [redisClient], "publisher must be an object, got undefined"],
    [redisBus, [{ publisher: redisClient, subscriber: noOff }], "off of subscriber must be"],
    [redisBus, [{ publisher: redisClient, subscriber: redisClient }], "must be two connections"],
    [keep, [{}, 1], "session must be a Session, got an object"],
  ];
  for (const [call, args, says] of calls) {
    assertThrows(() => call(...args as never[]), TypeError, says);
  }
});

Deno.test("Options that are something else entirely are not guessed at", async () => {
  const hints: [taker: string, option: string, hint: string][] = [
    ["connect()", "host", ": did you mean hostname?"],
    ["connect()", "HOSTNAME", ": did you mean hostname?"],
    ["connect()", "timeout", ""],
    ["serve()", "nutrusted", ": did you mean untrusted?"],
    ["serve()", "constructor", ""],
    ["serve()", "__proto", ""],
    ["serve()", "x", ""],
    ["lines()", "length", ""],
    ["serve()", "x".repeat(1000), ""],
  ];
  for (const [taker, option, hint] of hints) {
    const error = await thrownBy(TAKERS[taker]!.call, { [option]: 1 });
    assertEquals(error.message, `there is no option ${option}${hint}`);
  }
});

Deno.test("Options may come from a prototype", () => {
  const text = new TextEncoder().encode("a\n");
  const options = Object.create({ maxLength: 1 }, { fatal: { value: true, enumerable: true } });
  assertThrows(() => prepare("ab", lines(options)), FrameTooLargeError, "limit of 1");
  assertEquals(prepare("a", lines(options)).byteLength, text.length);
});
