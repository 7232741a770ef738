/** The known options of `serve()`, with checks for those that are not checked elsewhere. */

import {
  checkBoolean,
  checkFunction,
  checkMethods,
  checkObject,
  checkSignal,
} from "../_internal/checks.ts";
import { checkLogger } from "../_internal/logging.ts";
import {
  type Check,
  elsewhere,
  type Known,
  optionalMethods,
  within,
} from "../_internal/options.ts";
import { SESSION_OPTIONS } from "../session/options.ts";
import { TLS_SERVER_OPTIONS } from "../transport/tls/options.ts";
import type { ServerObserver } from "./observer.ts";
import { SESSION_RATE } from "./session_rates.ts";
import type { ServeOptions, ServerTlsOptions } from "./options.ts";

export const SERVER_TLS_OPTIONS: Known<ServerTlsOptions> = {
  ...TLS_SERVER_OPTIONS,
  mode: elsewhere,
};

export const checkObserver: Check = optionalMethods<ServerObserver>([
  "onStateChange",
  "onSessionStart",
  "onSessionEnd",
  "onRefusal",
  "onMemoryPressure",
  "onAcceptError",
  "onHandlerError",
]);

export const SERVE_OPTIONS: Known<ServeOptions> = {
  ...SESSION_OPTIONS,
  hostname: elsewhere,
  port: elsewhere,
  path: elsewhere,
  mode: elsewhere,
  fd: elsewhere,
  transport: elsewhere,
  listener: checkListener,
  tcpBacklog: elsewhere,
  reusePort: checkBoolean,
  noDelay: checkBoolean,
  keepAlive: elsewhere,
  maxSessions: elsewhere,
  overload: elsewhere,
  maxSessionsPerAddress: elsewhere,
  ipv6PrefixLength: elsewhere,
  sessionRate: within(SESSION_RATE),
  maxBufferMemory: elsewhere,
  allow: elsewhere,
  deny: elsewhere,
  proxyProtocol: elsewhere,
  trusted: elsewhere,
  untrusted: elsewhere,
  proxyHeaderTimeout: elsewhere,
  maxProxyHeader: elsewhere,
  tls: within(SERVER_TLS_OPTIONS),
  handshakeTimeout: elsewhere,
  drainDelay: elsewhere,
  shutdownTimeout: elsewhere,
  signal: checkSignal,
  observer: checkObserver,
  logger: checkLogger,
  onError: checkFunction,
};

function checkListener(name: string, value: unknown): void {
  checkMethods(name, value, ["accept", "close"]);
  checkObject(`addr of ${name}`, (value as { addr?: unknown }).addr);
}
