// Stands in for JSR's @std/cli/parse-args, so that a checkout builds from the npm registry alone.
// @ts-types="./parse_args.d.ts"
export * from "npm:deno-std@1.4.0/cli/parse_args.js";
