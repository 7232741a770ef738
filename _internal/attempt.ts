/** Calls a function of the user. What it throws or rejects with goes to `onError`. */
export function attempt(run: () => unknown, onError: (error: unknown) => void): void {
  try {
    const result = run();
    if (result instanceof Promise) result.catch(onError);
  } catch (error) {
    onError(error);
  }
}
