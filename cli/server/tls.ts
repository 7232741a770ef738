/** The server's certificate: out of its files, and again on SIGHUP. */

import type { Logger, Server, TlsCertificate } from "../../mod.ts";
import { ProgramError } from "../program.ts";
import type { CertificateFiles } from "./options.ts";

/** Reads the files. What is in them, `serve()` looks at. */
export function readCertificate({ cert, key }: CertificateFiles): TlsCertificate {
  return { cert: readFile("--tls-cert", cert), key: readFile("--tls-key", key) };
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
  } catch (error) {
    const problem = certificateProblem(error, files) ?? (error as Error).message;
    logger.error(`the certificate was not reloaded, the old one stays: ${problem}`, { problem });
  }
}

function readFile(option: string, path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const reason = (error as Error).message.replace(/(: readfile '[^]*')?$/, "");
    throw new ProgramError(`cannot read ${option} ${path}: ${reason}`);
  }
}
