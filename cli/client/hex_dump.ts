/** Hex dumps: offset, bytes in hexadecimal, and text. */

/** Bytes per line. */
const WIDTH = 16;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const COLOURS = { sent: "\x1b[36m", received: "\x1b[32m" };
const RESET = "\x1b[39m";

/** The direction of bytes. */
export type Direction = keyof typeof COLOURS;

/** Dumps the bytes of both directions. Each direction has its own offsets. */
export class HexDump {
  readonly #isColoured: boolean;
  readonly #offsets: Record<Direction, number> = { sent: 0, received: 0 };

  constructor(isColoured: boolean) {
    this.#isColoured = isColoured;
  }

  /** The lines of one chunk: `> 00000000  68 69 0a …  |hi.|`, where `>` is sent and `<` received. */
  lines(direction: Direction, bytes: Uint8Array): string {
    const arrow = direction === "sent" ? ">" : "<";
    let text = "";
    for (let start = 0; start < bytes.length; start += WIDTH) {
      const offset = (this.#offsets[direction] + start).toString(16).padStart(8, "0");
      const row = bytes.subarray(start, start + WIDTH);
      const line = `${arrow} ${offset}  ${hexOf(row)}  |${textOf(row)}|`;
      text += this.#isColoured ? `${COLOURS[direction]}${line}${RESET}\n` : `${line}\n`;
    }
    this.#offsets[direction] += bytes.length;
    return text;
  }
}

/** Two groups of eight, padded to the width of a whole row. */
function hexOf(row: Uint8Array): string {
  let text = "";
  for (let at = 0; at < WIDTH; at++) {
    const byte = row[at];
    if (at === WIDTH / 2) text += " ";
    text += byte === undefined ? "  " : HEX[byte];
    if (at < WIDTH - 1) text += " ";
  }
  return text;
}

/** Bytes that are not printable ASCII become dots, so that a peer cannot control the terminal. */
function textOf(row: Uint8Array): string {
  let text = "";
  for (const byte of row) {
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
  }
  return text;
}
