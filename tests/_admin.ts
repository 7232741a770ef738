// Requests to an admin server.

import type { Admin } from "../admin/mod.ts";
import { portOf } from "./_serving.ts";

/** A token of the length that is needed. */
export const TOKEN = "0123456789abcdef";

/** What was answered. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** Asks for a path. */
export async function get(admin: Admin, path: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${portOf(admin)}${path}`, init);
  const { status, headers } = response;
  return { status, headers, text: await response.text() };
}

/** The JSON of a path. */
// deno-lint-ignore no-explicit-any -- tests look at parts of it
export async function getJson(admin: Admin, path: string): Promise<any> {
  const { status, text } = await get(admin, path);
  if (status !== 200) throw new Error(`${status} ${text}`);
  return JSON.parse(text);
}

/** Asks for a change. */
export function post(
  admin: Admin,
  action: string,
  body: unknown = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  return get(admin, `/control/${action}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${TOKEN}`,
      ...headers,
    },
    body: JSON.stringify(body),
  });
}

/** Sends bytes as they are, and returns what comes until the connection is closed. */
export async function raw(admin: Admin, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: portOf(admin) });
  const bytes = new TextEncoder().encode(text);
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await connection.write(rest));
  let all = "";
  for (const buffer = new Uint8Array(4096);;) {
    const count = await connection.read(buffer).catch(() => null);
    if (count === null) return all;
    all += new TextDecoder().decode(buffer.subarray(0, count));
  }
}
