import { CHARTS } from "./charts.ts";
import { ELEMENTS } from "./elements.ts";
import { SESSIONS } from "./sessions.ts";

const STATE = String.raw`
const KEPT = 1800; // samples of two seconds: an hour
let about = { servers: [] }; // what /servers.json has said
let chosen; // the name of the server
let now; // its last news
let history = []; // its samples
let query = { state: "open", sort: "id", order: "desc", search: "", offset: 0 };

async function fetchJson(path) {
  const response = await fetch(path);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
`;

const MAIN = String.raw`
// ---- Tiles, counts, workers, certificates

function drawTiles() {
  const { sample } = now;
  const before = history.at(-2);
  const tiles = [
    [count(sample.active), "open sessions"],
    [rate(growth("started")(sample, before)), "begun"],
    [count(sample.ended), "ended"],
    [count(sample.refused), "refused", sample.refused > 0 ? "warn" : ""],
    [count(sample.errors), "errors", sample.errors > 0 ? "bad" : ""],
    [speed(growth("bytesRead")(sample, before)), "in"],
    [speed(growth("bytesWritten")(sample, before)), "out"],
    [count(sample.blocked), "blocked", sample.blocked > 0 ? "warn" : ""],
    [late(sample.lateness), "event loop late", sample.lateness > 100 ? "warn" : ""],
    [size(sample.rss), "memory"],
  ];
  $("tiles").replaceChildren(...tiles.map(([value, name, className]) => {
    const tile = element("div", undefined, "tile");
    tile.append(element("b", value, className), element("span", name));
    return tile;
  }));
}

function drawCounts(id, counts) {
  const found = Object.entries(counts).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  $(id).replaceChildren(...(found.length ? found : [["none", ""]]).flatMap(([name, n]) =>
    [element("dt", name), element("dd", n === "" ? "" : count(n))]
  ));
}

function beginWorkers() {
  const { workers } = now;
  const lines = (key) => workers.map((_, n) => ["#" + n, (sample) => sample[key][n] ?? 0]);
  workersCharts = workers.length === 0 ? [] : [
    { title: "Sessions of each", format: count, lines: lines("workers") },
    { title: "Heap of each", format: size, lines: lines("workersHeap") },
    { title: "Lateness of each", format: late, lines: lines("workersLateness") },
  ];
  $("workers-chart").replaceChildren(...workersCharts.map(makeChart));
  for (const { area, paths, keys } of workersCharts) {
    area.remove();
    workers.forEach((_, n) => {
      const colour = "hsl(" + Math.round(n * 360 / workers.length + 215) % 360 + " 65% 50%)";
      paths[n].style.stroke = keys[n].style.color = colour;
    });
  }
}

function drawWorkers() {
  $("workers-panel").hidden = now.workers.length === 0;
  if (now.workers.length === 0) return;
  const head = element("tr");
  head.append(...["worker", "state", "sessions", "heap", "late", "deaths"].map((name) => element("th", name)));
  $("workers").tHead.replaceChildren(head);
  $("workers").tBodies[0].replaceChildren(...now.workers.map(({ worker, state, active, deaths }, n) => {
    const row = element("tr");
    row.append(element("td", worker), element("td", state, state === "serving" ? "" : "bad"));
    const lateness = now.sample.workersLateness[n] ?? 0;
    row.append(element("td", count(active)), element("td", size(now.sample.workersHeap[n] ?? 0)));
    row.append(element("td", late(lateness), lateness > 100 ? "warn" : ""));
    row.append(element("td", count(deaths), deaths > 0 ? "warn" : ""));
    return row;
  }));
}

function drawCertificates() {
  const { certificates } = about.servers.find(({ name }) => name === chosen);
  $("certificates-panel").hidden = certificates.length === 0;
  $("certificates").replaceChildren(...certificates.map(({ subject, names, daysLeft, validTo }) => {
    const item = element("li");
    const left = daysLeft < 0 ? "has expired" : daysLeft === 1 ? "1 day left" : count(daysLeft) + " days left";
    item.append(element("b", left, daysLeft < 7 ? "bad" : daysLeft < 30 ? "warn" : ""));
    item.append(" until " + validTo.slice(0, 10), element("br"), subject, element("br"));
    item.append(element("span", names.join(", "), "quiet"));
    return item;
  }));
}

// ---- Control

function tell(problem) {
  $("outcome").textContent = problem.message ?? problem;
}

async function control(action, body) {
  const token = $("token").value;
  const response = await fetch("/control/" + action, {
    method: "POST",
    headers: { "content-type": "application/json", ...(token && { authorization: "Bearer " + token }) },
    body: JSON.stringify({ server: chosen, ...body }),
  });
  const answer = await response.json();
  tell(answer.done ?? answer.error);
  await loadSessions();
}

// ---- News

function drawNow() {
  $("state").textContent = now.unready ?? "ready";
  $("state").className = "badge " + (now.unready ? "bad" : "good");
  $("address").textContent = now.address;
  document.title = chosen + " · " + count(now.active) + " sessions";
  drawTiles();
  drawCounts("ends", now.ends);
  drawCounts("refusals", now.refusals);
  drawWorkers();
  drawCharts();
}

async function choose(name) {
  chosen = name;
  for (const button of $("servers").children) {
    button.setAttribute("aria-pressed", button.textContent === name);
  }
  const columns = await fetchJson("/history.json?server=" + encodeURIComponent(name));
  history = columns.time.map((_, at) => {
    const sample = {};
    for (const key in columns) sample[key] = columns[key][at];
    return sample;
  });
  now = { ...about.servers.find((server) => server.name === name), sample: history.at(-1) };
  beginWorkers();
  drawNow();
  drawCertificates();
  change({});
}

let heard = 0;
function onNews(news) {
  const mine = news.find(({ name }) => name === chosen);
  if (mine === undefined || !now) return;
  now = mine;
  if (history.at(-1)?.time !== mine.sample.time) history.push(mine.sample);
  if (history.length > KEPT) history.shift();
  if (document.hidden) return; // it is drawn when it is looked at
  drawNow();
  if (++heard % 2 === 0) loadSessions().catch(tell);
}

async function begin() {
  about = await fetchJson("/servers.json");
  const names = about.servers.map(({ name }) => name);
  $("servers").replaceChildren(...names.map((name) => element("button", name)));
  $("control").hidden = !about.control;
  $("token-row").hidden = !about.needsToken;
  $("level-row").hidden = !about.logLevels;
  $("level").replaceChildren(...(about.logLevels ?? []).map((one) => element("option", one)));
  if (about.logLevel) $("level").value = about.logLevel;
  $("footer").textContent = about.runtime;
  await choose(names.includes(chosen) ? chosen : names[0]);
}

$("charts").append(...CHARTS.map(makeChart));
$("servers").addEventListener("click", ({ target }) => {
  if (target.tagName === "BUTTON") choose(target.textContent).catch(tell);
});
$("open").addEventListener("click", () => change({ state: "open", sort: "id", order: "desc" }));
$("ended").addEventListener("click", () => change({ state: "ended", sort: "endedAt", order: "desc" }));
$("search").addEventListener("input", () => change({ search: $("search").value }));
$("previous").addEventListener("click", () => change({ offset: Math.max(0, query.offset - LIMIT) }));
$("next").addEventListener("click", () => change({ offset: query.offset + LIMIT }));
$("sessions").addEventListener("click", ({ target }) => {
  const { sort, end, worker } = target.dataset;
  if (sort) change({ sort, order: query.sort === sort && query.order === "desc" ? "asc" : "desc" });
  if (end && confirm("End session " + end + "?")) {
    control("end", { id: Number(end), ...(worker && { worker: Number(worker) }) }).catch(tell);
  }
});
$("control").addEventListener("click", ({ target }) => {
  const { action } = target.dataset;
  if (!action) return;
  if (action === "drain" && !confirm("Drain " + chosen + "? It does not accept again.")) return;
  control(action).catch(tell);
});
$("token-row").addEventListener("submit", (event) => event.preventDefault());
$("level").addEventListener("change", () => control("log-level", { level: $("level").value }).catch(tell));
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !now) return;
  drawNow();
  loadSessions().catch(tell);
});

const events = new EventSource("/events");
events.onopen = () => begin().catch(tell); // also after the connection was lost
events.onmessage = ({ data }) => onNews(JSON.parse(data));
events.onerror = () => {
  $("state").textContent = "no connection";
  $("state").className = "badge bad";
};
`;

/** What the page does. All that comes from servers is shown as text, never as markup. */
export const SCRIPT: string = '"use strict";\n' + ELEMENTS + STATE + CHARTS + SESSIONS + MAIN;
