/**
 * Modules of Node that are loaded when they are first needed. Together they take 1.6 MiB of memory and up to 30 ms, and a
 * program without TLS, Unix sockets and `node:net` needs none of them.
 */

import process from "node:process";

type Crypto = typeof import("node:crypto");
type Fs = typeof import("node:fs");
type Net = typeof import("node:net");
type Stream = typeof import("node:stream");
type TimersPromises = typeof import("node:timers/promises");
type Tls = typeof import("node:tls");
type Url = typeof import("node:url");

/** The modules, by their names. */
export const lazy = {
  get crypto(): Crypto {
    return process.getBuiltinModule("node:crypto");
  },
  get fs(): Fs {
    return process.getBuiltinModule("node:fs");
  },
  get net(): Net {
    return process.getBuiltinModule("node:net");
  },
  get stream(): Stream {
    return process.getBuiltinModule("node:stream");
  },
  get timersPromises(): TimersPromises {
    return process.getBuiltinModule("node:timers/promises");
  },
  get tls(): Tls {
    return process.getBuiltinModule("node:tls");
  },
  get url(): Url {
    return process.getBuiltinModule("node:url");
  },
};
