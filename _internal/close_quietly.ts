/** Closes what may be closed already, which a `Deno.Conn` throws at. */
export function closeQuietly(connection: { close(): void }): void {
  try {
    connection.close();
  } catch { /* it is closed already */ }
}
