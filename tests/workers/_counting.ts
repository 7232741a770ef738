// A service that counts its sessions in the memory that it is given: how many there are, and the most at a time.

import { workerData } from "node:worker_threads";
import type { Session } from "../../mod.ts";

const cells = workerData as Int32Array;

export default async function serve(session: Session): Promise<void> {
  const now = Atomics.add(cells, 0, 1) + 1;
  for (let most = Atomics.load(cells, 1); now > most;) {
    const before = Atomics.compareExchange(cells, 1, most, now);
    if (before === most) break;
    most = before;
  }
  try {
    await session.send("in\n");
    await session.readLine();
  } finally {
    // Before the session ends: it may count as one for a moment after that.
    Atomics.sub(cells, 0, 1);
  }
}
