interface Closable {
  close(): void;
  reset?(): void;
}

/** Closes a connection that may be closed already. `Deno.Conn` throws then. */
export function closeQuietly(connection: Closable): void {
  try {
    connection.close();
  } catch { /* it is closed already */ }
}

/** The same, but resets the connection if it can, so that the peer sees an error. */
export function resetQuietly(connection: Closable): void {
  if (connection.reset === undefined) return closeQuietly(connection);
  try {
    connection.reset();
  } catch { /* it is closed already */ }
}
