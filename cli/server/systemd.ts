/** The server as a service of systemd. */

import {
  listenFd,
  type ListenFdOptions,
  type Logger,
  type ServeOptions,
  type ServerObserver,
  serviceNotifier,
} from "../../mod.ts";

/** Takes the socket of systemd, and adds an observer that tells systemd about the server. */
export function systemdOptions(
  socket: ListenFdOptions,
  { observer, logger }: ServeOptions,
): ServeOptions {
  const listener = listenFd(socket);
  return { listener, observer: { ...observer, ...systemdObserver(logger!) } };
}

/** Tells systemd when the server is ready and when it stops, and its watchdog in between, if it wants to know. */
function systemdObserver(logger: Logger): ServerObserver {
  const onError = (error: unknown): void => {
    const problem = (error as Error).message;
    logger.error(`cannot tell systemd about this server: ${problem}`, { problem });
  };
  const notifier = serviceNotifier({ onError });
  return {
    onStateChange(state): void {
      if (state === "listening") notifier.ready().catch(onError);
      if (state === "lame-duck" || state === "draining") notifier.stopping().catch(onError);
    },
  };
}
