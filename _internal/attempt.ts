/** Calls what belongs to the user. Neither what it throws nor what it rejects with gets any further than `onError`. */
export function attempt(run: () => unknown, onError: (error: unknown) => void): void {
  try {
    const result = run();
    if (result instanceof Promise) result.catch(onError);
  } catch (error) {
    onError(error);
  }
}
