// aedes, a broker for Node: `npm install --global aedes`, and `node aedes.mjs PORT`.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { pathToFileURL } from "node:url";

const [, , port] = process.argv;
const root = execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim();
const { version } = JSON.parse(readFileSync(`${root}/aedes/package.json`, "utf8"));

if (port === "--version") console.log(`aedes ${version}, Node ${process.version}`);
else {
  const { Aedes } = await import(pathToFileURL(`${root}/aedes/aedes.js`).href);
  const broker = await Aedes.createBroker();
  createServer({ noDelay: true }, broker.handle).listen(Number(port), "127.0.0.1");
}
