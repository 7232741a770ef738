// A real HAProxy, which receives PROXY headers over Unix sockets and sends its own.

import { assertEquals } from "@std/assert";
import { decodeProxyHeader, type ProxyHeader } from "../proxy_protocol/mod.ts";
import { concat } from "./_codecs.ts";
import { canNet, canRead, canWrite } from "./_permissions.ts";
import { isInstalled, Program } from "./_programs.ts";
import { makeTempDir } from "./_temp_dir.ts";

export const hasHaproxy: boolean = canNet && canRead && canWrite && await isInstalled("haproxy");

/** Self-signed, with the name `rosé`, for `greet.example`, until 2120. It protects nothing. */
const CERTIFICATE = `
-----BEGIN CERTIFICATE-----
MIIBWjCCAQCgAwIBAgIBATAKBggqhkjOPQQDAjAQMQ4wDAYDVQQDDAVyb3PDqTAg
Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowEDEOMAwGA1UEAwwFcm9z
w6kwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATro1h5076RRiPX9D9VBnDWyQA1
Z0+LSdWiIMZEBsQbMzmhM1Gipw8ia4xMJJjPEo6iOM21Xag3HwAP5gA5j5wQo0kw
RzAMBgNVHRMBAf8EAjAAMBgGA1UdEQQRMA+CDWdyZWV0LmV4YW1wbGUwHQYDVR0O
BBYEFMFiCTdum/nTmzvkWl+kAjoQDUK3MAoGCCqGSM49BAMCA0gAMEUCICItePQt
k9ELPB1q6Z4b/fshlcIfFJ50lSugOUt31T5dAiEA5vuPJOYrOuak2tt3b0pPiSrP
f+Qe2Ropd9mffn0fWbo=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMydkOCnpmysbD9VT
cMK4H9DbScifbys+UQ6xyrWuczqhRANCAATro1h5076RRiPX9D9VBnDWyQA1Z0+L
SdWiIMZEBsQbMzmhM1Gipw8ia4xMJJjPEo6iOM21Xag3HwAP5gA5j5wQ
-----END PRIVATE KEY-----
`;

/**
 * The frontends, each a Unix socket: `v1`, `v2` and `authority` send a header to the server behind, `tls` does so over TLS
 * to itself. The health check of `idle` shows when HAProxy is up.
 */
const config = (dir: string): string => `
defaults
  mode tcp
  timeout connect 10s
  timeout client 10s
  timeout server 10s
  unique-id-format rose
  default-server inter 1h
listen v1
  bind unix@${dir}/v1.sock accept-proxy
  server back unix@${dir}/back.sock send-proxy
listen v2
  bind unix@${dir}/v2.sock accept-proxy
  server back unix@${dir}/back.sock send-proxy-v2 proxy-v2-options crc32c,unique-id
listen authority
  bind unix@${dir}/authority.sock accept-proxy
  server back unix@${dir}/back.sock send-proxy-v2 proxy-v2-options authority
listen tls
  bind unix@${dir}/tls.sock accept-proxy
  server inner unix@${dir}/inner.sock send-proxy-v2 ssl verify none crt ${dir}/rose.pem sni str(greet.example) alpn h2
listen inner
  bind unix@${dir}/inner.sock accept-proxy ssl crt ${dir}/rose.pem alpn h2 verify optional ca-file ${dir}/rose.pem
  server back unix@${dir}/back.sock send-proxy-v2-ssl-cn proxy-v2-options ssl-cipher,cert-sig,cert-key,authority,crc32c
backend idle
  server back unix@${dir}/back.sock check send-proxy-v2 proxy-v2-options crc32c
`;

export class Haproxy implements AsyncDisposable {
  /** The header of its first check of the server behind it. */
  readonly check: ProxyHeader;
  readonly #path: string;
  readonly #back: Deno.Listener;
  readonly #all: AsyncDisposableStack;

  private constructor(
    path: string,
    back: Deno.Listener,
    check: ProxyHeader,
    all: AsyncDisposableStack,
  ) {
    this.#path = path;
    this.#back = back;
    this.check = check;
    this.#all = all;
  }

  static async start(): Promise<Haproxy> {
    await using all = new AsyncDisposableStack();
    const { path } = all.use(await makeTempDir());
    await Deno.writeTextFile(`${path}/rose.pem`, CERTIFICATE);
    await Deno.writeTextFile(`${path}/haproxy.cfg`, config(path));
    const back = all.use(Deno.listen({ transport: "unix", path: `${path}/back.sock` }));
    const program = all.use(new Program("haproxy", ["-db", "-f", `${path}/haproxy.cfg`]));
    const failed = program.ended().then(({ stderr }) => {
      throw new Error(`haproxy has ended: ${stderr}`);
    });
    using connection = await firstOf(back.accept(), failed);
    return new Haproxy(path, back, (await receive(connection)).header, all.move());
  }

  /** What it sends to the server for a header and a few bytes of a client. */
  async pass(way: string, header: Uint8Array): Promise<ProxyHeader> {
    using client = await this.#enter(way, header);
    const refused = client.read(new Uint8Array(1)).then((count) => {
      throw new Error(`haproxy has refused the header: ${count}`);
    });
    using connection = await firstOf(this.#back.accept(), refused);
    const { header: passed, rest } = await receive(connection, 5);
    assertEquals(rest, "hello");
    return passed;
  }

  /** Whether it closes the connection after a header. */
  async refuses(way: string, header: Uint8Array): Promise<boolean> {
    using client = await this.#enter(way, header);
    try {
      return await client.read(new Uint8Array(1)) === null;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return true;
      throw error;
    }
  }

  async #enter(way: string, header: Uint8Array): Promise<Deno.Conn> {
    const path = `${this.#path}/${way}.sock`;
    const client = await Deno.connect({ transport: "unix", path });
    await client.write(concat([header, new TextEncoder().encode("hello")]));
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#all.disposeAsync();
  }
}

/** The first of them to settle. An error of the other is ignored. */
function firstOf<T>(wanted: Promise<T>, failure: Promise<never>): Promise<T> {
  wanted.catch(() => {});
  failure.catch(() => {});
  return Promise.race([wanted, failure]);
}

/** Reads a header and `behind` bytes after it. */
async function receive(
  connection: Deno.Conn,
  behind: number = 0,
): Promise<{ header: ProxyHeader; rest: string }> {
  const buffer = new Uint8Array(4096);
  for (let end = 0;;) {
    const decoded = decodeProxyHeader(buffer.subarray(0, end));
    if (decoded !== undefined && end >= decoded.length + behind) {
      const rest = new TextDecoder().decode(buffer.subarray(decoded.length, end));
      return { header: decoded.header, rest };
    }
    const count = await connection.read(buffer.subarray(end));
    if (count === null) throw new Error(`the input ended after ${end} bytes`);
    end += count;
  }
}
