// Random and broken bytes at every port. Whatever comes is refused or ended as documented, and others are served.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { connect, type ConnectOptions } from "../../connect/connect.ts";
import {
  FrameTooLargeError,
  MalformedFrameError,
  ProxyHeaderError,
  TlsHandshakeError,
  TruncatedFrameError,
} from "../../errors.ts";
import { encodeProxyHeader } from "../../proxy_protocol/mod.ts";
import { type Handler, serve, type ServeOptions } from "../../serve/serve.ts";
import type { Codec } from "../../session.ts";
import { memoryPair } from "../../transport/mod.ts";
import { dialTls } from "../../transport/tls/client.ts";
import { TlsAcceptor } from "../../transport/tls/server.ts";
import { concat, encode } from "../_codecs.ts";
import { ask, echo, overNet, portOf, until } from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";
import { Peer } from "../_transports.ts";
import { mutate, Random, TARGETS } from "../fuzz.ts";

/** Who comes at once. */
const AT_ONCE = 50;

/** What became of the clients. */
interface Fate {
  /** Causes of refusals and of the ends of sessions. */
  causes: unknown[];
  accepted: number;
  refused: number;
}

/** Sends each input over a connection of its own, then the end; and then a good client is answered. */
async function bombard(
  inputs: Uint8Array[],
  options: Partial<ServeOptions>,
  how: ConnectOptions = {},
  handler: Handler = echo,
): Promise<Fate> {
  const causes: unknown[] = [];
  const errors: unknown[] = [];
  await using server = serve({
    port: 0,
    observer: {
      onSessionEnd: (_, { cause }) => void causes.push(cause),
      onRefusal: ({ cause }) => void causes.push(cause),
      onHandlerError: (error) => void errors.push(error),
      onAcceptError: (error) => void errors.push(error),
    },
    ...options,
  }, handler);
  const port = portOf(server);
  const left = [...inputs];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let input; (input = left.pop()) !== undefined;) await throwAt(port, input);
  }));
  await until(() => causes.length === inputs.length);
  assertEquals(errors, []);
  const { accepted, refused } = server.stats();
  const fate = { causes: [...causes], accepted, refused };
  if (handler === echo) {
    await using good = await connect({ port, ...how });
    assertEquals(await ask(good, "rose"), "rose!");
  }
  return fate;
}

async function throwAt(port: number, input: Uint8Array): Promise<void> {
  const peer = new Peer(await Deno.connect({ port }));
  try {
    await peer.send(input);
    await peer.closeWrite();
    await peer.countToEnd();
  } catch (error) {
    const { ConnectionReset, BrokenPipe, NotConnected } = Deno.errors;
    const isCut = [ConnectionReset, BrokenPipe, NotConnected].some((kind) => error instanceof kind);
    assert(isCut, `${error}`);
  } finally {
    peer.close();
  }
}

/** Broken copies of good input, and some that are nothing but random. */
function broken(good: Uint8Array[], count: number, seed: number): Uint8Array[] {
  const random = new Random(seed);
  return Array.from({ length: count }, (_, at) => {
    if (at % 10 === 0) return random.bytes(600);
    let input = good[random.upTo(good.length)]!;
    for (let times = random.upTo(3); times >= 0; times--) input = mutate(input, random);
    return input;
  });
}

const HEADERS = [
  "PROXY TCP4 192.0.2.7 198.51.100.1 51324 443\r\nrose\n",
  "PROXY TCP6 2001:db8::7 2001:db8::1 51324 443\r\nrose\n",
  "PROXY UNKNOWN\r\nrose\n",
].map((text) => new TextEncoder().encode(text));

Deno.test("serve() withstands random and broken PROXY headers", overNet, async () => {
  const source = { transport: "tcp", hostname: "2001:db8::7", port: 5 } as const;
  const v2 = encodeProxyHeader({
    version: 2,
    source,
    destination: source,
    authority: "rose.test",
    uniqueId: new Uint8Array(16),
    tls: {
      secure: true,
      certificateOnConnection: true,
      certificateInSession: true,
      verified: true,
    },
  });
  const options = { proxyProtocol: "required", trusted: ["127.0.0.1"] } as const;
  const inputs = broken([...HEADERS, v2, v2, v2], 1000, 2411);
  const { causes, accepted, refused } = await bombard(inputs, options, {
    proxyHeader: { version: 2 },
  });
  for (const cause of causes) {
    if (cause !== undefined) assertInstanceOf(cause, ProxyHeaderError, `${cause}`);
  }
  assert(accepted > 20 && refused > 500, `${accepted} accepted, ${refused} refused`);
});

/** What a client of ours says first. */
async function clientHello(): Promise<Uint8Array> {
  const [near, far] = memoryPair();
  const dialled = dialTls(near, { ca, serverName: "localhost" }, new AbortController().signal);
  const peer = new Peer(far);
  const header = await peer.bytes(5);
  const hello = concat([header, await peer.bytes(header[3]! * 256 + header[4]!)]);
  peer.close();
  await dialled.catch(() => {});
  return hello;
}

