/** What the page does. All that comes from servers is shown as text, never as markup. */
export const SCRIPT: string = String.raw`"use strict";
const $ = (id) => document.getElementById(id);
const KEPT = 1800; // samples of two seconds: an hour
const POINTS = 240; // of a chart
const SVG = "http://www.w3.org/2000/svg";

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function drawing(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return made;
}

// Numbers for people.
function count(value) {
  return Math.round(value).toLocaleString("en");
}
function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes, unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return (unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)) + " " + units[unit];
}
function duration(ms) {
  if (ms < 1000) return Math.round(ms) + " ms";
  const s = Math.floor(ms / 1000);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}
const rate = (value) => (value < 10 ? value.toFixed(1) : count(value)) + "/s";
const speed = (value) => size(value) + "/s";
const late = (value) => value.toFixed(value < 10 ? 1 : 0) + " ms";

let about = { servers: [] }; // what /servers.json has said
let chosen; // the name of the server
let now; // its last news
let history = []; // its samples
let query = { state: "open", sort: "id", order: "desc", search: "", offset: 0 };
const LIMIT = 25;

async function fetchJson(path) {
  const response = await fetch(path);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// ---- Charts

// How much a count has grown per second between two samples.
const growth = (key) => (sample, before) =>
  before ? Math.max(0, sample[key] - before[key]) / Math.max(0.001, (sample.time - before.time) / 1000) : 0;
const level = (key) => (sample) => sample[key];

const CHARTS = [
  { title: "Sessions", format: count, lines: [["open", level("active")]] },
  { title: "Begun and ended", format: rate, lines: [["begun", growth("started")], ["ended", growth("ended")]] },
  { title: "Refused", format: rate, lines: [["refused", growth("refused")], ["errors", growth("errors")]] },
  { title: "Traffic", format: speed, lines: [["in", growth("bytesRead")], ["out", growth("bytesWritten")]] },
  { title: "Lateness of the event loop", format: late, lines: [["at most", level("lateness")]] },
  { title: "Memory", format: size, lines: [["resident", level("rss")], ["heap", level("heap")]] },
  { title: "Buffers", format: size, lines: [["held", level("held")], ["unsent", level("unsent")]] },
  { title: "Writes that wait for clients", format: count, lines: [["blocked", level("blocked")]] },
];
let workersChart; // of the chosen server, if it has workers

function makeChart(chart) {
  const figure = element("figure", undefined, "chart");
  const caption = element("figcaption", chart.title);
  const keys = element("span");
  chart.keys = chart.lines.map(([name], n) => {
    const key = element("span", name, n ? "key other" : "key");
    keys.append(key, " ");
    return key;
  });
  caption.append(keys);
  const svg = drawing("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" });
  for (const y of [0, 50, 100]) svg.append(drawing("line", { x1: 0, x2: 100, y1: y, y2: y }));
  chart.area = drawing("path", { class: "area" });
  svg.append(chart.area);
  chart.paths = chart.lines.map((_, n) => {
    const path = drawing("path", n ? { class: "other" } : {});
    svg.append(path);
    return path;
  });
  chart.svg = svg;
  const scale = element("div", undefined, "scale");
  chart.from = element("span");
  chart.most = element("span");
  scale.append(chart.from, chart.most, element("span", "now"));
  figure.append(caption, svg, scale);
  return figure;
}

// The highest value of each of the chart's points, so that no short peak is lost.
function pointsOf(value) {
  const per = Math.max(1, Math.ceil(history.length / POINTS));
  const points = [];
  for (let at = 0; at < history.length; at += per) {
    let most = 0;
    for (let n = at; n < Math.min(at + per, history.length); n++) {
      most = Math.max(most, value(history[n], history[n - 1]));
    }
    points.push(most);
  }
  return points;
}

function drawCharts() {
  const span = history.length > 1 ? history.at(-1).time - history[0].time : 0;
  for (const chart of workersChart ? [...CHARTS, workersChart] : CHARTS) {
    const all = chart.lines.map(([, value]) => pointsOf(value));
    const most = Math.max(...all.flat(), 0);
    all.forEach((points, n) => {
      const step = points.length > 1 ? 100 / (points.length - 1) : 0;
      const line = points.map((value, at) =>
        (at * step).toFixed(2) + "," + (most ? 100 - value / most * 96 : 100).toFixed(2)
      ).join("L");
      chart.paths[n].setAttribute("d", points.length ? "M" + line : "");
      if (n === 0) chart.area.setAttribute("d", points.length ? "M0,100L" + line + "L100,100Z" : "");
      const last = history.length ? chart.lines[n][1](history.at(-1), history.at(-2)) : 0;
      chart.keys[n].textContent = chart.lines[n][0] + " " + chart.format(last);
    });
    chart.from.textContent = span ? duration(span) + " ago" : "";
    chart.most.textContent = "at most " + chart.format(most);
    chart.svg.setAttribute("aria-label", chart.title + ", at most " + chart.format(most));
  }
}

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
  $("workers-chart").replaceChildren();
  workersChart = undefined;
  if (workers.length === 0) return;
  const lines = workers.map((_, n) => ["#" + n, (sample) => sample.workers[n] ?? 0]);
  workersChart = { title: "Sessions of each", format: count, lines };
  $("workers-chart").append(makeChart(workersChart));
  workersChart.area.remove();
  workers.forEach((_, n) => {
    const colour = "hsl(" + Math.round(n * 360 / workers.length + 215) % 360 + " 65% 50%)";
    workersChart.paths[n].style.stroke = workersChart.keys[n].style.color = colour;
  });
}

function drawWorkers() {
  $("workers-panel").hidden = now.workers.length === 0;
  if (now.workers.length === 0) return;
  const head = element("tr");
  head.append(...["worker", "state", "sessions", "deaths"].map((name) => element("th", name)));
  $("workers").tHead.replaceChildren(head);
  $("workers").tBodies[0].replaceChildren(...now.workers.map(({ worker, state, active, deaths }) => {
    const row = element("tr");
    row.append(element("td", worker), element("td", state, state === "serving" ? "" : "bad"));
    row.append(element("td", count(active)), element("td", count(deaths), deaths > 0 ? "warn" : ""));
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

// ---- Sessions

const OPEN = [
  ["id", "#"], ["address", "address"], ["age", "age"], ["bytesRead", "in"], ["bytesWritten", "out"],
  ["unsent", "unsent"], ["idle", "idle"], ["tls", "TLS"],
];
const ENDED = [
  ["id", "#"], ["address", "address"], ["age", "lasted"], ["bytesRead", "in"], ["bytesWritten", "out"],
  ["endedAt", "ended"], ["reason", "reason"], ["cause", "cause"],
];
const TEXTS = ["address", "tls", "reason", "cause"];
const UNSORTED = ["tls", "cause", "worker"];

function cell(session, key) {
  const value = session[key];
  if (value === undefined) return "";
  if (key === "age" || key === "idle") return duration(value);
  if (key === "bytesRead" || key === "bytesWritten" || key === "unsent") return size(value);
  if (key === "endedAt") return new Date(value).toLocaleTimeString("en-GB");
  return String(value);
}

function drawSessions({ sessions, matching, total }) {
  const columns = [...(query.state === "open" ? OPEN : ENDED)];
  if (now.workers.length > 0) columns.unshift(["worker", "worker"]);
  const head = element("tr");
  for (const [key, title] of columns) {
    const th = element("th", undefined, TEXTS.includes(key) ? "text" : "");
    if (UNSORTED.includes(key)) th.textContent = title;
    else {
      const button = element("button", title);
      button.dataset.sort = key;
      th.append(button);
      if (query.sort === key) th.setAttribute("aria-sort", query.order === "asc" ? "ascending" : "descending");
    }
    head.append(th);
  }
  if (about.control && query.state === "open") head.append(element("th", ""));
  const focused = document.activeElement?.dataset?.sort;
  $("sessions").tHead.replaceChildren(head);
  if (focused) $("sessions").tHead.querySelector('[data-sort="' + focused + '"]')?.focus();
  $("sessions").tBodies[0].replaceChildren(...sessions.map((session) => {
    const row = element("tr");
    for (const [key] of columns) {
      const td = element("td", cell(session, key), TEXTS.includes(key) ? "text" : "");
      if (key === "tls" && session.subject) td.textContent += " " + session.subject;
      td.title = td.textContent;
      row.append(td);
    }
    if (about.control && query.state === "open") {
      const button = element("button", "end", "danger");
      button.dataset.end = session.id;
      if (session.worker !== undefined) button.dataset.worker = session.worker;
      const td = element("td");
      td.append(button);
      row.append(td);
    }
    return row;
  }));
  $("matching").textContent = matching === total ? count(total) : count(matching) + " of " + count(total);
  const last = query.offset + sessions.length;
  $("page").textContent = sessions.length ? count(query.offset + 1) + " to " + count(last) : "none";
  $("previous").disabled = query.offset === 0;
  $("next").disabled = last >= matching;
}

let asking = 0;
async function loadSessions() {
  const ask = ++asking;
  const parameters = new URLSearchParams({ server: chosen, limit: LIMIT, ...query });
  const page = await fetchJson("/sessions.json?" + parameters);
  if (ask === asking) drawSessions(page);
}

function change(more) {
  query = { ...query, offset: 0, ...more };
  $("open").setAttribute("aria-pressed", query.state === "open");
  $("ended").setAttribute("aria-pressed", query.state === "ended");
  loadSessions().catch(tell);
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
