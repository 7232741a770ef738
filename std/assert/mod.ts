// Stands in for JSR's @std/assert, so that a checkout builds from the npm registry alone.
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
