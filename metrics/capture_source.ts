/** What the figures of a capture are as metrics. */

import type { CaptureStats } from "../capture/capture.ts";
import type { Take } from "./definitions.ts";

/** What metrics use of a capture. */
export interface MeasuredCapture {
  /**
   * Returns its figures.
   *
   * @returns The figures.
   */
  stats(): CaptureStats;
}

/** Gives the values of a capture. */
export function takeCapture(stats: CaptureStats, take: Take): void {
  take("parley.capture.sessions", stats.sessions);
  take("parley.capture.packets", stats.packets);
  take("parley.capture.dropped_packets", stats.droppedPackets);
  take("parley.capture.written", stats.bytesWritten);
  take("parley.capture.files", stats.files);
}
