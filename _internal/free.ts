/** Smaller buffers are left to the collection of garbage. */
const MIN_SIZE = 2048;

/**
 * Frees the memory of a buffer of one's own at once. Otherwise it would stay until garbage is collected, which is too late
 * for a server whose memory is short. All views of the buffer become empty.
 */
export function free({ buffer }: Uint8Array): void {
  if (buffer.byteLength >= MIN_SIZE && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
