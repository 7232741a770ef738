/**
 * An admin server for operators: health and readiness for load balancers, metrics for Prometheus, and a page that shows what
 * other servers do and, if it is allowed to, controls them.
 *
 * @example
 * ```ts ignore
 * import { serve } from "@parley/tcp";
 * import { serveAdmin } from "@parley/tcp/admin";
 *
 * const greeter = serve({ port: 1234 }, (session) => session.send("welcome!"));
 * serveAdmin({ port: 9090 }, { greeter }); // http://127.0.0.1:9090/
 * ```
 *
 * @module
 */

export { serveAdmin } from "./admin.ts";
export type { Admin, AdminOptions, LogLevelControl } from "./options.ts";
export type { ServedBy } from "./servers.ts";
export type { Logger } from "../_internal/logging.ts";
