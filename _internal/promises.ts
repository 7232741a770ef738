/** Rejects a promise that need not be awaited: the rejection never counts as unhandled. */
export function rejectQuietly<T>(
  { promise, reject }: PromiseWithResolvers<T>,
  error: unknown,
): void {
  promise.catch(() => {});
  reject(error);
}

/** A rejected promise, whose rejection never counts as unhandled. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
