// A real Chromium without a window, driven by the DevTools protocol.

import { assert } from "@std/assert";
import { canNet, canRead, canWrite } from "./_permissions.ts";
import { isInstalled, Program } from "./_programs.ts";
import { makeTempDir } from "./_temp_dir.ts";

/** The options of tests that need one. */
export const overChromium: { timeout: number; ignore: boolean } = {
  timeout: 90_000,
  ignore: !canNet || !canRead || !canWrite || !await isInstalled("chromium", "--version"),
};

/** How long a condition is waited for, in milliseconds. */
const PATIENCE = 30_000;

interface Message {
  id?: number;
  method?: string;
  // deno-lint-ignore no-explicit-any -- as the protocol has it
  params?: any;
  // deno-lint-ignore no-explicit-any
  result?: any;
  error?: { message: string };
}

/** A tab. */
export class Tab implements AsyncDisposable {
  /** The addresses that were asked for. */
  readonly requests: string[] = [];
  /** What was logged, and errors. */
  readonly problems: string[] = [];
  /** Whether questions such as `confirm()` are answered with yes. */
  agrees = true;
  readonly #socket: WebSocket;
  readonly #browser: AsyncDisposable;
  readonly #waiting: Map<number, PromiseWithResolvers<Message["result"]>> = new Map();
  #session: string | undefined;
  #nextId = 1;

  private constructor(socket: WebSocket, browser: AsyncDisposable) {
    this.#socket = socket;
    this.#browser = browser;
    socket.onmessage = ({ data }) => this.#onMessage(JSON.parse(data));
  }

  /** Starts Chromium and opens a page. */
  static async open(url: string): Promise<Tab> {
    const directory = await makeTempDir();
    const program = new Program("chromium", [
      ...["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"],
      ...["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"],
      ...["--hide-scrollbars", `--user-data-dir=${directory.path}`, "about:blank"],
    ]);
    const browser = {
      async [Symbol.asyncDispose](): Promise<void> {
        await program[Symbol.asyncDispose]();
        // Its other processes may still write for a moment.
        for (let left = 100;; left--) {
          try {
            return await directory[Symbol.asyncDispose]();
          } catch (error) {
            if (left === 0) throw error;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        }
      },
    };
    try {
      const [, address] = await program.stderr.until(/DevTools listening on (ws:\S+)/);
      const socket = new WebSocket(address!);
      await new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onerror = reject;
      });
      const tab = new Tab(socket, browser);
      const { targetId } = await tab.call("Target.createTarget", { url: "about:blank" });
      const { sessionId } = await tab.call("Target.attachToTarget", { targetId, flatten: true });
      tab.#session = sessionId;
      for (const domain of ["Page", "Runtime", "Network", "Log"]) {
        await tab.call(`${domain}.enable`);
      }
      await tab.call("Page.navigate", { url });
      return tab;
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
  }

  call(method: string, params: object = {}): Promise<Message["result"]> {
    const id = this.#nextId++;
    const answer = Promise.withResolvers<Message["result"]>();
    this.#waiting.set(id, answer);
    const sessionId = this.#session;
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    return answer.promise;
  }

  /** The value of an expression in the page. */
  // deno-lint-ignore no-explicit-any -- it may be anything
  async run(expression: string): Promise<any> {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression: string): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!await this.run(`!!(${expression})`).catch(() => false)) {
      const text = await this.run("document.body?.innerText").catch(String);
      assert(performance.now() < deadline, `never ${expression} in ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Sets the size of the window, in pixels, and whether it is dark. */
  async look(width: number, height: number, isDark: boolean): Promise<void> {
    await this.call("Emulation.setDeviceMetricsOverride", {
      ...{ width, height, deviceScaleFactor: 1, mobile: width < 600 },
    });
    await this.call("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: isDark ? "dark" : "light" }],
    });
  }

  /** A picture of the window, as PNG. */
  async picture(): Promise<Uint8Array<ArrayBuffer>> {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    return Uint8Array.fromBase64(data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#socket.close();
    await closed;
    for (const { promise, reject } of this.#waiting.values()) {
      promise.catch(() => {});
      reject(new Error("the tab is closed"));
    }
    await this.#browser[Symbol.asyncDispose]();
  }

  #onMessage({ id, method, params, result, error }: Message): void {
    if (id !== undefined) {
      const answer = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) answer?.resolve(result);
      else answer?.reject(new Error(error.message));
    } else if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    else if (method === "Page.javascriptDialogOpening") {
      this.call("Page.handleJavaScriptDialog", { accept: this.agrees }).catch(() => {});
    } else if (method === "Runtime.exceptionThrown") {
      this.problems.push(JSON.stringify(params.exceptionDetails));
    } else if (method === "Log.entryAdded") this.problems.push(params.entry.text);
    else if (method === "Runtime.consoleAPICalled") this.problems.push(JSON.stringify(params.args));
  }
}
