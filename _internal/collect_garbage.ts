const MIB = 1024 * 1024;

const bun = (globalThis as { Bun?: { gc?(isAtOnce: boolean): unknown } }).Bun;

/**
 * Makes the runtime begin to collect garbage, most of it beside this thread. Garbage that holds memory outside of V8's heap
 * may look small to V8, so it would stay. The only way from inside a program is to tell V8 of much more memory outside of
 * its heap than it has seen so far. That memory is never touched, so it takes none. Bun would fill it with zeros, which takes
 * more than a second, but it can be asked to collect.
 */
export function collectGarbage(): void {
  if (bun !== undefined) return void bun.gc?.(false);
  for (let size = 1024 * MIB; size >= 128 * MIB; size /= 2) {
    try {
      new ArrayBuffer(size).transfer(0);
      return;
    } catch { /* the process may not have so much address space */ }
  }
}
