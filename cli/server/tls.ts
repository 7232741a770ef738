/** The server's certificate: reads its files at the start and on SIGHUP. */

import { statSync } from "node:fs";
import process from "node:process";
import type { Logger, Server, TlsCertificate } from "../../mod.ts";
import { readOptionFile } from "../program.ts";
import type { CertificateFiles } from "./options.ts";

/** Reads the files. `serve()` checks their contents. */
export function readCertificate({ cert, key }: CertificateFiles): TlsCertificate {
  return { cert: readOptionFile("--tls-cert", cert), key: readOptionFile("--tls-key", key) };
}

/** Warns if everyone may read the private key. The group is up to its owner. */
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

/** The permissions of a file; 0 if it was removed meanwhile, and on Windows. */
function modeOf(path: string): number {
  if (process.platform === "win32") return 0;
  try {
    return statSync(path).mode & 0o777;
  } catch {
    return 0;
  }
}

/** An error of the library about the certificate, with the names of its files. */
export function certificateProblem(error: unknown, files: CertificateFiles): string | undefined {
  if (!(error instanceof TypeError) || !/^(cert|key) /.test(error.message)) return;
  return `cannot use --tls-cert ${files.cert} with --tls-key ${files.key}: ${error.message}`;
}

/** Uses the current contents of the files for new sessions. If they are invalid, nothing changes. */
export function reloadCertificate(
  server: Pick<Server, "reloadTls">,
  files: CertificateFiles,
  logger: Logger,
): void {
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
