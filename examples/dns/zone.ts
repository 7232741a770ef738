// Zones: the records of names, from lines of text.

import { type DnsRecord, TYPES } from "./packets.ts";

/** The records by name, in lower case and without the last dot. */
export type Zone = ReadonlyMap<string, readonly DnsRecord[]>;

const LINE = /^(\S+) (\d+) (A|AAAA|NS|TXT) (.+)$/;

/** Parses a zone. Empty lines, and lines that begin with a semicolon, do not count. */
export function parseZone(text: string): Zone {
  const zone = new Map<string, DnsRecord[]>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith(";")) continue;
    const [, name, ttl, type, value] = LINE.exec(line.trim()) ?? [];
    if (value === undefined) throw new TypeError(`line ${index + 1} is no record: ${line}`);
    const key = name!.replace(/\.$/, "").toLowerCase();
    const record = {
      type: TYPES[type as keyof typeof TYPES],
      ttl: Number(ttl),
      data: Uint8Array.from(ENCODERS[type as keyof typeof TYPES](value)),
    };
    zone.set(key, [...zone.get(key) ?? [], record]);
  }
  return zone;
}

/** The data of the records (RFC 1035 §3.3, RFC 3596 §2.2). */
const ENCODERS: Record<keyof typeof TYPES, (value: string) => number[]> = {
  A: (value) => value.split(".").map(Number),
  AAAA: (value) => ipv6(value),
  NS: (value) => [...value.replace(/\.$/, "").split(".").flatMap(counted), 0],
  TXT: (value) => (value.match(/.{1,250}/g) ?? []).flatMap(counted),
};

function counted(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [bytes.length, ...bytes];
}

function ipv6(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const groups = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]);
}
