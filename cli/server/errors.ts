/** Errors of starting the server, in one line that says what to do about them. */

import { fileURLToPath } from "node:url";
import { formatAddress, systemErrors } from "../../mod.ts";
import { type Needs, permissionError, ProgramError, UsageError } from "../program.ts";
import { captureFiles } from "../capturing.ts";
import type { Place, Plan } from "./options.ts";
import { certificateProblem } from "./tls.ts";

/** Options that only the library checks: its names, and those of the command line. */
const NAMES: Record<string, string> = {
  allow: "--allow",
  deny: "--deny",
  trusted: "--trusted",
  path: "--unix",
};

/** Turns an error of starting the server into one line. */
export function startError(error: unknown, plan: Plan): unknown {
  if (error instanceof systemErrors.NotCapable) return permissionError(error, needsOf(plan));
  if (error instanceof ProgramError) return error;
  // That of a worker has lost its class.
  const { name, message } = error as Error;
  if (name === "ProgramError") return new ProgramError(message);
  const misuse = misuseOf(error);
  if (misuse !== undefined) return misuse;
  const problem = plan.certificate && certificateProblem(error, plan.certificate);
  if (problem !== undefined) return new ProgramError(problem);
  return new ProgramError(listenProblem(error, plan.place));
}

/** The same for an error of starting the admin server. */
export function adminError(error: unknown, plan: Plan): unknown {
  if (error instanceof systemErrors.NotCapable) return permissionError(error, needsOf(plan));
  if (error instanceof ProgramError) return error;
  const { message } = error as Error;
  if (error instanceof TypeError || error instanceof RangeError) {
    return new ProgramError(`cannot use --admin-token: ${message}`);
  }
  return new ProgramError(`cannot listen on --admin ${message.replace(/^cannot listen on /, "")}`);
}

/** The files that the options need, and whether variables of the environment. */
function needsOf({ place, certificate, workers, capture, admin }: Plan): Needs {
  const written = capture === undefined ? [] : captureFiles(capture);
  if ("path" in place) written.push(place.path);
  if (admin !== undefined && "path" in admin.place) written.push(admin.place.path);
  const read = certificate ? [certificate.cert, certificate.key, ...written] : [...written];
  if (admin?.token !== undefined) read.push(admin.token);
  // Workers load the modules of this package themselves. From JSR, they need no permission for that.
  const { protocol, href } = new URL("../../", import.meta.url);
  if (workers !== undefined && protocol === "file:") read.push(fileURLToPath(href));
  return { read, written, hasEnv: "systemd" in place };
}

function misuseOf(error: unknown): UsageError | undefined {
  if (!(error instanceof TypeError || error instanceof RangeError)) return;
  const [, name, problem] = /^(\w+)(?:\[\d+\])? (must [^]*)$/.exec(error.message) ?? [];
  const option = NAMES[name ?? ""];
  return option === undefined ? undefined : new UsageError(`${option} ${problem}`);
}

function listenProblem(error: unknown, place: Place): string {
  if ("systemd" in place) return messageOf(error);
  return "path" in place ? unixProblem(error, place.path) : tcpProblem(error, place);
}

function tcpProblem(error: unknown, place: Extract<Place, { port: number }>): string {
  const where = formatAddress({ transport: "tcp", ...place });
  return `cannot listen on ${where}: ${tcpReason(error, where)}`;
}

function tcpReason(error: unknown, where: string): string {
  if (error instanceof systemErrors.AddrInUse) {
    return "the port is in use: stop the other program, or choose another with --port";
  }
  if (error instanceof systemErrors.PermissionDenied) {
    return "the system does not allow it: choose a port over 1023 with --port";
  }
  if (error instanceof systemErrors.AddrNotAvailable) {
    return "the address is not one of this machine: choose another with --hostname";
  }
  return `${reasonOf(error, where)}: choose another with --hostname`;
}

function unixProblem(error: unknown, path: string): string {
  const where = formatAddress({ transport: "unix", path });
  return `cannot listen on ${where}: ${reasonOf(error, where)}: choose another with --unix`;
}

/** What the library says, without the address. */
function reasonOf(error: unknown, where: string): string {
  const known = `cannot listen on ${where}: `;
  const message = messageOf(error);
  return message.startsWith(known) ? message.slice(known.length) : message;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
