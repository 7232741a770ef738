import type { Connection } from "@parley/tcp/transport";

/** A connection with given input, which comes in pieces of limited size. */
export function inPieces(input: Uint8Array, size: number): Connection {
  let at = 0;
  return {
    remoteAddr: { transport: "memory", name: "pieces" },
    localAddr: { transport: "memory", name: "pieces" },
    read(buffer: Uint8Array): Promise<number | null> {
      if (at === input.length) return Promise.resolve(null);
      const piece = input.subarray(at, at + Math.min(size, buffer.length));
      buffer.set(piece);
      at += piece.length;
      return Promise.resolve(piece.length);
    },
    write: (data) => Promise.resolve(data.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
}
