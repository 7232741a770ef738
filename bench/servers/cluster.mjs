// net.mjs in one process for each core, by node:cluster.
//
//     node bench/servers/cluster.mjs SERVICE PORT

import cluster from "node:cluster";
import { availableParallelism } from "node:os";

if (cluster.isPrimary) {
  for (let i = 0; i < availableParallelism(); i++) cluster.fork();
} else {
  await import("./net.mjs");
}
