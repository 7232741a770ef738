/** The files of the page. Nothing is fetched from elsewhere, and nothing has to be built. */

import type { HttpResponse } from "../http.ts";
import { HTML, ICON } from "./html.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";

/** By path. */
export const FILES: Readonly<Record<string, Omit<HttpResponse, "status">>> = {
  "/": { type: "text/html; charset=utf-8", body: HTML },
  "/icon.svg": { type: "image/svg+xml", body: ICON },
  "/page.js": { type: "text/javascript; charset=utf-8", body: SCRIPT },
  "/page.css": { type: "text/css; charset=utf-8", body: STYLE },
};
