import { assertEquals } from "@std/assert";
import { connect } from "../../connect/connect.ts";
import { formatAddress } from "../../transport/mod.ts";
import { hasNginx, startNginx } from "../_nginx.ts";
import { serveProxied } from "../_proxied.ts";
import { IPV4_ENDS, IPV6_ENDS } from "../_proxy_headers.ts";
import { overNet, readAll } from "../_serving.ts";

Deno.test("serve() accepts what nginx sends behind another proxy", {
  ...overNet,
  ignore: overNet.ignore || !hasNginx,
}, async () => {
  await using proxied = serveProxied({}, async (session) => {
    await session.send([session.remoteAddr, session.localAddr].map(formatAddress).join(" "));
  });
  await using nginx = await startNginx(proxied.port);
  const [ipv4, ipv6] = nginx.ports;
  // It tells the family of the client, and its own end beside it, whichever family that is.
  const ways = [{ hostname: "127.0.0.1", port: ipv4 }, { hostname: "::1", port: ipv6 }];
  for (const ends of [IPV4_ENDS, IPV6_ENDS]) {
    for (const way of ways) {
      await using client = await connect({ ...way, proxyHeader: { version: 1, ...ends } });
      const seen = [ends.source, { transport: "tcp", ...way } as const].map(formatAddress);
      assertEquals(await readAll(client), seen.join(" "));
    }
  }
  assertEquals(proxied.refusals, []);
});
