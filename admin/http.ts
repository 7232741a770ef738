/** HTTP/1.1 (RFC 9112) over sessions, as little of it as the admin server needs: one request per connection. */

import type { Session } from "../session.ts";

/** How long a request may take to arrive, in milliseconds. */
const REQUEST_TIMEOUT = 10_000;
const MAX_LINE = 8 * 1024;
const MAX_HEADERS = 64;
const MAX_BODY = 4 * 1024;

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;

/** A request. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** By their names in lower case. A header that came more than once has its values joined. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A response that is sent as a whole. */
export interface HttpResponse {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** More headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that cannot be answered, and how it is refused. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;

  constructor(status: number, problem: string) {
    super(problem);
    this.status = status;
  }
}

/** Reads a request. Returns `undefined` if the client leaves first. */
export async function readRequest(session: Session): Promise<HttpRequest | undefined> {
  const timer = setTimeout(
    () => session.abort(new HttpError(408, "the request took too long")),
    REQUEST_TIMEOUT,
  );
  try {
    return await read(session);
  } finally {
    clearTimeout(timer);
  }
}

async function read(session: Session): Promise<HttpRequest | undefined> {
  const lines = session.lines({ ending: "\r\n", maxLength: MAX_LINE });
  const first = await lines.read();
  if (first === undefined) return;
  const [method = "", target = "", version = "", ...rest] = first.split(" ");
  if (rest.length > 0 || !TOKEN.test(method) || !/^HTTP\/1\.[01]$/.test(version)) {
    throw new HttpError(400, "this is not a request of HTTP/1.1");
  }
  const headers = new Map<string, string>();
  for (let count = 0;; count++) {
    const line = await lines.read();
    if (line === undefined) return;
    if (line === "") break;
    if (count === MAX_HEADERS) throw new HttpError(431, `more than ${MAX_HEADERS} headers`);
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    if (!TOKEN.test(name)) throw new HttpError(400, "a header is malformed");
    const value = line.slice(colon + 1).trim();
    const former = headers.get(name);
    headers.set(name, former === undefined ? value : `${former}, ${value}`);
  }
  const { path, query } = splitTarget(target);
  return { method, path, query, headers, body: await readBody(session, headers) };
}

function splitTarget(target: string): Pick<HttpRequest, "path" | "query"> {
  if (!target.startsWith("/")) throw new HttpError(400, "the target must be a path");
  const mark = target.indexOf("?");
  return mark === -1
    ? { path: target, query: new URLSearchParams() }
    : { path: target.slice(0, mark), query: new URLSearchParams(target.slice(mark)) };
}

async function readBody(session: Session, headers: ReadonlyMap<string, string>): Promise<string> {
  if (headers.has("transfer-encoding")) throw new HttpError(411, "a body needs a Content-Length");
  const length = headers.get("content-length") ?? "0";
  if (!/^\d{1,15}$/.test(length)) throw new HttpError(400, "the Content-Length is malformed");
  if (Number(length) > MAX_BODY) throw new HttpError(413, `a body has at most ${MAX_BODY} bytes`);
  return new TextDecoder().decode(await session.readExactly(Number(length)));
}

/** Nothing may be fetched from elsewhere, run in line, or shown in a frame, and no answer is kept. */
const SAFE = [
  "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
  "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options: nosniff",
  "X-Frame-Options: DENY",
  "Referrer-Policy: no-referrer",
  "Cross-Origin-Opener-Policy: same-origin",
  "Cross-Origin-Resource-Policy: same-origin",
  "Cache-Control: no-store",
  "Connection: close",
];

const PHRASES: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  411: "Length Required",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** The head of a response, which has no length if it goes on until the connection is closed. */
export function headOf(
  { status, type, headers = {} }: Omit<HttpResponse, "body">,
  length?: number,
): string {
  return [
    `HTTP/1.1 ${status} ${PHRASES[status] ?? ""}`,
    `Content-Type: ${type}`,
    ...(length === undefined ? [] : [`Content-Length: ${length}`]),
    ...SAFE,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "\r\n",
  ].join("\r\n");
}

/** Sends a response. For `HEAD`, only its head. */
export async function sendResponse(
  session: Session,
  response: HttpResponse,
  method: string,
): Promise<void> {
  const body = new TextEncoder().encode(response.body);
  session.send(headOf(response, body.length));
  if (method !== "HEAD") await session.send(body);
}

/** A response in JSON. */
export function json(value: unknown, status = 200): HttpResponse {
  return { status, type: "application/json; charset=utf-8", body: JSON.stringify(value) };
}

/** A response of a line of text. */
export function text(body: string, status = 200): HttpResponse {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}
