import { setDefault } from "../../_default_transport.ts";

setDefault({ transport: "node", way: "public" });

await import("./_servers_and_clients.ts");
