/** The client program. */

import type { Capture } from "../../capture/mod.ts";
import { captureInto, captureWarning, endCapture } from "../capturing.ts";
import { dialError } from "./dial.ts";
import { FLAGS, OPTIONS, type Plan, readPlan } from "./options.ts";
import { greet } from "./greet.ts";
import { type Arguments, runProgram } from "../program.ts";
import { say } from "../standard_error.ts";
import { relayStandardStreams } from "./raw.ts";

const HELP = `Talks to the greeting service: sends names, prints the replies, then says exit.
Or, with --raw, to any server, as nc, telnet and openssl s_client do.

Usage: deno run --allow-net client.ts [options] [NAME ...]

Without names, it reads them from standard input, one per line.
After --, a name may begin with a dash.

Address
  --hostname HOST    name or address of the server (default 127.0.0.1)
  --port PORT        port of the server (default 1234)
  --unix PATH        Unix socket to dial instead; requires --allow-read and
                     --allow-write of PATH as well
  --transport NAME   deno or node (default deno, if this version allows it)
  --proxy-header V   send a PROXY header first, v1 or v2
  --reconnect        reconnect when the connection is lost
  --udp              send datagrams: one for each name, or with --raw for each
                     read of input, as nc -u does; it exits after a second of
                     silence (--idle) that follows the end of input

TLS, which requires --allow-read of the files
  --tls              use TLS, and verify the server's certificate
  --ca FILE          trusted authorities, in PEM (default: those of Deno)
  --servername NAME  name that the certificate must have (default: HOST)
  --cert FILE        client certificate, in PEM
  --key FILE         its private key
  --alpn LIST        application protocols, such as h2,http/1.1
  --insecure         accept any certificate: attackers can read everything

Raw bytes, instead of greetings
  --raw              relay standard input and output in both directions
  --no-shutdown      do not tell the server that the input has ended
  --send-only        drop received bytes, exit when all input has arrived
  --recv-only        read no input
  --crlf             send each LF as CRLF
  --hex              print a hex dump of both directions
  --output FILE      write received bytes to FILE; requires --allow-write, and
                     --allow-read if it exists; a symbolic link is refused

Times, such as 500ms, 30s, 10m, 1h or none; a bare number is milliseconds
  --timeout TIME     longest wait for the connection, and for each reply to a
                     name (default 10s)
  --idle TIME        longest time without a byte (default none)
  --read-idle TIME   longest time without one from the server (default none)

  --capture FILE     write all that is sent and received into FILE, for
                     Wireshark, without its TLS; requires --allow-read and
                     --allow-write of FILE, FILE.1, FILE.2 and FILE.3
  --verbose          print the address and the TLS parameters to standard error
  -h, --help         print this help
  --version          print the version

Examples
  deno run --allow-net client.ts rose think babala
  printf 'GET / HTTP/1.0\\n\\n' | deno run -N client.ts --raw --crlf --port 80
  deno run -N client.ts --raw --tls --hostname example.org --port 443 --verbose

Exit code: 0 on success, 1 for an error, 2 for wrong usage.`;

/** The program: one conversation, or a relay. */
export function main(): Promise<void> {
  return runProgram({ help: HELP, options: OPTIONS, flags: FLAGS, takesNames: true, run });
}

async function run(args: Arguments): Promise<number> {
  const plan = readPlan(args);
  if (args.flags.has("udp")) {
    const { checkUdp, talkByDatagrams } = await import("./udp.ts");
    checkUdp(args);
    return await talkByDatagrams(plan, args.names);
  }
  if (plan.tls?.isInsecure) {
    say("warning: --insecure accepts any certificate: an attacker on the path can read everything");
  }
  if (plan.capture === undefined) return await talk(plan, args);
  const warn = (problem: string): void => say(`warning: ${problem}`);
  const capture = openFor(plan, plan.capture, warn);
  warn(captureWarning(plan.capture));
  try {
    return await talk({ ...plan, onSession: (session) => capture.add(session) }, args);
  } finally {
    await endCapture(capture, warn);
  }
}

function openFor(plan: Plan, file: string, warn: (problem: string) => void): Capture {
  try {
    return captureInto(file, warn);
  } catch (error) {
    throw dialError(error, plan);
  }
}

function talk(plan: Plan, { names }: Arguments): Promise<number> {
  return plan.raw === undefined ? greet(plan, names) : relayStandardStreams(plan, plan.raw);
}
