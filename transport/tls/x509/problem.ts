/** The alerts that a refused peer is sent (RFC 8446 §6.2). */
export const UNSUPPORTED_CERTIFICATE = 43;
export const CERTIFICATE_EXPIRED = 45;
export const CERTIFICATE_UNKNOWN = 46;
export const UNKNOWN_CA = 48;

/** Why a certificate is not accepted. The message completes a sentence about the certificate. */
export class CertificateProblem extends Error {
  /** The alert for the peer. */
  readonly alert: number;

  constructor(problem: string, alert: number) {
    super(problem);
    this.alert = alert;
  }
}

/** The alert for the peer. It tells a reason only for a {@linkcode CertificateProblem}. */
export function alertFor(error: unknown): number {
  return error instanceof CertificateProblem ? error.alert : CERTIFICATE_UNKNOWN;
}
