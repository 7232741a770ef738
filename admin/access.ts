/** Who may ask the admin server, and who may change something. */

import { createHash, timingSafeEqual } from "node:crypto";
import { parseIp, withoutBrackets } from "../_internal/ip.ts";
import { HttpError, type HttpRequest } from "./http.ts";

/** What an admin server lets in. */
export interface Access {
  /** Whether it is on a Unix socket, where the file's permissions decide. */
  isUnix: boolean;
  /** Names that may be in the `Host` header, besides IP addresses and `localhost`. Without them, a Unix socket takes all. */
  hosts: readonly string[] | undefined;
  /** Whether anything may be changed. */
  control: boolean;
  /** What has to be sent to change anything. */
  token: string | undefined;
}

/**
 * Throws if a request may come from the page of somebody else: by DNS rebinding, a name of theirs leads here. So the host
 * that the browser has asked for must be an address, or a name that was allowed.
 */
export function checkHost({ headers }: HttpRequest, { isUnix, hosts }: Access): void {
  if (isUnix && hosts === undefined) return;
  const host = (headers.get("host") ?? "").toLowerCase().replace(/:\d*$/, "");
  const isAddress = parseIp(withoutBrackets(host)) !== undefined;
  if (isAddress || host === "localhost" || hosts?.includes(host)) return;
  throw new HttpError(421, "this Host is not allowed here: see the option hosts");
}

/** Throws if a request comes from the page of somebody else, as far as the browser says. */
export function checkOrigin({ headers }: HttpRequest): void {
  const origin = headers.get("origin");
  const site = headers.get("sec-fetch-site");
  const isForeign = origin !== undefined && origin !== `http://${headers.get("host")}` &&
    origin !== `https://${headers.get("host")}`;
  if (isForeign || (site !== undefined && site !== "same-origin" && site !== "none")) {
    throw new HttpError(403, "the request comes from another site");
  }
}

/** Throws unless a request may change something. */
export function checkControl(request: HttpRequest, access: Access): void {
  const { headers } = request;
  if (!access.control) throw new HttpError(403, "control is off");
  checkOrigin(request);
  if (access.token !== undefined) {
    const [, given = ""] = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "") ?? [];
    if (!areEqual(given, access.token)) throw new HttpError(401, "the token is missing or wrong");
  }
  // A form of another site cannot send this type without asking first.
  if (!/^application\/json\b/i.test(headers.get("content-type") ?? "")) {
    throw new HttpError(415, "the body must be application/json");
  }
}

/** Takes as long whatever differs, and however long the texts are. */
function areEqual(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
