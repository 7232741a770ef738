// What Wireshark's own programs find in a file.

import { assertEquals } from "@std/assert";
import { canNet, canRead, canWrite } from "./_permissions.ts";
import { isInstalled } from "./_programs.ts";
import { bounded } from "./_serving.ts";

/** The options of tests that need them. */
export const overTshark: { timeout: number; ignore: boolean } = {
  ...bounded,
  ignore: !canNet || !canRead || !canWrite || !await isInstalled("tshark") ||
    !await isInstalled("capinfos"),
};

async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) throw new Error(`${command} ${args}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** The fields of the packets that match a filter: a line for each packet. `more` are other arguments. */
export async function fieldsOf(
  file: string,
  filter: string,
  fields: readonly string[],
  ...more: string[]
): Promise<string[]> {
  const args = fields.flatMap((field) => ["-e", field]);
  const text = await output("tshark", [
    ...["-n", "-r", file, "-Y", filter, "-T", "fields", "-o", "tcp.check_checksum:TRUE", ...args],
    ...["-o", "ip.check_checksum:TRUE", ...more],
  ]);
  return text.split("\n").slice(0, -1);
}

/** Fails if Wireshark would mark a packet: as lost, repeated, out of order, or damaged. */
export async function assertFlawless(file: string): Promise<void> {
  const flaws = "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || " +
    "tcp.analysis.retransmission || tcp.analysis.out_of_order || tcp.analysis.duplicate_ack || " +
    "tcp.analysis.reused_ports || tcp.checksum.status != 1 || ip.checksum.status == 0 || _ws.malformed";
  assertEquals(await fieldsOf(file, flaws, ["frame.number", "_ws.expert.message"]), []);
}

/** Both directions of a TCP stream, put together. */
export interface Stream {
  /** From who began the connection. */
  forth: Uint8Array;
  back: Uint8Array;
}

/** Reassembles streams by their numbers, from 0. */
export async function streamsOf(file: string, count: number): Promise<Stream[]> {
  const numbers = Array.from({ length: count }, (_, n) => ["-z", `follow,tcp,raw,${n}`]);
  const text = await output("tshark", ["-n", "-q", "-r", file, ...numbers.flat()]);
  const numberOf = (part: string) => Number(/^Filter: tcp\.stream eq (\d+)$/m.exec(part)![1]);
  const parts = text.split("\nFollow: tcp,raw\n").slice(1);
  parts.sort((one, other) => numberOf(one) - numberOf(other));
  const streams = parts.map((part) => {
    const lines = part.split("\n").filter((line) => /^\t?[\da-f]+$/.test(line));
    const isBack = (line: string) => line.startsWith("\t");
    return {
      forth: Uint8Array.fromHex(lines.filter((line) => !isBack(line)).join("")),
      back: Uint8Array.fromHex(lines.filter(isBack).map((line) => line.slice(1)).join("")),
    };
  });
  assertEquals(streams.length, count);
  return streams;
}

/** The comments of packets, in their order. */
export function commentsOf(file: string): Promise<string[]> {
  return fieldsOf(file, "frame.comment", ["frame.comment"]);
}

/** What `capinfos` says about a file, by the names that it uses. */
export async function infoOf(file: string): Promise<Record<string, string>> {
  const text = await output("capinfos", ["-M", file]);
  return Object.fromEntries(
    [...text.matchAll(/^([\w ]+):\s+(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
}
