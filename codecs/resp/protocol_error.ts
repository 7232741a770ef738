import { MalformedFrameError } from "../../errors.ts";

/** The peer breaks the rules of RESP. Redis tells a client so by `ERR Protocol error: ` and the problem. */
export class RespProtocolError extends MalformedFrameError {
  /** What is wrong, as Redis says it. */
  readonly problem: string;

  /**
   * Makes the error.
   *
   * @param problem What is wrong, in a few words.
   * @param offset Where the bad byte stands, in bytes from the beginning of the command or reply.
   */
  constructor(problem: string, offset: number) {
    super(problem, offset);
    this.problem = problem;
  }
}
