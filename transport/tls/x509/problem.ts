/** The alerts for certificates that are not accepted (RFC 8446 §6.2). */
export const UNSUPPORTED_CERTIFICATE = 43;
export const CERTIFICATE_EXPIRED = 45;
export const CERTIFICATE_UNKNOWN = 46;
export const UNKNOWN_CA = 48;

/** Why a certificate is not accepted, which completes a sentence about it, and what the peer may be told. */
export class CertificateProblem extends Error {
  readonly alert: number;

  constructor(problem: string, alert: number) {
    super(problem);
    this.alert = alert;
  }
}

/** What the peer may be told of an error. */
export function alertFor(error: unknown): number {
  return error instanceof CertificateProblem ? error.alert : CERTIFICATE_UNKNOWN;
}
