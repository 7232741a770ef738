import process from "node:process";
import { isDeno } from "./runtime.ts";

/**
 * Makes Deno 2.9.6 open some descriptors now that it would open later. If none is free then, the process ends ("Deno has
 * panicked").
 */
export function openEarly(): void {
  if (!isDeno || Deno.build.os === "windows") return;
  // Two sockets for signals. Deno opens them half a second after its start, or with the first listener for a signal.
  Deno.addSignalListener("SIGURG", nothing);
  Deno.removeSignalListener("SIGURG", nothing);
  // For the first `.stack` with a frame of a module, Deno reads the module's source map. Without a descriptor, it parses
  // the module instead, and the parser asks for the size of the main thread's stack, for which the C library reads a
  // file. The result is cached.
  process.getBuiltinModule("node:module").stripTypeScriptTypes("if (a); else b;");
}

function nothing(): void {}