function assertHandshakesFail({ causes, accepted }: Fate): void {
  assertEquals(accepted, 0);
  for (const cause of causes) assertInstanceOf(cause, TlsHandshakeError, `${cause}`);
}

Deno.test("serve() withstands random and broken TLS", overTls, async () => {
  const hello = await clientHello();
  const inputs = broken([hello], 500, 1973);
  // Each field of the hello at its limits, and all of it cut off.
  for (let at = 0; at < Math.min(hello.length, 150); at++) {
    inputs.push(hello.with(at, 0), hello.with(at, 0xff), hello.subarray(0, at));
  }
  assertHandshakesFail(await bombard(inputs, { tls: localhost }, { tls: { ca } }));
});

const RECORDS: Record<string, Uint8Array> = {
  // Record 3.0, ClientHello of SSL 3.0 with three old suites (RFC 6101 §5.6.1.2).
  "an SSL 3.0 hello": Uint8Array.fromHex(
    "160300002f0100002b0300" + "11".repeat(32) + "000004000a00050100".padEnd(18, "0"),
  ),
  "an SSL 2.0 hello": Uint8Array.fromHex(
    "802e0103010015000000100100800300800700c0" + "22".repeat(28),
  ),
  "a TLS 1.0 hello": Uint8Array.fromHex(
    "160301002d010000290301" + "33".repeat(32) + "000002002f0100",
  ),
  "a heartbeat that wants more than it has (CVE-2014-0160)": Uint8Array.fromHex(
    "18030300030140 00".replace(" ", ""),
  ),
  "a record beyond its limit": concat([
    Uint8Array.of(22, 3, 1, 0xff, 0xff),
    new Uint8Array(70_000),
  ]),
  "nothing but empty records": concat(new Array(5000).fill(Uint8Array.of(22, 3, 3, 0, 0))),
  "nothing but ChangeCipherSpec": concat(new Array(5000).fill(Uint8Array.of(20, 3, 3, 0, 1, 1))),
  "nothing but warnings": concat(new Array(5000).fill(Uint8Array.of(21, 3, 3, 0, 2, 1, 90))),
  "application data before keys": concat([Uint8Array.of(23, 3, 3, 0, 100), new Uint8Array(100)]),
  "a hello of 16 MB": concat([
    Uint8Array.of(22, 3, 1, 64, 0, 1, 255, 255, 255),
    new Uint8Array(16380),
  ]),
};

Deno.test("serve() survives invalid TLS records", overTls, async () => {
  const inputs = [...Object.values(RECORDS), new Uint8Array(0)];
  assertHandshakesFail(await bombard(inputs, { tls: localhost }, { tls: { ca } }));
});

Deno.test("serve() accepts a hello in records of one byte", overTls, async () => {
  const hello = (await clientHello()).subarray(5);
  const records = concat([...hello].map((byte) => Uint8Array.of(22, 3, 1, 0, 1, byte)));
  await using server = serve({ port: 0, tls: localhost, onError: () => {} }, echo);
  const peer = new Peer(await Deno.connect({ port: portOf(server) }));
  await peer.send(records);
  assertEquals([...await peer.bytes(3)], [22, 3, 3]); // a ServerHello
  peer.close();
  await until(() => server.stats().refused === 1);
});

Deno.test("connect() withstands random and broken TLS of a server", overTls, async () => {
  const [near, far] = memoryPair();
  const accepted = new TlsAcceptor(localhost).accept(near, 10_000).catch(() => {});
  const peer = new Peer(far);
  await peer.send(await clientHello());
  const flight = await peer.bytes(400); // the ServerHello, and the beginning of what is encrypted
  peer.close();
  await accepted;
  const answers = [new Uint8Array(0), flight, ...broken([flight], 200, 1848)];
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const answer of answers) {
    const dialled = assertRejects(
      () => connect({ port: portOf(listener), tls: { ca } }),
      TlsHandshakeError,
    );
    const server = new Peer(await listener.accept());
    await server.connection.read(new Uint8Array(4096)); // its hello
    await server.send(answer).catch(() => {});
    await server.closeWrite().catch(() => {});
    await Promise.all([dialled, server.countToEnd().catch(() => {})]);
    server.close();
  }
});

for (const [name, { codec, message }] of Object.entries(TARGETS)) {
  Deno.test(`${name} withstands random and broken frames in a session`, overNet, async () => {
    const random = new Random(7);
    const good = await Promise.all(Array.from({ length: 10 }, () =>
      encode(
        codec as Codec<unknown, unknown>,
        Array.from({ length: 1 + random.upTo(8) }, () => message(random)),
      )));
    const { causes, refused } = await bombard(broken(good, 200, 42), {}, {}, async (session) => {
      for await (const frame of session.frames(codec as Codec<unknown, unknown>)) {
        await session.send(`${typeof frame}\n`);
      }
    });
    assertEquals(refused, 0);
    const documented = [FrameTooLargeError, MalformedFrameError, TruncatedFrameError];
    for (const cause of causes) {
      const isDocumented = cause === undefined || documented.some((kind) => cause instanceof kind);
      assert(isDocumented, `${cause}`);
    }
    assert(causes.some((cause) => cause !== undefined));
  });
}
