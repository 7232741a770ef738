/** Checks of options. The errors name the option, the allowed values and the value that was given. */

/** The longest delay of a timer, 2^31 - 1 ms. A longer duration means no limit. */
const MAX_DURATION = 0x7fff_ffff;

export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, got ${shown(value)}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, got ${value}`);
  }
  return value;
}

/** Checks a duration in milliseconds: more than 0, or `Infinity` for no limit. */
export function checkDuration(name: string, value: unknown): number {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number of milliseconds, got ${shown(value)}`);
  }
  if (!(value > 0)) {
    throw new RangeError(`${name} must be more than 0 ms (Infinity for none), got ${value}`);
  }
  return value > MAX_DURATION ? Infinity : value;
}

export function checkBytes(name: string, value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`${name} must be a Uint8Array, got ${shown(value)}`);
  }
  return value;
}

/** Throws unless `value` is `true` or `false`. Otherwise, the text `"false"` would count as true. */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new TypeError(`${name} must be true or false, got ${shown(value)}`);
}

export function checkObject(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null) return;
  throw new TypeError(`${name} must be an object, got ${shown(value)}`);
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new TypeError(`${name} must be a function, got ${shown(value)}`);
}

export function checkSignal(name: string, value: unknown): void {
  if (value instanceof AbortSignal) return;
  throw new TypeError(`${name} must be an AbortSignal, got ${shown(value)}`);
}

/** Throws unless `value` is an object that has these methods. */
export function checkMethods(name: string, value: unknown, methods: readonly string[]): void {
  checkObject(name, value);
  for (const method of methods) {
    const got = (value as Record<string, unknown>)[method];
    if (typeof got === "function") continue;
    throw new TypeError(`${method} of ${name} must be a function, got ${shown(got)}`);
  }
}

/** Throws unless `value` is one of `allowed`. */
export function checkOneOf(name: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value === "string" && allowed.includes(value)) return;
  const got = typeof value === "string" ? JSON.stringify(value) : shown(value);
  const wanted = allowed.map((one) => JSON.stringify(one)).join(" or ");
  throw new RangeError(`${name} must be ${wanted}, got ${got}`);
}

/** The error for a connection that reports an impossible number of bytes; `undefined` if it is possible. */
export function miscount(method: string, count: unknown, most: number): Error | undefined {
  if (Number.isInteger(count) && (count as number) >= 0 && (count as number) <= most) return;
  const got = typeof count === "number" ? count : shown(count);
  return new RangeError(`${method}() of a connection must give 0 to ${most} bytes, got ${got}`);
}

/** Describes a value of the wrong type for a message, in a few words. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || typeof value === "boolean") return String(value);
  if (typeof value === "object") return `an object of class ${value.constructor?.name ?? "none"}`;
  return `a ${typeof value}`;
}
