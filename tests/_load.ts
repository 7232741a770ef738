// Clients that come and go, and clients that stay, while their server is replaced.

import { setTimeout as sleep } from "node:timers/promises";
import { connect, type ConnectOptions } from "../connect/connect.ts";
import { ConnectionRefusedError } from "../errors.ts";
import type { Session } from "../session.ts";
import { until } from "./_serving.ts";

const VISITORS = 6;
const STAYERS = 6;

/** What the clients have met. */
export interface Met {
  /** Connects that were refused, and why sessions ended without a reply or a goodbye. */
  readonly faults: string[];
  readonly refused: number;
  /** How many visits and replies of those who stay there were. */
  readonly visits: number;
  readonly replies: number;
  /** How often those who stay were told to go elsewhere. */
  readonly moves: number;
}

/** The load on a `_replaceable_server.ts`. */
export class Load implements Met, AsyncDisposable {
  readonly faults: string[] = [];
  refused = 0;
  visits = 0;
  replies = 0;
  moves = 0;
  /** The process that has answered last. */
  server: string | undefined;
  readonly #where: ConnectOptions;
  readonly #clients: Promise<void>[];
  #isOver = false;

  constructor(where: ConnectOptions) {
    this.#where = { ...where, idleTimeout: 20_000 };
    this.#clients = [
      ...Array.from({ length: VISITORS }, () => this.#repeat(() => this.#visit())),
      ...Array.from({ length: STAYERS }, () => this.#repeat(() => this.#stay())),
    ];
  }

  /** Waits for so many more visits. */
  async passes(visits: number): Promise<void> {
    const enough = this.visits + visits;
    await until(() => this.visits >= enough);
  }

  /** Lets the clients finish. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  async #repeat(act: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      try {
        await act();
      } catch (error) {
        if (error instanceof ConnectionRefusedError) this.refused++;
        const { message, cause } = error as Error;
        this.faults.push(cause instanceof Error ? `${message} (${cause.message})` : message);
      }
      await sleep(1);
    }
  }

  async #visit(): Promise<void> {
    await using session = await connect(this.#where);
    this.server = await ask(session, "visit");
    this.visits++;
  }

  async #stay(): Promise<void> {
    await using session = await connect(this.#where);
    await session.send("stay\n");
    for (let count = 0; !this.#isOver; count++) {
      const reply = await ask(session, `${count}`);
      if (reply === "bye") return void this.moves++;
      if (reply !== `${count}`) throw new Error(`${reply} is not the reply to ${count}`);
      this.replies++;
      await sleep(1);
    }
  }
}

async function ask(session: Session, line: string): Promise<string> {
  await session.send(`${line}\n`);
  const reply = await session.readLine();
  if (reply === undefined) throw new Error(`no reply to ${line}`);
  return reply;
}
