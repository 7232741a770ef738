/** The position before the first message. */
export const START = "0";

const POSITION = /^(0|[1-9]\d{0,19})(?:-(0|[1-9]\d{0,19}))?$/;

/** Whether a text may be a position: integers of 64 bits, one or two. */
export function isPosition(text: string): boolean {
  const [, first, second = "0"] = POSITION.exec(text) ?? [];
  return first !== undefined && [first, second].every((part) => BigInt(part) < 2n ** 64n);
}

/** Below 0 if `a` is before `b`, above 0 if it is after it. */
export function comparePositions(a: string, b: string): number {
  const [first = "", second = "0"] = a.split("-");
  const [otherFirst = "", otherSecond = "0"] = b.split("-");
  return compareIntegers(first, otherFirst) || compareIntegers(second, otherSecond);
}

function compareIntegers(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : Number(a > b));
}

/** From where a session wants the messages of a group. */
export interface Since {
  readonly since: string | undefined;
  readonly last: number | undefined;
}
