// A module that starts itself, as one does that has forgotten its main guard.

import { serveWorkers } from "../../workers/mod.ts";

serveWorkers(import.meta.url, { port: 0 });

export default function serve(): void {}
