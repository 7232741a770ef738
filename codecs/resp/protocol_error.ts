import { MalformedFrameError } from "../../errors.ts";

/** The peer violates RESP. Redis reports this to a client as `ERR Protocol error: ` and the problem. */
export class RespProtocolError extends MalformedFrameError {
  /** What is wrong, in the words of Redis. */
  readonly problem: string;

  /**
   * Makes the error.
   *
   * @param problem What is wrong, in a few words.
   * @param offset The offset of the bad byte, from the beginning of the command or reply.
   */
  constructor(problem: string, offset: number) {
    super(problem, offset);
    this.problem = problem;
  }
}
