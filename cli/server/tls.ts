/** The server's certificate: out of its files, and again on SIGHUP. */

import type { Logger, Server, TlsCertificate } from "../../mod.ts";
import { readOptionFile } from "../program.ts";
import type { CertificateFiles } from "./options.ts";

/** Reads the files. What is in them, `serve()` looks at. */
export function readCertificate({ cert, key }: CertificateFiles): TlsCertificate {
  return { cert: readOptionFile("--tls-cert", cert), key: readOptionFile("--tls-key", key) };
}

/** Warns of a private key that is everybody's. Whom its group is, the owner has decided. */
export function warnOfOthers({ key }: CertificateFiles, logger: Logger): void {
  const mode = modeOf(key);
  if ((mode & 0o006) === 0) return;
  const octal = mode.toString(8).padStart(3, "0");
  logger.warn(
    `--tls-key ${key} is open to everybody on this machine (mode ${octal}): chmod o= it`,
    {
      key,
      mode: octal,
    },
  );
}

/** The permissions of a file; none where it has gone meanwhile, and on Windows. */
function modeOf(path: string): number {
  try {
    return (Deno.statSync(path).mode ?? 0) & 0o777;
  } catch {
    return 0;
  }
}

/** What is wrong with a certificate, said of its files, if it is that which the library complains of. */
export function certificateProblem(error: unknown, files: CertificateFiles): string | undefined {
  if (!(error instanceof TypeError) || !/^(cert|key) /.test(error.message)) return;
  return `cannot use --tls-cert ${files.cert} with --tls-key ${files.key}: ${error.message}`;
}

/** Puts new sessions under what the files hold now. If that will not do, everything stays as it was. */
export function reloadCertificate(server: Server, files: CertificateFiles, logger: Logger): void {
  const { cert } = files;
  try {
    server.reloadTls(readCertificate(files));
    logger.info(`the certificate was reloaded from "${cert}": new sessions use it`, { cert });
    warnOfOthers(files, logger);
  } catch (error) {
    const problem = certificateProblem(error, files) ?? (error as Error).message;
    logger.error(`the certificate was not reloaded, the old one stays: ${problem}`, { problem });
  }
}
