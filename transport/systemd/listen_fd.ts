/** The sockets that systemd opens for a service (socket activation). */

import process from "node:process";
import { checkBoolean, checkInteger, shown } from "../../_internal/checks.ts";
import { checkUnixListening, checkVersion } from "../../_internal/deno_sockets.ts";
import { checkOptions, type Known, NO_OPTIONS } from "../../_internal/options.ts";
import type { Listener } from "../connection.ts";
import { listenNode } from "../node/listen.ts";

/** The descriptor of the first socket (SD_LISTEN_FDS_START). */
const FIRST = 3;
/** How many connections may wait, where the runtime sets it: Deno leaves that of the socket. */
const BACKLOG = 511;
/** The name of sockets if `LISTEN_FDNAMES` is not set. */
const NAMELESS = "unknown";

/** Options of {@linkcode listenFd}: which of the sockets to take. */
export interface ListenFdOptions {
  /**
   * The name of the socket: `FileDescriptorName=` of its unit, by default the name of the unit, such as `greet.socket`.
   * Needed if several sockets were passed.
   */
  name?: string;
  /** Which of the sockets with that name, or of all: 0 is the first. Needed if there are several. */
  index?: number;
  /**
   * Whether output is sent at once, without Nagle's algorithm. If it is `true`, `noDelay` of `serve()` has no effect.
   *
   * @default {true}
   */
  noDelay?: boolean;
}

export const LISTEN_FD_OPTIONS: Known<ListenFdOptions> = {
  name: (name, value) => {
    if (typeof value !== "string") throw new TypeError(`${name} must be text, got ${shown(value)}`);
  },
  index: (name, value) => void checkInteger(name, value, 0, 2 ** 31),
  noDelay: checkBoolean,
};

/** The descriptors that this process has taken: a second listener would close the first one's, or a later file's. */
const taken = new Set<number>();

/**
 * Listens on a socket that systemd, or another program with the same protocol (`sd_listen_fds(3)`), has opened for this
 * process. The socket outlives the process, so clients that connect while the service is replaced wait for the next one.
 *
 * It reads `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`, for which Deno requires `--allow-env`. Listening itself
 * requires no permission. A Unix socket does not tell its path, and its file is not removed.
 *
 * @param options Which of the sockets to take, if there are several.
 * @returns The listener, for the option `listener` of `serve()`.
 * @throws {TypeError} If no socket was passed to this process, or not exactly one matches. If it is not a stream socket
 * that listens, `listening` of the server rejects.
 *
 * @example
 * ```ts ignore
 * import { listenFd, serve } from "@parley/tcp";
 *
 * serve({ listener: listenFd() }, (session) => session.send("welcome!"));
 * serve({ listener: listenFd({ name: "admin" }) }, (session) => session.send("at your service"));
 * ```
 */
export function listenFd(options: ListenFdOptions = NO_OPTIONS): Listener {
  checkOptions(options, LISTEN_FD_OPTIONS);
  const { noDelay = true } = options;
  checkVersion();
  checkUnixListening();
  const fd = choose(passedNames(), options);
  if (taken.has(fd)) {
    throw new TypeError(`descriptor ${fd} is taken already: call listenFd() once for each socket`);
  }
  taken.add(fd);
  return listenNode({ fd, backlog: BACKLOG, noDelay });
}

/** The names of the sockets, in the order of their descriptors. */
function passedNames(): string[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = process.env;
  if (!pid || !count) {
    throw new TypeError(
      "no socket was passed to this process: systemd sets LISTEN_PID and LISTEN_FDS if the service has a socket unit",
    );
  }
  if (pid !== `${process.pid}`) {
    throw new TypeError(
      `the sockets are for process ${pid} (LISTEN_PID), but this is process ${process.pid}: ` +
        "systemd must start it without another program in between",
    );
  }
  if (!/^[1-9]\d{0,3}$/.test(count)) {
    throw new TypeError(`LISTEN_FDS must be the number of sockets, got ${JSON.stringify(count)}`);
  }
  const { LISTEN_FDNAMES: list } = process.env;
  const names = list ? list.split(":") : Array<string>(Number(count)).fill(NAMELESS);
  if (names.length === Number(count)) return names;
  throw new TypeError(`LISTEN_FDS is ${count}, but LISTEN_FDNAMES is ${JSON.stringify(list)}`);
}

/** The descriptor of the socket that is asked for. */
function choose(names: string[], { name, index }: ListenFdOptions): number {
  const fds = names.flatMap((one, at) => name === undefined || one === name ? [FIRST + at] : []);
  const fd = index === undefined && fds.length > 1 ? undefined : fds[index ?? 0];
  if (fd !== undefined) return fd;
  const passed = names.map((one) => JSON.stringify(one)).join(", ");
  const wanted = name === undefined ? "socket" : `socket with the name ${JSON.stringify(name)}`;
  const problem = index === undefined && fds.length > 1
    ? `more than one ${wanted}`
    : `no ${wanted}${index === undefined ? "" : ` at index ${index}`}`;
  throw new TypeError(`there is ${problem} (${passed}): choose one by name or index`);
}
