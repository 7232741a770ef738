/** The charts of the page. */
export const CHARTS: string = String.raw`
// ---- Charts

const POINTS = 240; // of a chart

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
let workersCharts = []; // of the chosen server, if it has workers

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
  for (const chart of [...CHARTS, ...workersCharts]) {
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
`;
