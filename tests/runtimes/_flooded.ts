// A server that another process floods, under a low limit of descriptors.

import { serve } from "@parley/tcp";
import { answer, portOf } from "./_harness.ts";

const server = serve({ port: 0, onError: () => {} }, answer);
await server.listening;
console.log(portOf(server));
await server.finished;
