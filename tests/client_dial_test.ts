import { assertEquals, assertInstanceOf } from "@std/assert";
import { dialError, dialProblem } from "../cli/client_dial.ts";
import type { Plan } from "../cli/client_options.ts";
import { ProgramError } from "../cli/program.ts";
import { ConnectTimeoutError } from "../errors.ts";

const plan: Plan = {
  place: { hostname: "127.0.0.1", port: 9 },
  timeout: Infinity,
  idle: Infinity,
  reconnect: false,
  verbose: false,
};

Deno.test(
  "dialError() blames --timeout for no wait that the system has ended",
  { permissions: "none" },
  () => {
    const cases = [
      [
        { ...plan, timeout: 200 },
        new DOMException("late", "TimeoutError"),
        "no answer within 200 ms",
        "try a longer --timeout",
      ],
      [
        plan,
        new Deno.errors.TimedOut("late"),
        "no answer",
        "choose another server with --hostname and --port",
      ],
    ] as const;
    for (const [plan, cause, problem, hint] of cases) {
      const timeout = new ConnectTimeoutError("127.0.0.1:9", "no answer", { cause });
      const said = `cannot connect to 127.0.0.1:9: ${problem}`;
      assertEquals(dialProblem(timeout, plan), said);
      const error = dialError(timeout, plan);
      assertInstanceOf(error, ProgramError);
      assertEquals(error.message, `${said}: ${hint}`);
    }
  },
);
