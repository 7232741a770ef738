/** Writes everything, in as many writes as necessary. */
export async function writeAll(connection: Deno.Conn, data: Uint8Array): Promise<void> {
  for (let rest = data; rest.length > 0;) rest = rest.subarray(await connection.write(rest));
}
