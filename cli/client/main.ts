/** The client program. */

import { FLAGS, OPTIONS, readPlan } from "./options.ts";
import { greet } from "./greet.ts";
import { type Arguments, runProgram } from "../program.ts";
import { say } from "../standard_error.ts";
import { relayStandardStreams } from "./raw.ts";

const HELP = `Talks to the greeting service: sends names, prints the replies, then says exit.
Or, with --raw, to any server, as nc, telnet and openssl s_client do.

Usage: deno run --allow-net client.ts [options] [NAME ...]

Without names, it takes them from standard input, one a line.
After --, a name may begin with a dash.

Address
  --hostname HOST    name or address of the server (default 127.0.0.1)
  --port PORT        port of the server (default 1234)
  --unix PATH        Unix socket to dial instead; it needs --allow-read and
                     --allow-write of PATH as well
  --transport NAME   what dials: deno, or node (default deno)
  --proxy-header V   begin with a PROXY header, v1 or v2
  --reconnect        come back when the connection is lost

TLS, which needs --allow-read of the files
  --tls              encrypt, and check the server's certificate
  --ca FILE          who may have signed it, in PEM (default: whom Deno trusts)
  --servername NAME  whom it has to be for (default: HOST)
  --cert FILE        certificate of this side, in PEM
  --key FILE         its private key
  --alpn LIST        application protocols, such as h2,http/1.1
  --insecure         take any certificate: anybody may listen in

Raw bytes, instead of greetings
  --raw              relay standard input and output, both ways at once
  --no-shutdown      do not tell the server that the input has ended
  --send-only        drop what comes, leave when all input has arrived
  --recv-only        read no input
  --crlf             send each LF as CRLF
  --hex              print a dump of both directions instead of what comes
  --output FILE      write what comes to FILE, which needs --allow-write, and
                     --allow-read where it exists; a symbolic link is refused

Times, such as 500ms, 30s, 10m, 1h or none; a bare number is milliseconds
  --timeout TIME     longest wait for the connection, and for each reply to a
                     name (default 10s)
  --idle TIME        silence that ends it (default none)

  --verbose          say on standard error what is dialled and agreed on
  -h, --help         print this
  --version          print the version

Examples
  deno run --allow-net client.ts rose think babala
  printf 'GET / HTTP/1.0\\n\\n' | deno run -N client.ts --raw --crlf --port 80
  deno run -N client.ts --raw --tls --hostname example.org --port 443 --verbose

Exit code: 0 when all was said, 1 when something failed, 2 for wrong usage.`;

/** The program: one conversation, or a relay. */
export function main(): Promise<void> {
  return runProgram({ help: HELP, options: OPTIONS, flags: FLAGS, takesNames: true, run });
}

async function run(args: Arguments): Promise<number> {
  const plan = readPlan(args);
  if (plan.tls?.isInsecure) {
    say("warning: --insecure takes any certificate: whoever sits in between can read all");
  }
  return plan.raw === undefined
    ? await greet(plan, args.names)
    : await relayStandardStreams(plan, plan.raw);
}
