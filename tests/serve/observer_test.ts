import { assertEquals, assertMatch } from "@std/assert";
import { type SessionEnd, SessionEndedError } from "../../errors.ts";
import {
  type LogFields,
  logObserver,
  type Refusal,
  type RefusalReason,
  type ServerObserver,
} from "../../serve/observer.ts";
import { Session } from "../../session.ts";
import { memoryPair } from "../../transport/mod.ts";
import { clock } from "../_serving.ts";

type Entry = [level: string, message: string, fields: LogFields];

/** What `logObserver` logs for one event. */
function logged(act: (observer: Required<ServerObserver>) => void): Entry {
  const entries: Entry[] = [];
  const log = (level: string) => (message: string, fields: LogFields): void =>
    void entries.push([level, message, fields]);
  const logger = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  act(logObserver(logger) as Required<ServerObserver>);
  assertEquals(entries.length, 1);
  return entries[0]!;
}

/** A session that has read 3 bytes and written 5. */
async function someSession(): Promise<Session> {
  const [near, far] = memoryPair();
  const session = new Session(near);
  await far.write(new Uint8Array(3));
  await session.readExactly(3);
  await session.send("hello");
  await session.flush();
  far.close(); // over unread input, so that both are reset and the session is gone
  await session.readLine().catch(() => {});
  await session.closed;
  return session;
}

const addr = { transport: "tcp", hostname: "::1", port: 1234 } as const;

Deno.test("logObserver() logs states as info", { permissions: "none" }, () => {
  assertEquals(logged((observer) => observer.onStateChange("listening", addr)), [
    "info",
    "listening on [::1]:1234",
    { state: "listening", address: "[::1]:1234" },
  ]);
  for (const state of ["suspended", "draining", "closed"] as const) {
    assertEquals(logged((observer) => observer.onStateChange(state, addr)), [
      "info",
      `${state} ([::1]:1234)`,
      { state, address: "[::1]:1234" },
    ]);
  }
});

Deno.test(
  "logObserver() logs the start of a session as info",
  { permissions: "none" },
  async () => {
    const session = await someSession();
    assertEquals(logged((observer) => observer.onSessionStart(session)), [
      "info",
      "session 1 from memory b started",
      { id: 1, address: "memory b" },
    ]);
  },
);

Deno.test("logObserver() logs the end of a session as info", { permissions: "none" }, async () => {
  const session = await someSession();
  const end: SessionEnd = { reason: "idle", duration: 1234.5678 };
  assertEquals(logged((observer) => observer.onSessionEnd(session, end)), [
    "info",
    "session 1 from memory b ended: idle, after 1235 ms, 3 bytes in, 5 bytes out",
    {
      id: 1,
      address: "memory b",
      reason: "idle",
      duration: 1234.5678,
      bytesRead: 3,
      bytesWritten: 5,
    },
  ]);
});

Deno.test("logObserver() logs the cause of a session's end", { permissions: "none" }, async () => {
  const session = await someSession();
  const cause = new Deno.errors.ConnectionReset("gone {away} at 100%d");
  const end: SessionEnd = { reason: "peer", cause, duration: 1 };
  const [level, message, fields] = logged((observer) => observer.onSessionEnd(session, end));
  assertEquals([level, message], [
    "info",
    "session 1 from memory b ended: peer (ConnectionReset: gone (away) at 100% d), after 1 ms, " +
    "3 bytes in, 5 bytes out",
  ]);
  assertEquals(fields["cause"], { name: "ConnectionReset", message: "gone {away} at 100%d" });
});

Deno.test("logObserver() logs refusals as warnings", { permissions: "none" }, () => {
  const refusal = { remoteAddr: addr, reason: "maxSessions" } as const;
  assertEquals(logged((observer) => observer.onRefusal(refusal)), [
    "warn",
    "connection from [::1]:1234 refused: maxSessions reached",
    { address: "[::1]:1234", reason: "maxSessions" },
  ]);
});

Deno.test("logObserver() says why a connection was refused", { permissions: "none" }, () => {
  const cause = new Error("bad {certificate} at 100%d");
  const cases: [refusal: Omit<Refusal, "remoteAddr">, why: string][] = [
    [{ reason: "maxSessionsPerAddress" }, "maxSessionsPerAddress reached"],
    [{ reason: "denied" }, "its address is denied"],
    [{ reason: "untrusted" }, "it is not a trusted proxy"],
    [{ reason: "proxy-header" }, "no valid PROXY header"],
    [
      { reason: "handshake", cause },
      "the TLS handshake failed (Error: bad (certificate) at 100% d)",
    ],
  ];
  for (const [refusal, why] of cases) {
    const facts = refusal.cause !== undefined && {
      cause: { name: "Error", message: "bad {certificate} at 100%d" },
    };
    assertEquals(logged((observer) => observer.onRefusal({ remoteAddr: addr, ...refusal })), [
      "warn",
      `connection from [::1]:1234 refused: ${why}`,
      { address: "[::1]:1234", reason: refusal.reason, ...facts },
    ]);
  }
});

Deno.test("logObserver() logs peers that leave at once for who looks for faults", {
  permissions: "none",
}, () => {
  const refusal = { reason: "left", cause: new Error("nothing received") } as const;
  const cause = { name: "Error", message: "nothing received" };
  assertEquals(logged((observer) => observer.onRefusal({ remoteAddr: addr, ...refusal })), [
    "debug",
    "connection from [::1]:1234 refused: it left before it sent anything",
    { address: "[::1]:1234", reason: "left", cause },
  ]);
});

