// The tests of servers, of clients and of attacks once more, over `node:net` by its handles.

import { setDefault } from "../../_default_transport.ts";

setDefault({ transport: "node", way: "handle" });

await import("./_servers_and_clients.ts");
await import("../../connect/pool_test.ts"); // has a table of transports of its own, of which some need handles
await import("../../serve/exhausted_test.ts");
await import("../../session/upgrade_tls_test.ts");
await import("../../session/upgrade_tls_ending_test.ts");
await import("../../attacks/flood_test.ts");
await import("../../attacks/haproxy_test.ts");
await import("../../attacks/interop_test.ts");
await import("../../attacks/leak_test.ts");
await import("../../attacks/many_test.ts");
await import("../../attacks/slow_test.ts");
await import("../../attacks/starttls_test.ts");
await import("../../attacks/storm_test.ts");
