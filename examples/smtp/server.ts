// Receives mail over SMTP, and prints it.
//
//     deno run --allow-net --allow-read examples/smtp/server.ts [PORT [CERT.pem KEY.pem]]
//
// Then send some, with any client:
//
//     swaks --server 127.0.0.1:2525 --to rose@localhost [--tls]
//     curl smtp://127.0.0.1:2525 --mail-from think@localhost --mail-rcpt rose@localhost -T mail.txt
//     telnet 127.0.0.1 2525     and type   EHLO me   MAIL FROM:<>   RCPT TO:<rose@localhost>   DATA
//
// Continue with `smtp.ts`, which has the commands. `message.ts` reads what follows DATA, and `syntax.ts` has addresses
// and parameters.

import { formatAddress, printable, serve, type ServeOptions, type Server } from "@parley/tcp";
import { type Mail, smtp, type SmtpOptions } from "./smtp.ts";

/** Serves SMTP, with STARTTLS if there is a certificate. */
export function serveSmtp(options: ServeOptions, smtpOptions: SmtpOptions): Server {
  const { tls, ...others } = options;
  return serve({
    maxSessions: 100, // of a message of 10 MiB each
    idleTimeout: 5 * 60_000, // RFC 5321 §4.5.3.2.7
    maxLifetime: 60 * 60_000,
    ...others,
    ...(tls && { tls: { ...tls, mode: "starttls" } }),
  }, smtp({ ...smtpOptions, starttls: tls !== undefined }));
}

function print({ client, remoteAddr, from, to, message }: Mail): void {
  const text = new TextDecoder().decode(message);
  console.log(printable(`${client} (${remoteAddr}) from <${from}> to <${to.join("> <")}>`));
  for (const line of text.split("\r\n")) console.log(`    ${printable(line)}`);
}

if (import.meta.main) {
  const [port = "2525", cert, key] = Deno.args;
  const server = serveSmtp({
    port: Number(port),
    ...(cert !== undefined && key !== undefined && {
      tls: { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) },
    }),
    logger: console,
  }, { deliver: print });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => server.shutdown());
  }
  console.log(`receiving mail on ${formatAddress(server.addr)}`);
  await server.finished;
}
