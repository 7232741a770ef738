interface Closable {
  close(): void;
  reset?(): void;
}

/** Closes what may be closed already, which a `Deno.Conn` throws at. */
export function closeQuietly(connection: Closable): void {
  try {
    connection.close();
  } catch { /* it is closed already */ }
}

/** The same so that the other end can tell, if the connection can do that. */
export function resetQuietly(connection: Closable): void {
  if (connection.reset === undefined) return closeQuietly(connection);
  try {
    connection.reset();
  } catch { /* it is closed already */ }
}
