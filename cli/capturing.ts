/** `--capture` of both programs. */

import { type Capture, openCapture } from "../capture/mod.ts";
import { systemErrors } from "../mod.ts";
import { writeError } from "./program.ts";

/** What a capture holds. */
export function captureWarning(file: string): string {
  return `--capture ${file} holds all that is sent and received, also within TLS, and passwords`;
}

/** Opens the file of `--capture`. `tell` is told if it cannot be written any more. */
export function captureInto(file: string, tell: (problem: string) => void): Capture {
  const name = `--capture ${file}`;
  try {
    return openCapture(file, {
      onError: (error) => tell(`${(writeError(error, name) as Error).message}: captured no more`),
    });
  } catch (error) {
    throw error instanceof systemErrors.NotCapable ? error : writeError(error, name);
  }
}

/** Writes the rest, and tells what was not written. */
export async function endCapture(capture: Capture, tell: (problem: string) => void): Promise<void> {
  await capture.close();
  const { droppedPackets, packets } = capture.stats();
  if (droppedPackets === 0) return;
  tell(
    `--capture lacks ${droppedPackets} of ${
      packets + droppedPackets
    } packets: the file was not written in time`,
  );
}

/** The names that full files get, and that of the file. */
export function captureFiles(file: string): string[] {
  return [file, ...[1, 2, 3].map((n) => `${file}.${n}`)];
}
