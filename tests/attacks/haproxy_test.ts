// What HAProxy tells about its clients reaches the session.

import { assertEquals, assertMatch } from "@std/assert";
import { serve, type ServeOptions, type Server } from "../../serve/serve.ts";
import { formatAddress, type ProxyHeader, type TlsInfo } from "../../transport/mod.ts";
import { clientFrom, startHaproxy, withHaproxy } from "../_haproxy_front.ts";
import { portOf, recorder, settle, until } from "../_serving.ts";
import { ca, caFile, client, localhost } from "../_tls_serving.ts";

/** What a session knows. */
interface Seen {
  from: string;
  to: string;
  proxy: ProxyHeader;
  tls: TlsInfo | undefined;
}

/** Answers each line, and keeps what the sessions know. */
function serveBehind(options: Partial<ServeOptions> = {}): Server & { seen: Seen[] } {
  const seen: Seen[] = [];
  const server = serve({
    port: 0,
    proxyProtocol: "required",
    trusted: ["127.0.0.1"],
    ...options,
  }, async (session) => {
    const { remoteAddr, localAddr, proxy, tls } = session;
    seen.push({
      from: formatAddress(remoteAddr),
      to: formatAddress(localAddr),
      proxy: proxy!,
      tls,
    });
    for await (const line of session.lines()) await session.send(`${line}!\n`);
  });
  return Object.assign(server, { seen });
}

Deno.test(
  "serve() learns from HAProxy who its clients are (send-proxy, send-proxy-v2)",
  withHaproxy,
  async () => {
    await using server = serveBehind();
    const to = `127.0.0.1:${portOf(server)}`;
    await using proxy = await startHaproxy([
      { server: `${to} send-proxy` },
      { server: `${to} send-proxy-v2` },
      { server: `${to} send-proxy-v2 proxy-v2-options crc32c` },
    ]);
    for (const [at, port] of proxy.ports.entries()) {
      const hostname = `127.0.0.${at + 2}`;
      await using rose = clientFrom(hostname, port);
      await rose.type("rose\n");
      await rose.stdout.until(/^rose!\n$/);
      const { from, to, proxy: header } = server.seen[at]!;
      assertMatch(from, RegExp(`^${hostname.replaceAll(".", "\\.")}:\\d+$`));
      assertEquals(to, `127.0.0.1:${port}`);
      assertEquals([header.version, header.command], [at === 0 ? 1 : 2, "PROXY"]);
      await rose.endInput(); // a half-close, which HAProxy passes on
      assertEquals((await rose.ended()).stdout, "rose!\n");
    }
    assertEquals(proxy.stderr(), "");
  },
);

Deno.test(
  "serve() learns from HAProxy what it knows of a client's TLS (send-proxy-v2-ssl)",
  withHaproxy,
  async () => {
    await using server = serveBehind();
    const to = `127.0.0.1:${portOf(server)}`;
    await using proxy = await startHaproxy([{
      bind: "ssl crt {dir}/server.pem ca-file {dir}/ca.pem verify required alpn greet/1",
      server: `${to} send-proxy-v2-ssl-cn proxy-v2-options authority,unique-id,crc32c`,
    }], { "server.pem": localhost.cert + localhost.key, "ca.pem": ca });
    const dir = await Deno.makeTempDir();
    try {
      const pem = `${dir}/client.pem`;
      await Deno.writeTextFile(pem, client.cert + client.key);
      const tls = `cafile=${caFile},cert=${pem},snihost=localhost,commonname=localhost`;
      await using rose = clientFrom(`127.0.0.2,${tls}`, proxy.ports[0]!, "OPENSSL");
      await rose.type("rose\n");
      await rose.stdout.until(/^rose!\n$/);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
    const { from, proxy: header, tls } = server.seen[0]!;
    assertMatch(from, /^127\.0\.0\.2:/);
    assertEquals([header.authority, tls], ["localhost", undefined]);
    const { secure, verified, certificateOnConnection, commonName, version } = header.tls!;
    assertEquals([secure, verified, certificateOnConnection, commonName, version], [
      true,
      true,
      true,
      "rose",
      "TLSv1.3",
    ]);
  },
);

Deno.test("serve() accepts HAProxy's header and then its TLS", withHaproxy, async () => {
  await using server = serveBehind({ tls: localhost });
  const to = `127.0.0.1:${portOf(server)}`;
  await using proxy = await startHaproxy([
    { server: `${to} ssl verify none send-proxy-v2` },
    { server: `${to} ssl verify required ca-file {dir}/ca.pem sni str(localhost) send-proxy` },
  ], { "ca.pem": ca });
  for (const [at, port] of proxy.ports.entries()) {
    await using rose = clientFrom("127.0.0.2", port);
    await rose.type("rose\n");
    await rose.stdout.until(/^rose!\n$/);
    const { from, tls } = server.seen[at]!;
    assertMatch(from, /^127\.0\.0\.2:/);
    assertEquals(tls!.serverName, at === 0 ? undefined : "localhost");
    await rose.endInput();
    assertEquals((await rose.ended()).stdout, "rose!\n");
  }
});

Deno.test(
  "serve() counts the clients of HAProxy, and denies them, by their own addresses",
  withHaproxy,
  async () => {
    const seen = recorder();
    await using server = serveBehind({
      deny: ["127.0.0.66"],
      maxSessionsPerAddress: 1,
      observer: seen,
    });
    await using proxy = await startHaproxy([
      { server: `127.0.0.1:${portOf(server)} send-proxy-v2` },
    ]);
    const [port] = proxy.ports;
    await using stack = new AsyncDisposableStack();
    const good = Array.from(
      { length: 10 },
      (_, i) => stack.use(clientFrom(`127.0.0.${i + 2}`, port!)),
    );
    for (const client of good) await client.type("rose\n");
    for (const client of good) await client.stdout.until(/^rose!\n$/);
    await using second = clientFrom("127.0.0.2", port!);
    assertEquals((await second.ended()).stdout, "");
    await using denied = clientFrom("127.0.0.66", port!);
    assertEquals((await denied.ended()).stdout, "");
    const refusals = seen.events.filter((event) => event.startsWith("refused"));
    assertMatch(refusals[0]!, /^refused 127\.0\.0\.2:\d+ maxSessionsPerAddress$/);
    assertMatch(refusals[1]!, /^refused 127\.0\.0\.66:\d+ denied$/);
    assertEquals(refusals.length, 2);
  },
);

Deno.test("serve() recognizes HAProxy's health checks", withHaproxy, async () => {
  await using server = serveBehind();
  const to = `127.0.0.1:${portOf(server)}`;
  await using _proxy = await startHaproxy([{ server: `${to} check inter 50ms send-proxy-v2` }]);
  await until(() => server.seen.length >= 2);
  for (const { proxy, from } of server.seen) {
    assertEquals([proxy.command, proxy.source], ["LOCAL", undefined]);
    assertMatch(from, /^127\.0\.0\.1:/);
  }
  await settle();
  assertEquals(server.stats().refused, 0);
});