Deno.test("logObserver() lets no address be a template", { permissions: "none" }, () => {
  const path = "/tmp/{id} 100%d.sock";
  const [, message, fields] = logged((observer) =>
    observer.onRefusal({ remoteAddr: { transport: "unix", path }, reason: "maxSessions" })
  );
  assertEquals(message, "connection from /tmp/(id) 100% d.sock refused: maxSessions reached");
  assertEquals(fields["address"], path);
});

/** A log of refusals, and what makes it longer. */
function refusalLog(): { refuse(count: number): string[]; close(): Entry[] } {
  const entries: Entry[] = [];
  const log = (level: string) => (message: string, fields: LogFields): void =>
    void entries.push([level, message, fields]);
  const observer = logObserver({
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
  });
  return {
    refuse(count): string[] {
      for (let i = 0; i < count; i++) observer.onRefusal!({ remoteAddr: addr, reason: "denied" });
      return entries.splice(0).map(([, message, { omitted }]) => {
        const rest = message.replace("connection from [::1]:1234 refused: its address is ", "");
        return omitted === undefined ? rest : `${rest} ${omitted}`;
      });
    },
    close(): Entry[] {
      observer.onStateChange!("closed", addr);
      return entries.splice(0);
    },
  };
}

const TEN = new Array<string>(10).fill("denied");

Deno.test("logObserver() logs 10 refusals within 10 s at most", { permissions: "none" }, () => {
  using time = clock();
  const log = refusalLog();
  assertEquals(log.refuse(4), TEN.slice(0, 4));
  time.now += 9_999;
  assertEquals(log.refuse(100), TEN.slice(0, 6));
  time.now += 1;
  assertEquals(log.refuse(2), ["denied; 94 more were refused and not logged 94", "denied"]);
  assertEquals(log.refuse(10), TEN.slice(0, 8));
  time.now += 60_000;
  assertEquals(log.refuse(1), ["denied; 2 more were refused and not logged 2"]);
  time.now += 60_000;
  assertEquals(log.refuse(11), TEN);
});

Deno.test("logObserver() logs a refusal whatever else is refused", { permissions: "none" }, () => {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const observer = logObserver({ debug: log, info: log, warn: log, error: log });
  const refuse = (reason: RefusalReason): void => observer.onRefusal!({ remoteAddr: addr, reason });
  for (let i = 0; i < 100; i++) refuse("handshake");
  refuse("descriptors");
  const from = "connection from [::1]:1234 refused:";
  assertEquals(lines.slice(10), [`${from} it took the last descriptor`]);
  observer.onStateChange!("closed", addr);
  assertEquals(lines.at(-1), "closed ([::1]:1234); 90 more were refused and not logged");
});

Deno.test("logObserver() reports what it omitted, in the end", { permissions: "none" }, () => {
  const log = refusalLog();
  assertEquals(log.refuse(1234), TEN);
  const state = { state: "closed", address: "[::1]:1234" };
  assertEquals(log.close(), [[
    "info",
    "closed ([::1]:1234); 1224 more were refused and not logged",
    { ...state, omitted: 1224 },
  ]]);
  assertEquals(log.close(), [["info", "closed ([::1]:1234)", state]]);
});

Deno.test("logObserver() logs failed accepts as warnings", { permissions: "none" }, () => {
  const error = Object.assign(new Error("no {descriptors}"), { code: "EMFILE" });
  const facts = { name: "Error", message: "no {descriptors}", code: "EMFILE" };
  assertEquals(logged((observer) => observer.onAcceptError(error, 5)), [
    "warn",
    "cannot accept (again within 5 ms): Error: no (descriptors)",
    { error: facts, retryIn: 5 },
  ]);
  assertEquals(logged((observer) => observer.onAcceptError(error, Infinity)), [
    "warn",
    "cannot accept (shutting down): Error: no (descriptors)",
    { error: facts, retryIn: Infinity },
  ]);
});

Deno.test("logObserver() logs what handlers throw as errors", { permissions: "none" }, async () => {
  const session = await someSession();
  const error = new SessionEndedError("error", { cause: "{id}" });
  const [level, message, fields] = logged((observer) => observer.onHandlerError(error, session));
  assertEquals(level, "error");
  assertMatch(
    message,
    /^the handler of session 1 from memory b threw: SessionEndedError: .*\(\(id\)\)\n +at .*:\d+/,
  );
  assertMatch(message, /\ncaused by \(id\)$/);
  const facts = { name: "SessionEndedError", message: error.message, causes: ["{id}"] };
  assertEquals(fields, { id: 1, address: "memory b", error: facts });
});

Deno.test("logObserver() logs what is thrown and no error", { permissions: "none" }, async () => {
  const session = await someSession();
  const stackless = new Error("bare");
  delete stackless.stack;
  const cases: [thrown: unknown, text: string, facts: unknown][] = [
    ["{text}", "(text)", "{text}"],
    [undefined, "undefined", "undefined"],
    [stackless, "Error: bare", { name: "Error", message: "bare" }],
  ];
  for (const [thrown, text, error] of cases) {
    assertEquals(logged((observer) => observer.onHandlerError(thrown, session)), [
      "error",
      `the handler of session 1 from memory b threw: ${text}`,
      { id: 1, address: "memory b", error },
    ]);
  }
});
