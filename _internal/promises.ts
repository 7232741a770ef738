/** Rejects a promise that may be left alone: that never counts as unhandled. */
export function rejectQuietly<T>(
  { promise, reject }: PromiseWithResolvers<T>,
  error: unknown,
): void {
  promise.catch(() => {});
  reject(error);
}

/** A promise that is rejected already, and may be left alone too. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
