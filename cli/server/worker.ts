/** What a worker of the server program serves: the module that `--workers` starts. */

import { workerData } from "node:worker_threads";
import { type Handler, logObserver, type ServerObserver } from "../../mod.ts";
import { type ServiceOptions, workerBus, workerNumber } from "../../workers/mod.ts";
import { following, type LogFormat, type LogLevel, LogLevelOf, openLog } from "./logging.ts";
import { openNats } from "./nats.ts";
import { type ServiceName, serviceOf } from "./services.ts";

/** What the program tells its workers. */
export interface WorkerPlan {
  service: ServiceName;
  delay: number;
  level: LogLevel;
  format: LogFormat;
  /** What the main thread sets the level to. */
  sharedLevel: Int32Array;
  nats: string | undefined;
}

const { service, delay, level, format, sharedLevel, nats } = workerData as WorkerPlan;
const log = openLog(level, format, workerNumber());
const logger = following(new LogLevelOf(log, level, sharedLevel));
const bus = nats === undefined ? workerBus() : await openNats(nats);
const served = serviceOf(service, delay, bus, logger);

const handler: Handler = served.handler;
export default handler;

export const options: ServiceOptions = { ...served.options, observer: ofSessions() };

/** The program itself logs the states of the server. */
function ofSessions(): ServerObserver {
  const { onStateChange: _, ...observer } = logObserver(logger);
  return observer;
}
