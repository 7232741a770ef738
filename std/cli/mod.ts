// Stands in for JSR's @std/cli, so that a checkout builds from the npm registry alone.
export * from "./parse_args.ts";
