// JSON-RPC 2.0 over frames with a length of four bytes, and a client whose calls are typed by the server's methods.
//
//     deno run --allow-net examples/json_rpc.ts
//
// It serves on a free port, calls itself, and prints: 5, hello, rose!, and an error.

import {
  type Codec,
  connect,
  type Frames,
  MalformedFrameError,
  type RequestOptions,
  type Requests,
  requests,
  serve,
  type ServeOptions,
  type Server,
  type Session,
} from "@parley/tcp";
import { lengthPrefixed, mapped } from "@parley/tcp/codecs";

/** The methods of a server. They take an object or an array of parameters. */
// deno-lint-ignore no-explicit-any -- each method has parameters of its own
export type Methods = Record<string, (params: any) => unknown>;

/** An error of JSON-RPC (JSON-RPC 2.0 §5.1). */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

type Id = string | number | null;
interface Reply {
  jsonrpc: "2.0";
  id: Id;
  result?: unknown;
  error?: { code: number; message: string };
}

const MAX_LENGTH = 1024 * 1024;
const MAX_BATCH = 100;
const INVALID_REQUEST = new RpcError(-32600, "Invalid Request");
const TOO_LONG = new RpcError(-32603, "The result is too long");

const codec = lengthPrefixed({ width: 4, maxLength: MAX_LENGTH });
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Serves methods. Requests of one session run concurrently, and each is answered when it is done. */
export function serveRpc(options: ServeOptions, methods: Methods): Server {
  return serve(options, async (session) => {
    const frames = session.frames(codec);
    const running = new Set<Promise<void>>();
    for await (const frame of frames) {
      const run = answer(methods, frame).then(async (reply) => {
        if (reply !== undefined) {
          await frames.send(encode(reply) ?? encode(failure(null, TOO_LONG))!);
        }
      }).finally(() => running.delete(run));
      run.catch(() => {}); // the session has ended: the loop sees it, too
      running.add(run);
      if (running.size >= 100) await Promise.race(running);
    }
    await Promise.all(running);
  });
}

/** The answer to a frame: nothing for a notification, several replies for a batch (§6). */
async function answer(methods: Methods, frame: Uint8Array): Promise<string | undefined> {
  let request;
  try {
    request = JSON.parse(decoder.decode(frame));
  } catch {
    return failure(null, new RpcError(-32700, "Parse error"));
  }
  if (!Array.isArray(request)) return await answerOne(methods, request);
  if (request.length === 0) return failure(null, INVALID_REQUEST);
  if (request.length > MAX_BATCH) { // half a million would fit, and block other sessions
    return failure(null, new RpcError(-32600, `A batch has at most ${MAX_BATCH} requests`));
  }
  const replies = await Promise.all(request.map((one) => answerOne(methods, one)));
  const wanted = replies.filter((reply) => reply !== undefined);
  if (wanted.length === 0) return;
  return `[${wanted.join(",")}]`;
}

async function answerOne(methods: Methods, request: unknown): Promise<string | undefined> {
  const { jsonrpc, method, params, id } = (request ?? {}) as Record<string, unknown>;
  const hasId = typeof id === "string" || typeof id === "number" || id === null;
  const hasParams = params === undefined || (typeof params === "object" && params !== null);
  if (
    jsonrpc !== "2.0" || typeof method !== "string" || !hasParams || (id !== undefined && !hasId)
  ) {
    return failure(hasId ? id : null, INVALID_REQUEST);
  }
  try {
    if (!Object.hasOwn(methods, method)) throw new RpcError(-32601, "Method not found");
    const result = await methods[method]!(params);
    if (!hasId) return;
    const reply = JSON.stringify({ jsonrpc: "2.0", id, result: result ?? null });
    const fits = reply.length <= MAX_LENGTH / 3 || encode(reply) !== undefined;
    return fits ? reply : failure(id, TOO_LONG);
  } catch (error) {
    return hasId ? failure(id, error) : undefined;
  }
}

/** The bytes of a reply, if they fit into a frame. */
function encode(reply: string): Uint8Array | undefined {
  const bytes = encoder.encode(reply);
  return bytes.length <= MAX_LENGTH ? bytes : undefined;
}

