import type { Handler } from "../../../mod.ts";

/** The service of the tutorial. Each reply is delayed by `delay` milliseconds. */
export function greeting(delay: number): Handler {
  return async (session) => {
    await session.send("welcome!");
    for await (const message of session) {
      const name = withoutLineEnd(message);
      if (name === "exit") break;
      if (delay > 0) await sleep(delay, session.signal);
      await session.send(`hello, ${name}!`);
    }
  };
}

/** `nc` and `telnet` send a line end with each name. It is not part of the name. */
export function withoutLineEnd(message: string): string {
  return message.replace(/\r?\n$/, "");
}

/** Resolves after a delay, or as soon as the session has ended. The next `send()` reports the end. */
function sleep(duration: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, duration);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
