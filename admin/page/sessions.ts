/** The table of sessions of the page. */
export const SESSIONS: string = String.raw`
// ---- Sessions

const LIMIT = 25;
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
`;
