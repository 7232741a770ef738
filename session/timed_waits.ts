/** The timeouts of a session's readings. It is made when a reading has one, so that other sessions stay small. */
export class TimedWaits {
  /** The error of the last reading whose timeout was over. */
  error: Error | undefined;
  #count = 0;
  #countSeen = 0;
  /** When the sweep saw the last wait for the first time. */
  #since = 0;

  /** A reading with a timeout begins to wait. */
  begin(): void {
    this.#count++;
  }

  /** Called by the sweep while such a reading waits. Returns the error to reject it with if the timeout is over. */
  check(now: number, timeout: number): Error | undefined {
    if (this.#count !== this.#countSeen) {
      this.#countSeen = this.#count;
      this.#since = now;
    }
    if (now - this.#since <= timeout) return;
    const problem = `the reading has waited longer than ${timeout} ms (timeout)`;
    return this.error = new DOMException(problem, "TimeoutError");
  }
}
