import { assertEquals, assertInstanceOf } from "@std/assert";
import { dialError } from "../../cli/client/dial.ts";
import type { Plan } from "../../cli/client/options.ts";
import { ProgramError } from "../../cli/program.ts";
import { ConnectTimeoutError } from "../../errors.ts";

const plan: Plan = {
  transport: "deno",
  place: { hostname: "127.0.0.1", port: 9 },
  timeout: Infinity,
  idle: Infinity,
  readIdle: Infinity,
  reconnect: false,
  verbose: false,
};

Deno.test(
  "dialError() does not blame --timeout where the system has given up",
  { permissions: "none" },
  () => {
    const cause = new Deno.errors.TimedOut("late");
    const error = dialError(new ConnectTimeoutError("127.0.0.1:9", "no answer", { cause }), plan);
    assertInstanceOf(error, ProgramError);
    const hint = "choose another server with --hostname and --port";
    assertEquals(error.message, `cannot connect to 127.0.0.1:9: no answer: ${hint}`);
  },
);
