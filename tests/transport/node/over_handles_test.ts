// The tests of servers, of clients and of attacks once more, over `node:net` by its handles.

import { setDefault } from "../../_default_transport.ts";

setDefault({ transport: "node", way: "handle" });

await import("../../serve/accept_test.ts");
await import("../../serve/admission_test.ts");
await import("../../serve/exhausted_test.ts");
await import("../../serve/handler_test.ts");
await import("../../serve/limits_test.ts");
await import("../../serve/observing_test.ts");
await import("../../serve/proxy_limits_test.ts");
await import("../../serve/proxy_test.ts");
await import("../../serve/serve_test.ts");
await import("../../serve/shutdown_test.ts");
await import("../../serve/tls_refusal_test.ts");
await import("../../serve/tls_test.ts");
await import("../../connect/connect_test.ts");
await import("../../connect/connect_tls_test.ts");
await import("../../connect/reconnect_ending_test.ts");
await import("../../connect/reconnect_random_test.ts");
await import("../../connect/reconnect_test.ts");
await import("../../session/upgrade_tls_test.ts");
await import("../../session/upgrade_tls_ending_test.ts");
await import("../../transport/unix_test.ts");
await import("../../attacks/flood_test.ts");
await import("../../attacks/haproxy_test.ts");
await import("../../attacks/interop_test.ts");
await import("../../attacks/leak_test.ts");
await import("../../attacks/many_test.ts");
await import("../../attacks/slow_test.ts");
await import("../../attacks/starttls_test.ts");
await import("../../attacks/storm_test.ts");
