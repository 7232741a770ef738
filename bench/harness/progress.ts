const encoder = new TextEncoder();

/** Shows the progress of a run: on a terminal in one line, elsewhere in a line per round. */
export class Progress {
  readonly #total: number;
  readonly #startedAt = performance.now();
  readonly #isTerminal = Deno.stderr.isTerminal();
  #done = 0;
  #last = "";

  /** @param total How many measurements there will be. */
  constructor(total: number) {
    this.#total = total;
  }

  /** Shows what is being measured. */
  begin(round: string, contender: string): void {
    const elapsed = performance.now() - this.#startedAt;
    const rest = this.#done === 0 ? NaN : elapsed / this.#done * (this.#total - this.#done);
    const share = `${Math.floor(this.#done / this.#total * 100)} %`;
    const left = Number.isNaN(rest) ? "" : `, ${time(rest)} left`;
    if (this.#isTerminal) write(`\r\x1b[K${share}${left}: ${round}: ${contender}`);
    else if (round !== this.#last) write(`${share}${left}: ${round}\n`);
    this.#last = round;
  }

  /** The measurement is done. */
  step(count = 1): void {
    this.#done += count;
  }

  /** Clears the line for other output. */
  clear(): void {
    if (this.#isTerminal) write("\r\x1b[K");
  }
}

function write(text: string): void {
  Deno.stderr.writeSync(encoder.encode(text));
}

function time(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
