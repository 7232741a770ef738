/** The page. It is filled by its script, as text only. */
export const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Parley</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header>
<h1>Parley</h1>
<nav id="servers" aria-label="Servers"></nav>
<span id="state" class="badge" role="status">connecting</span>
<span id="address" class="quiet"></span>
</header>
<main>
<section id="tiles" aria-label="Now"></section>
<section id="charts" aria-label="The last hour"></section>
<section class="panel wide" aria-labelledby="sessions-title">
<div class="bar">
<h2 id="sessions-title">Sessions</h2>
<div class="tabs" role="group" aria-label="Which sessions">
<button id="open" aria-pressed="true">open</button><button id="ended" aria-pressed="false">ended</button>
</div>
<input id="search" type="search" placeholder="address, reason, name" aria-label="Search sessions" maxlength="200">
<span id="matching" class="quiet"></span>
</div>
<div class="scroll"><table id="sessions"><thead></thead><tbody></tbody></table></div>
<div class="bar"><button id="previous">previous</button><button id="next">next</button>
<span id="page" class="quiet"></span></div>
</section>
<section class="panel" aria-labelledby="ends-title"><h2 id="ends-title">Why sessions ended</h2><dl id="ends" class="counts"></dl></section>
<section class="panel" aria-labelledby="refusals-title"><h2 id="refusals-title">Why connections were refused</h2><dl id="refusals" class="counts"></dl></section>
<section class="panel wide" aria-labelledby="workers-title" id="workers-panel" hidden><h2 id="workers-title">Workers</h2><div id="workers-chart"></div><div class="scroll"><table id="workers"><thead></thead><tbody></tbody></table></div></section>
<section class="panel" aria-labelledby="certificates-title" id="certificates-panel" hidden><h2 id="certificates-title">Certificates</h2><ul id="certificates"></ul></section>
<section class="panel" aria-labelledby="control-title" id="control" hidden><h2 id="control-title">Control</h2>
<form id="token-row"><label>Token <input id="token" type="password" autocomplete="off"></label></form>
<p class="buttons"><button data-action="suspend">suspend</button><button data-action="resume">resume</button><button data-action="drain" class="danger">drain</button></p>
<p id="level-row" hidden><label>Log level <select id="level"></select></label></p>
<p id="outcome" role="status"></p>
</section>
</main>
<footer id="footer" class="quiet"></footer>
</body>
</html>
`;

/** Its icon. */
export const ICON =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2463d6"/><path d="M7 10h13l5 4-5 4H7zM7 22h9" fill="none" stroke="#fff" stroke-width="2.5"/></svg>`;
