/** Text that was decoded before it is consumed: several lines at once. */

/** Unread bytes as text. */
export interface TextAhead {
  /** The text. It is `undefined` if not all of the bytes are ASCII. */
  readonly text: string | undefined;
  /** The index in the buffer of the first byte, and that of the byte after the last one. */
  readonly start: number;
  readonly end: number;
}

/** An input that can decode ahead. That of a session can. */
export interface AheadInput {
  /** The text from some unread byte on, or `undefined` if fewer than `least` bytes are left to decode. */
  textAhead?(least: number): TextAhead | undefined;
}
