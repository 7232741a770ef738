import { hasNats } from "../_nats.ts";
import { cannotStart } from "../_programs.ts";
import { bounded } from "../_serving.ts";
import { runFleet } from "./_fleet.ts";

Deno.test(
  "groups over NATS between three processes with two workers each lose nothing, and outlive the death of one",
  { ...bounded, ignore: !hasNats || cannotStart || Deno.build.os !== "linux" },
  () => runFleet(300),
);
