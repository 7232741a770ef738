import * as module from "node:module";
import { isDeno } from "./runtime.ts";

/**
 * Has Deno 2.9.6 open now what it opens some time anyway, and whose lack ends the process ("Deno has panicked") if no
 * descriptor is free by then.
 */
export function openEarly(): void {
  if (!isDeno || Deno.build.os === "windows") return;
  // Two sockets for signals: half a second after the start, unless somebody listens for one before.
  Deno.addSignalListener("SIGURG", nothing);
  Deno.removeSignalListener("SIGURG", nothing);
  // The first `.stack` that leads through a module has its source map read. Without a descriptor the module is parsed
  // instead, and at the first branch in it the parser asks for the size of the main thread's stack. For that, the C
  // library reads a file. The answer is kept.
  module.stripTypeScriptTypes("if (a); else b;");
}

function nothing(): void {}
