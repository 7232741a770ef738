// The links of the guides lead somewhere.

import { assertEquals } from "@std/assert";
import { canRead } from "../_permissions.ts";

const ROOT = new URL("../../", import.meta.url);
const FOLDERS = ["", "docs/", "bench/"];

async function documents(): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const folder of FOLDERS) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (!name.endsWith(".md")) continue;
      const url = new URL(folder + name, ROOT);
      texts.set(url.href, withoutCode(await Deno.readTextFile(url)));
    }
  }
  return texts;
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```[^]*?^```/gm, "").replaceAll(/^<!--[^]*?-->/gm, "");
}

/** The targets of all links and pictures. */
function linksIn(text: string): string[] {
  const links = text.matchAll(/\]\(([^)\s]+)\)|\b(?:href|src|srcset)="([^"]+)"/g);
  return [...links].map(([, link, attribute]) => (link ?? attribute)!);
}

/** The anchors of the headings, as GitHub and JSR make them. */
function anchorsIn(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of text.matchAll(/^#+ (.+)$/gm)) {
    const shown = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = shown.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");
    let repeated = anchor;
    for (let n = 1; anchors.has(repeated); n++) repeated = `${anchor}-${n}`;
    anchors.add(repeated);
  }
  return anchors;
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}

Deno.test("The links of the guides lead to files and headings", { ignore: !canRead }, async () => {
  const texts = await documents();
  const broken: string[] = [];
  let count = 0;
  for (const [from, text] of texts) {
    for (const link of linksIn(text)) {
      if (/^[a-z]+:/.test(link)) continue;
      count++;
      const url = new URL(link, from);
      const anchor = decodeURIComponent(url.hash.slice(1));
      url.hash = "";
      const target = texts.get(url.href);
      const leads = anchor === ""
        ? await exists(url)
        : target !== undefined && anchorsIn(target).has(anchor);
      if (!leads) broken.push(`${from.slice(ROOT.href.length)}: ${link}`);
    }
  }
  assertEquals(broken, []);
  assertEquals(count > 100, true, `${count} links`);
});
