// Answers +PONG to each line. The port is the argument.
import { serve } from "@parley/tcp";

serve({ port: Number(Deno.args[0]) }, async (session) => {
  for await (const _line of session.lines()) await session.send("+PONG\r\n");
});
