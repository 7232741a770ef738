// The page in a real browser.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { serveAdmin } from "../../admin/mod.ts";
import { SCRIPT } from "../../admin/page/script.ts";
import { connect } from "../../connect/connect.ts";
import { serve } from "../../serve/serve.ts";
import type { Session } from "../../session.ts";
import { serveWorkers } from "../../workers/mod.ts";
import { TOKEN } from "../_admin.ts";
import { overChromium, Tab } from "../_chromium.ts";
import { ask, portOf, until } from "../_serving.ts";
import { ca, localhost, overTls } from "../_tls_serving.ts";

const MARKUP = `<img src=x onerror="document.title='owned'">`;

/** Sends lines back, and fails at one. */
async function echo(session: Session): Promise<void> {
  for await (const line of session.lines()) {
    if (line === "fail") throw new Error(MARKUP);
    await session.send(`${line}!\n`);
  }
}

Deno.test("The script of the page has no syntax that its template would change", () => {
  new Function(SCRIPT); // throws a SyntaxError
  assert(!/\$\{|\`/.test(SCRIPT));
});

Deno.test("The page shows sessions, finds them, and controls the server", {
  ...overChromium,
  ignore: overChromium.ignore || overTls.ignore,
}, async () => {
  const server = serve({ port: 0, tls: localhost, onError: () => {} }, echo);
  await using admin = serveAdmin({
    ...{ port: 0, control: true, token: TOKEN },
    logLevel: { levels: ["info", "debug"], level: "info" },
  }, { greeter: server });
  const clients: Session[] = [];
  for (let n = 0; n < 30; n++) {
    const client = await connect({ port: portOf(server), tls: { ca, serverName: "localhost" } });
    await ask(client, "x".repeat(n));
    clients.push(client);
  }
  const address = `http://127.0.0.1:${portOf(admin)}`;
  await using tab = await Tab.open(`${address}/`);
  await tab.until(`document.querySelectorAll("#sessions tbody tr").length === 25`);
  const text = (selector: string): Promise<string> =>
    tab.run(`document.querySelector(${JSON.stringify(selector)}).innerText`);
  assertEquals(await text("#state"), "ready");
  assertEquals(await text("#matching"), "30");
  assertEquals(await text("#page"), "1 to 25");
  assertStringIncludes(await text("#sessions"), "TLSv1.3 localhost");
  await tab.until(`$("tiles").innerText.includes("30\\nopen sessions")`);
  assertStringIncludes(await text("#certificates"), "1 day left");

  await tab.run(`$("next").click()`);
  await tab.until(`$("page").textContent === "26 to 30"`);
  await tab.run(`document.querySelector('[data-sort="bytesRead"]').click()`);
  await tab.until(`document.querySelector("#sessions tbody td").textContent === "30"`);
  await tab.run(`$("search").value = "#12 "; $("search").dispatchEvent(new Event("input"))`);
  await tab.until(`$("matching").textContent === "1 of 30"`);

  // What comes from outside is text.
  await clients[0]!.send("fail\n");
  await until(() => server.stats().active === 29);
  await tab.run(
    `$("search").value = "onerror"; $("ended").click(); $("search").dispatchEvent(new Event("input"))`,
  );
  await tab.until(`$("sessions").innerText.includes("<img")`);
  assertEquals(await tab.run(`document.querySelectorAll("img").length`), 0);
  await tab.until(`$("ends").innerText.includes("error")`);

  const control = async (code: string, outcome: string) => {
    await tab.run(code);
    await tab.until(`$("outcome").textContent === ${JSON.stringify(outcome)}`);
  };
  await control(
    `document.querySelector('[data-action="suspend"]').click()`,
    "the token is missing or wrong",
  );
  assertEquals(server.state, "listening");
  await control(
    `$("token").value = "${TOKEN}"; document.querySelector('[data-action="suspend"]').click()`,
    "greeter was suspended",
  );
  assertEquals(server.state, "suspended");
  await tab.until(`$("state").textContent === "is suspended"`);
  await control(`document.querySelector('[data-action="resume"]').click()`, "greeter was resumed");
  await control(
    `$("level").value = "debug"; $("level").dispatchEvent(new Event("change"))`,
    "the log level is debug",
  );
  await tab.run(
    `$("search").value = "#30 "; $("open").click(); $("search").dispatchEvent(new Event("input"))`,
  );
  await tab.until(`document.querySelector("[data-end='30']")`);
  await control(
    `document.querySelector("[data-end='30']").click()`,
    "session 30 of greeter was ended",
  );
  await until(() => server.stats().active === 28);

  // It fits on screens of all sizes, in both schemes, and fetches nothing from elsewhere.
  for (const [width, isDark] of [[360, true], [800, false], [1400, true]] as const) {
    await tab.look(width, 800, isDark);
    await tab.until(`innerWidth === ${width}`);
    assert(await tab.run(`document.documentElement.scrollWidth <= innerWidth`), `${width} px`);
    const cut =
      `[...document.querySelectorAll(".tile b")].filter((b) => b.scrollWidth > b.clientWidth)`;
    assertEquals(await tab.run(`${cut}.length`), 0, `${width} px`);
    const ground = await tab.run(`getComputedStyle(document.body).backgroundColor`);
    assertEquals(ground, isDark ? "rgb(16, 20, 27)" : "rgb(245, 246, 248)");
  }
  assert((await tab.picture()).length > 10_000);
  assertEquals(
    tab.requests.filter((url) => !url.startsWith(`${address}/`) && url !== "about:blank"),
    [],
  );
  // The browser logs the refusal of the wrong token itself.
  assertEquals(tab.problems.filter((problem) => !problem.includes("401")), []);
  assertStringIncludes(await tab.run("document.title"), "greeter");
  for (const client of clients) client.abort();
  await server.shutdown();
  await tab.until(`$("state").textContent === "no connection"`);
});

Deno.test("The page shows workers, and the server that is chosen of several", {
  ...overChromium,
  ignore: overChromium.ignore || Deno.build.os !== "linux",
}, async () => {
  const module = new URL("../workers/_service.ts", import.meta.url);
  await using crowd = serveWorkers(module, { port: 0, workers: 2 });
  await using single = serve({ port: 0 }, echo);
  await using admin = serveAdmin({ port: 0 }, { crowd, single });
  await crowd.listening;
  const client = await connect({ port: portOf(crowd) });
  await ask(client, "thread");
  await using tab = await Tab.open(`http://127.0.0.1:${portOf(admin)}/`);
  await tab.until(`document.querySelectorAll("#sessions tbody tr").length === 1`);
  assertEquals(await tab.run(`document.querySelector("#sessions th").textContent`), "worker");
  await tab.until(`document.querySelectorAll("#workers tbody tr").length === 2`);
  await tab.until(`document.querySelectorAll("#workers-chart path[d^='M']").length === 6`);
  await tab.until(`/^\\d+(\\.\\d)? ms$/.test($("workers").rows[1].cells[4].textContent)`);
  assertEquals(await tab.run(`$("control").hidden`), true);
  await tab.run(`[...$("servers").children][1].click()`);
  await tab.until(`document.title.startsWith("single") && $("workers-panel").hidden`);
  await tab.until(`$("page").textContent === "none"`);
  assertEquals(tab.problems, []);
  client.abort();
});
