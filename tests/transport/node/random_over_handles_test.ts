// Random input once more, over `node:net` by its handles. By itself, since it wants no ticket of a TLS session before.

import { setDefault } from "../../_default_transport.ts";

setDefault({ transport: "node", way: "handle" });

await import("../../attacks/random_test.ts");
