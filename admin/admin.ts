import { checkObject } from "../_internal/checks.ts";
import { withoutPlaceholders } from "../_internal/logging.ts";
import { checkOptions } from "../_internal/options.ts";
import { runtimeName } from "../_internal/runtime.ts";
import { factsOf, stackOf } from "../_internal/thrown.ts";
import { Metrics } from "../metrics/metrics.ts";
import { serve, type Server } from "../serve/serve.ts";
import { prepare, type PreparedMessage, type Session } from "../session.ts";
import { type Address, formatAddress } from "../transport/connection.ts";
import { checkControl, checkHost, checkOrigin } from "./access.ts";
import {
  headOf,
  HttpError,
  type HttpRequest,
  type HttpResponse,
  json,
  readRequest,
  sendResponse,
  text,
} from "./http.ts";
import { accessOf, type Admin, ADMIN_OPTIONS, type AdminOptions } from "./options.ts";
import { Places } from "./places.ts";
import { columnsOf, Sampler, type Snapshot } from "./sampler.ts";
import {
  aboutCertificates,
  aboutServer,
  checkServed,
  type ServedBy,
  unreadiness,
} from "./servers.ts";
import { readQuery } from "./session_query.ts";
import { type Sessions, sessionsOf } from "./sessions.ts";
import { FILES } from "./page/files.ts";

const READ_METHODS = ["GET", "HEAD"];
/** What `Accept` consists of (RFC 9110 §12.5.1). */
const ASCII = /^[\t\x20-\x7e]*$/;
/**
 * How many may read the events at once. They stay, and must not take the places of those who ask for health and metrics. One
 * more ends the one that has read the longest: a page comes back by itself, and nobody can keep all places.
 */
const MAX_WATCHERS = 32;
/** More than there are places: the connection that has to make room is still there for a moment. */
const MAX_SESSIONS = 128;

/**
 * Starts an admin server, for operators and their tools. It answers about other servers: health, metrics, sessions, and a page
 * that shows them.
 *
 * | path | what it answers |
 * |---|---|
 * | `/` | the page |
 * | `/healthz` | 200, as long as this thread is not stuck |
 * | `/readyz` | 200, or 503 if a server drains or is suspended, or one of its workers does not serve |
 * | `/metrics` | the metrics for Prometheus |
 * | `/servers.json` | states, figures and certificates |
 * | `/history.json` | samples of the last hour, of the `server` that is named |
 * | `/sessions.json` | sessions, see below |
 * | `/events` | a sample every two seconds, as server-sent events |
 * | `/control/suspend`, `resume`, `drain`, `end`, `log-level` | by `POST`, if `control` is on |
 *
 * `/sessions.json` has sessions of the `server`: `state` is `open` or `ended`, of which the last 10,000 are remembered. It
 * is sorted by `sort` (`id`, `age`, `bytes`, `bytesRead`, `bytesWritten`, `unread`, `unsent`, `idle`, `startedAt`, `endedAt`,
 * `address` or `reason`) in the `order` `desc` or `asc`, filtered by `search`, `reason`, and minima such as `minAge` and
 * `minUnsent`, and paged by `offset` and `limit` (at most 500). In workers, a session is named by its `id` and `worker`.
 *
 * @param options Where to listen, and what is allowed.
 * @param servers The servers by name. A server that is alone is the default of `server`.
 * @returns The admin server.
 * @throws {TypeError | RangeError} If an option is invalid, or a server is not one of `serve()` or `serveWorkers()`.
 * @throws {Deno.errors.AddrInUse} If the port is in use. Other errors of listening are thrown as well.
 *
 * @example
 * ```ts
 * import { type NetAddr, serve } from "@parley/tcp";
 * import { serveAdmin } from "@parley/tcp/admin";
 * import { assertEquals } from "@std/assert";
 *
 * await using greeter = serve({ port: 0 }, (session) => session.send("welcome!"));
 * await using admin = serveAdmin({ port: 0 }, { greeter });
 * const { port } = admin.addr as NetAddr;
 * const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
 * assertEquals([ready.status, await ready.text()], [200, "ready\n"]);
 * ```
 */
export function serveAdmin(
  options: AdminOptions,
  servers: Readonly<Record<string, ServedBy>>,
): Admin {
  return new AdminServer(options, servers);
}

