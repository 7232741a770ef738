/** By this, frames take an error for the peer's fault that was not found by reading them, but by what reads them. */
export const BLAME: unique symbol = Symbol("blame");
