/** How many objects: they take some 8 MiB. */
const OBJECTS = 100_000;

const held: unknown[] = [];

/**
 * Holds live objects, as every application does.
 *
 * V8 collects the whole heap for the first time when it has about 8 MiB, which a server that does nothing else never
 * reaches. From then on, what a read of a `Deno.Conn` leaves behind survives the small collections (Deno 2.9.6 keeps the
 * pending reads of a connection in a `Set`, whose old tables refer to the new ones), so that each message costs more.
 */
export function holdBallast(): void {
  for (let i = 0; i < OBJECTS; i++) held.push({ index: i, list: [i] });
}