class AdminServer implements Admin {
  readonly #options: AdminOptions;
  readonly #access: ReturnType<typeof accessOf>;
  readonly #servers: ReadonlyMap<string, ServedBy>;
  readonly #sessions: Map<string, Sessions> = new Map();
  readonly #metrics: Pick<Metrics, "handler">;
  readonly #http: Server;
  readonly #sampler: Sampler;
  readonly #places: Places = new Places();
  readonly #watchers: Set<Session> = new Set();
  /** The last event. */
  #news: PreparedMessage = prepare("");

  constructor(options: AdminOptions, servers: Readonly<Record<string, ServedBy>>) {
    checkOptions(options, ADMIN_OPTIONS);
    checkObject("servers", servers);
    const entries = Object.entries(servers);
    if (entries.length === 0) {
      throw new TypeError("servers must have a server by its name, such as { greet: server }");
    }
    for (const [name, server] of entries) checkServed(name, server);
    this.#options = options;
    this.#access = accessOf(options);
    this.#servers = new Map(entries);
    this.#metrics = options.metrics ?? metricsOf(entries);
    const { hostname, port, path, mode, transport } = options;
    this.#http = serve({
      ...(hostname !== undefined && { hostname }),
      ...(port !== undefined && { port }),
      ...(path !== undefined && { path }),
      ...(mode !== undefined && { mode }),
      ...(transport !== undefined && { transport }),
      maxSessions: MAX_SESSIONS,
      idleTimeout: 60_000,
      frameTimeout: 10_000,
      writeTimeout: 10_000,
      shutdownTimeout: 1_000,
      observer: {
        onHandlerError: (error) =>
          options.logger?.error(`admin: ${withoutPlaceholders(stackOf(error))}`, {
            error: factsOf(error),
          }),
      },
    }, (session) => this.#handle(session));
    for (const [name, server] of entries) this.#sessions.set(name, sessionsOf(server));
    this.#sampler = new Sampler(this.#servers, (snapshots) => this.#onSample(snapshots));
    const closings = entries.map(([, server]) => server.finished);
    Promise.allSettled(closings).then(() => this.close());
  }

  get addr(): Address {
    return this.#http.addr;
  }

  get listening(): Promise<Address> {
    return this.#http.listening;
  }

  close(): Promise<void> {
    this.#sampler.stop();
    for (const sessions of this.#sessions.values()) sessions.stop();
    return this.#http.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #handle(session: Session): Promise<void> {
    let method = "GET";
    let response: HttpResponse;
    this.#places.enter(session);
    try {
      const request = await readRequest(session);
      if (request === undefined) return;
      this.#places.hold(session);
      ({ method } = request);
      checkHost(request, this.#access);
      if (request.path === "/events") return await this.#sendEvents(session, request);
      response = await this.#answer(request, session);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      response = json({ error: error.message }, error.status);
    }
    this.#places.release(session);
    await sendResponse(session, response, method);
  }

  #answer(request: HttpRequest, session: Session): HttpResponse | Promise<HttpResponse> {
    const { method, path, query } = request;
    if (path.startsWith("/control/")) return this.#control(request, session);
    if (!READ_METHODS.includes(method)) throw new HttpError(405, "use GET");
    const file = FILES[path];
    if (file !== undefined) return { status: 200, ...file };
    switch (path) {
      case "/healthz":
        return text("ok");
      case "/readyz":
        return this.#readiness();
      case "/metrics":
        return this.#scrape(request);
      case "/servers.json":
        return json(this.#about());
      case "/history.json":
        return json(columnsOf(this.#sampler.history(this.#named(query.get("server")))));
      case "/sessions.json":
        return this.#page(query);
    }
    throw new HttpError(404, "there is no such path");
  }

  #readiness(): HttpResponse {
    const problems = [...this.#servers].flatMap(([name, server]) => {
      const problem = unreadiness(server);
      return problem === undefined ? [] : [`${name} ${problem}`];
    });
    return problems.length === 0 ? text("ready") : text(problems.join("\n"), 503);
  }

  async #scrape({ headers }: HttpRequest): Promise<HttpResponse> {
    const accept = headers.get("accept");
    if (accept !== undefined && !ASCII.test(accept)) {
      throw new HttpError(400, "the Accept is malformed");
    }
    const request = new Request("http://localhost/metrics", {
      headers: accept === undefined ? {} : { accept },
    });
    const response = await this.#metrics.handler(request);
    const type = response.headers.get("content-type") ?? "text/plain";
    return { status: response.status, type, body: await response.text() };
  }

  #about(): Record<string, unknown> {
    const { logLevel } = this.#options;
    const { control, token } = this.#access;
    return {
      servers: [...this.#servers].map(([name, server]) => ({
        ...aboutServer(name, server, server.stats()),
        certificates: aboutCertificates(server),
      })),
      control,
      needsToken: token !== undefined,
      ...(logLevel && { logLevel: logLevel.level, logLevels: logLevel.levels }),
      runtime: runtimeName(),
    };
  }

  async #sendEvents(session: Session, request: HttpRequest): Promise<void> {
    if (request.method !== "GET") throw new HttpError(405, "use GET");
    checkOrigin(request); // or any page that somebody looks at could end the readers
    const [oldest] = this.#watchers;
    if (oldest !== undefined && this.#watchers.size === MAX_WATCHERS) {
      this.#watchers.delete(oldest);
      oldest.abort(new Error(`more than ${MAX_WATCHERS} read the events`));
    }
    session.send(headOf({ status: 200, type: "text/event-stream" }));
    session.send(this.#news);
    this.#watchers.add(session);
    try {
      for await (const _ of session); // until the page or this server is closed
    } finally {
      this.#watchers.delete(session);
    }
  }

  #onSample(snapshots: readonly Snapshot[]): void {
    const news = snapshots.map(({ name, server, stats, sample }) => ({
      ...aboutServer(name, server, stats),
      sample,
    }));
    this.#news = prepare(`data: ${JSON.stringify(news)}\n\n`);
    // One that does not read them is ended by writeTimeout, or by maxBufferedOutput.
    for (const watcher of this.#watchers) watcher.send(this.#news);
  }

  /** The name of a server, which may be left out if there is only one. */
  #named(name: string | null): string {
    const found = name ?? (this.#servers.size === 1 ? [...this.#servers.keys()][0]! : "");
    if (!this.#servers.has(found)) throw new HttpError(404, "there is no server of this name");
    return found;
  }

  async #page(query: URLSearchParams): Promise<HttpResponse> {
    const sessions = this.#sessions.get(this.#named(query.get("server")))!;
    return json(await sessions.page(readQuery(query)));
  }

  async #control(request: HttpRequest, session: Session): Promise<HttpResponse> {
    if (request.method !== "POST") throw new HttpError(405, "use POST");
    checkControl(request, this.#access);
    const action = request.path.slice("/control/".length);
    const body = bodyOf(request);
    const done = await this.#act(action, body);
    const from = formatAddress(session.remoteAddr);
    this.#options.logger?.info(`admin at ${from}: ${done}`, { action, from });
    return json({ done });
  }

  #act(action: string, body: Record<string, unknown>): string | Promise<string> {
    if (action === "log-level") return this.#setLogLevel(body.level);
    const name = this.#named(typeof body.server === "string" ? body.server : null);
    const server = this.#servers.get(name)!;
    switch (action) {
      case "suspend":
        server.suspend();
        return `${name} was suspended`;
      case "resume":
        server.resume();
        return `${name} was resumed`;
      case "drain":
        server.shutdown().catch(() => {}); // `finished` reports it
        return `${name} drains`;
      case "end":
        return this.#end(name, body);
    }
    throw new HttpError(404, "there is no such action");
  }

  async #end(name: string, { id, worker }: Record<string, unknown>): Promise<string> {
    const isNumber = typeof id === "number" && (worker === undefined || typeof worker === "number");
    if (!isNumber || !await this.#sessions.get(name)!.end(id, worker as number | undefined)) {
      throw new HttpError(404, "there is no such open session");
    }
    const where = worker === undefined ? "" : ` of worker ${worker}`;
    return `session ${id}${where} of ${name} was ended`;
  }

  #setLogLevel(level: unknown): string {
    const { logLevel } = this.#options;
    if (logLevel === undefined) throw new HttpError(404, "the log level cannot be changed");
    if (typeof level !== "string" || !logLevel.levels.includes(level)) {
      throw new HttpError(400, `level must be one of ${logLevel.levels.join(", ")}`);
    }
    logLevel.level = level;
    return `the log level is ${level}`;
  }
}

function metricsOf(servers: readonly (readonly [string, ServedBy])[]): Metrics {
  const metrics = new Metrics();
  for (const [name, server] of servers) metrics.addServer(name, server);
  return metrics;
}

function bodyOf({ body }: HttpRequest): Record<string, unknown> {
  if (body === "") return {};
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch { /* it is refused below */ }
  throw new HttpError(400, "the body must be an object in JSON");
}
