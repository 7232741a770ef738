/** The looks of the page: light and dark, wide and narrow. */
export const STYLE = `:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --panel: #fff; --text: #1b2330; --quiet: #5d6879; --line: #dfe3ea;
  --one: #2463d6; --other: #b3541e; --good: #12733f; --warn: #8f5a00; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #10141b; --panel: #191f29; --text: #e6eaf1; --quiet: #98a3b5; --line: #2c3442;
    --one: #7aa7ff; --other: #f0a36b; --good: #63cf94; --warn: #e5b75a; --bad: #ff8f86;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
header, .bar { display: flex; flex-wrap: wrap; align-items: center; gap: .6rem; }
header { padding: .8rem 1rem; background: var(--panel); border-bottom: 1px solid var(--line); }
h1 { font-size: 1.15rem; margin: 0; }
h2 { font-size: .95rem; margin: 0 0 .5rem; }
.bar h2 { margin: 0; }
nav, .tabs { display: flex; gap: .25rem; }
main { display: grid; gap: 1rem; padding: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); max-width: 90rem; margin: auto; }
footer { padding: 0 1rem 1.5rem; text-align: center; font-size: .85rem; }
#tiles, #charts, .wide { grid-column: 1 / -1; }
#tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
#charts, #workers-chart { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); }
.panel, .tile, .chart { background: var(--panel); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; min-width: 0; margin: 0; }
.tile { padding: .7rem .8rem; }
.tile b { display: block; font-size: 1.25rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
.quiet, .tile span, dt, th { color: var(--quiet); }
.badge { border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem; font-weight: 600; color: var(--warn); }
.badge.good { color: var(--good); } .badge.bad, .bad { color: var(--bad); } .warn { color: var(--warn); }
.chart { display: flex; flex-direction: column; }
.chart figcaption { flex: 1; display: flex; justify-content: space-between; gap: .5rem; flex-wrap: wrap; font-weight: 600; font-size: .95rem; }
.chart svg { display: block; width: 100%; height: 7.5rem; margin-top: .4rem; overflow: visible; }
.chart path { fill: none; stroke-width: 1.6; vector-effect: non-scaling-stroke; stroke: var(--one); }
.chart path.area { fill: var(--one); fill-opacity: .12; stroke: none; }
.chart path.other { stroke: var(--other); stroke-dasharray: 4 2; }
.chart line { stroke: var(--line); vector-effect: non-scaling-stroke; }
.chart .scale { display: flex; justify-content: space-between; font-size: .75rem; color: var(--quiet); }
.key { font-weight: 400; color: var(--one); } .key.other { color: var(--other); }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 500; } .text { text-align: left; }
td.text { max-width: 26rem; overflow: hidden; text-overflow: ellipsis; }
th button { border: 0; background: none; padding: 0; color: inherit; font: inherit; }
th[aria-sort] button { color: var(--text); font-weight: 600; }
button, input, select { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: .4rem; padding: .25rem .7rem; }
button { cursor: pointer; } button:disabled { opacity: .45; cursor: default; }
button[aria-pressed="true"] { background: var(--one); border-color: var(--one); color: var(--panel); }
button.danger { color: var(--bad); }
:focus-visible { outline: 2px solid var(--one); outline-offset: 1px; }
input[type="search"] { flex: 1 1 10rem; min-width: 0; }
.counts { display: grid; grid-template-columns: 1fr auto; gap: .2rem 1rem; margin: 0; }
.counts dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
ul { margin: 0; padding: 0; list-style: none; } li { padding: .3rem 0; overflow-wrap: anywhere; }
#control p, #control form { margin: 0 0 .7rem; }
.buttons { display: flex; gap: .5rem; }
@media (min-width: 50rem) { #tiles { grid-template-columns: repeat(5, 1fr); } }
@media (max-width: 40rem) { main { padding: .6rem; gap: .6rem; } .chart svg { height: 6rem; } }
`;