function failure(id: Id, error: unknown): string {
  const { code, message } = error instanceof RpcError
    ? error
    : new RpcError(-32603, "Internal error");
  return JSON.stringify({ jsonrpc: "2.0", id, error: { code, message } });
}

interface Call {
  jsonrpc: "2.0";
  id?: number;
  method: string;
  params: unknown;
}

/** The codec of a client. A server uses bytes instead, since it must answer invalid JSON, too. */
const messages: Codec<Reply, Call> = mapped(codec, {
  decode: parseReply,
  encode: (call, out) => codec.encode(encoder.encode(JSON.stringify(call)), out),
});

/** Throws a `MalformedFrameError` for a frame that is not a reply: it is the server's fault, and ends the session. */
function parseReply(frame: Uint8Array): Reply {
  let reply;
  try {
    reply = JSON.parse(decoder.decode(frame));
  } catch (cause) {
    throw new MalformedFrameError("a reply that is not JSON", 0, { cause });
  }
  if (typeof reply === "object" && reply !== null && !Array.isArray(reply)) return reply;
  throw new MalformedFrameError("a reply that is not an object", 0);
}

/** A client of a server with these methods. */
export class RpcClient<Offered extends Methods> implements AsyncDisposable {
  readonly #session: Session;
  readonly #frames: Frames<Reply, Call>;
  readonly #requests: Requests<Reply, Call>;
  /** The ids of calls without a reply. */
  readonly #calls = new Set<Id>();
  /** How many abandoned calls may still be answered. */
  #givenUp = 0;
  #lastId = 0;

  constructor(session: Session) {
    this.#session = session;
    this.#frames = session.frames(messages);
    this.#requests = requests(this.#frames, {
      requestId: ({ id }) => id!,
      replyId: (reply) => this.#idOf(reply) ?? undefined,
    });
    this.#requests.closed.then(() => session.close()); // for example if the server sends invalid data
  }

  /** Calls a method and waits for its result. */
  async call<Name extends keyof Offered & string>(
    method: Name,
    params: Parameters<Offered[Name]>[0],
    options: RequestOptions = {},
  ): Promise<Awaited<ReturnType<Offered[Name]>>> {
    const call: Call = { jsonrpc: "2.0", id: ++this.#lastId, method, params };
    const { result, error } = await this.#request(call, options);
    if (error !== undefined) throw new RpcError(error.code, error.message);
    return result as Awaited<ReturnType<Offered[Name]>>;
  }

  /** Calls a method without a reply. */
  async notify<Name extends keyof Offered & string>(
    method: Name,
    params: Parameters<Offered[Name]>[0],
  ): Promise<void> {
    await this.#frames.send({ jsonrpc: "2.0", method, params });
  }

  async #request(call: Call, options: RequestOptions): Promise<Reply> {
    this.#calls.add(call.id!);
    try {
      return await this.#requests.request(call, options);
    } catch (error) {
      if (this.#calls.delete(call.id!)) this.#givenUp++;
      throw error;
    }
  }

  /**
   * The id of the call that a reply belongs to. A server that cannot read a request does not know its id, and answers with
   * null (§5). That can be matched only if there is a single call.
   */
  #idOf({ id, error }: Reply): Id {
    const isOnly = this.#calls.size === 1 && this.#givenUp === 0;
    const found = id === null && error !== undefined && isOnly ? [...this.#calls][0]! : id;
    if (!this.#calls.delete(found) && this.#givenUp > 0) this.#givenUp--; // it is late
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.close();
  }
}

if (import.meta.main) {
  const methods = {
    add: ([a, b]: [number, number]) => a + b,
    greet: ({ name }: { name: string }) => `hello, ${name}!`,
  };
  await using server = serveRpc({ port: 0 }, methods);
  const { port } = server.addr as Deno.NetAddr;
  await using client = new RpcClient<typeof methods & Methods>(await connect({ port }));
  console.log(await client.call("add", [2, 3]));
  console.log(await client.call("greet", { name: "rose" }));
  await client.call("vanish", {}).catch((error) => console.log(`${error.code}: ${error.message}`));
}
