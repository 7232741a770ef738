// Takes the pictures of the page that docs/ shows: `deno task pictures`.

import { serveAdmin } from "../admin/mod.ts";
import { connect } from "../connect/connect.ts";
import { serve } from "../serve/serve.ts";
import type { Session } from "../session.ts";
import { TOKEN } from "./_admin.ts";
import { Tab } from "./_chromium.ts";
import { echo, portOf } from "./_serving.ts";
import { ca, localhost } from "./_tls_serving.ts";

const PICTURES = new URL("../docs/pictures/", import.meta.url);
/** How long there is traffic before the pictures are taken, in milliseconds. */
const TRAFFIC = Number(Deno.args[0] ?? 90_000);

const server = serve(
  { port: 0, tls: localhost, maxSessionsPerAddress: 150, onError: () => {} },
  echo,
);
const admin = serveAdmin({ port: 0, control: true, token: TOKEN }, { greeter: server });
const start = performance.now();
const clients: Session[] = [];
while (performance.now() - start < TRAFFIC) {
  const wave = 1.5 + Math.sin((performance.now() - start) / 8_000);
  for (let n = 0; n < wave * 3; n++) {
    try {
      clients.push(await connect({ port: portOf(server), tls: { ca, serverName: "localhost" } }));
    } catch { /* it is refused: there are too many */ }
  }
  for (const client of clients) {
    if (Math.random() < 0.5) {
      client.send(`${"rose ".repeat(Math.random() * 100)}\n`);
      client.readLine().catch(() => {});
    }
  }
  for (const client of clients.splice(0, wave * 2 + clients.length / 60)) {
    if (Math.random() < 0.1) client.abort();
    else client.close();
  }
  await new Promise((resolve) => setTimeout(resolve, 120));
}
await Deno.mkdir(PICTURES, { recursive: true });
await using tab = await Tab.open(`http://127.0.0.1:${portOf(admin)}/`);
await tab.until(`document.querySelectorAll("#sessions tbody tr").length > 5`);
for (
  const [name, width, height, isDark] of [
    ["admin_light", 1280, 1000, false],
    ["admin_dark_phone", 390, 844, true],
  ] as const
) {
  await tab.look(width, height, isDark);
  await tab.until(`innerWidth === ${width}`);
  await Deno.writeFile(new URL(`${name}.png`, PICTURES), await tab.picture());
}
for (const client of clients) client.abort();
await server.shutdown();
