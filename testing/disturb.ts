import { systemErrors } from "../_internal/system_error_classes.ts";
import type { Connection } from "../transport/connection.ts";

/** How a connection is disturbed. A size of `Infinity` means that it is not. */
export interface Disturbance {
  seed: number;
  chop: number;
  delay: number;
  stallAfter: number;
  truncateAfter: number;
  resetAfter: number;
  blockAfter: number;
}

/** Wraps a connection so that it misbehaves. The same seed gives the same faults. */
export function disturb(connection: Connection, how: Disturbance): Connection {
  const random = randomFrom(how.seed);
  const closing = Promise.withResolvers<never>();
  closing.promise.catch(() => {});
  const timers = new Set<ReturnType<typeof setTimeout>>();
  let read = 0;
  let written = 0;

  const chopped = (): number =>
    how.chop === Infinity ? Infinity : 1 + Math.floor(random() * how.chop);
  const pause = async (): Promise<void> => {
    if (how.delay === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, random() * how.delay);
    timers.add(timer);
    await Promise.race([promise, closing.promise]);
    timers.delete(timer);
  };
  const close = (resets = false): void => {
    for (const timer of timers) clearTimeout(timer);
    closing.reject(new systemErrors.Interrupted("the connection was closed"));
    if (resets) connection.reset!();
    else connection.close();
  };

  return {
    remoteAddr: connection.remoteAddr,
    localAddr: connection.localAddr,
    async read(buffer: Uint8Array): Promise<number | null> {
      await pause();
      if (read >= how.resetAfter) {
        throw new systemErrors.ConnectionReset("the network reset the connection");
      }
      if (read >= how.truncateAfter) return null;
      if (read >= how.stallAfter) return await closing.promise;
      const left = Math.min(how.resetAfter, how.truncateAfter, how.stallAfter) - read;
      const limit = Math.min(buffer.length, left, chopped());
      const count = await connection.read(buffer.subarray(0, limit));
      if (count !== null) read += count;
      return count;
    },
    async write(data: Uint8Array): Promise<number> {
      await pause();
      if (written >= how.blockAfter) return await closing.promise;
      const left = how.blockAfter - written;
      const limit = Math.min(data.length, left, chopped());
      const count = await connection.write(data.subarray(0, limit));
      written += count;
      return count;
    },
    closeWrite: () => connection.closeWrite(),
    close: () => close(),
    ...(connection.reset !== undefined && { reset: () => close(true) }),
  };
}

/** Reproducible random numbers from 0 to below 1: a xorshift of 32 bits (Marsaglia 2003). */
export function randomFrom(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
