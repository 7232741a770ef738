// A TLS peer that sends any bytes as its certificates, and proves the possession of any key.
//
// TLS libraries check the certificates that they are given to send. So this implements TLS 1.2 (RFC 5246) and 1.3
// (RFC 8446) up to the point where the other side has to decide: one cipher suite for each version, X25519, and no checks
// of what it receives.

import { Buffer } from "node:buffer";
import crypto, { type KeyObject } from "node:crypto";
import { concat } from "../_internal/concat.ts";
import type { Connection } from "../transport/connection.ts";
import {
  agreed,
  Bytes,
  bytes,
  expandLabel,
  extension,
  extensionsOf,
  finished12,
  finished13,
  handshakeSecret,
  hashOf,
  message,
  opening13,
  recordOf,
  type Sealing,
  sealing12,
  sealing13,
  secrets12,
  signature,
  vector,
} from "./_hostile_keys.ts";

/** What a hostile peer presents. */
export interface Shown {
  /** Its certificates, supposedly in DER. */
  chain: Uint8Array[];
  /** The private key that it proves. */
  key: KeyObject;
  /** What it sends instead of a valid proof: an algorithm and a signature. */
  proof?: Uint8Array;
}

type Version = "TLSv1.2" | "TLSv1.3";

const HELLO_DONE = 14;
const FINISHED = 20;
const HANDSHAKE = 22;
const CHANGE_CIPHER_SPEC = Uint8Array.of(20, 3, 3, 0, 1, 1);
const X25519 = [0x00, 0x1d];
/** The extensions of a ClientHello or ServerHello. */
const SUPPORTED_GROUPS = 10;
const SIGNATURE_ALGORITHMS = 13;
const SUPPORTED_VERSIONS = 43;
const KEY_SHARE = 51;

/** Plays the server until the client has everything it needs to accept or refuse the certificate. */
export async function serveHostile(
  connection: Connection,
  version: Version,
  shown: Shown,
): Promise<void> {
  const peer = new Peer(connection);
  const hello = new Bytes((await peer.message()).subarray(4));
  hello.take(2);
  const clientRandom = hello.take(32);
  const sessionId = hello.vector(1);
  hello.vector(2);
  hello.vector(1);
  const extensions = extensionsOf(hello.vector(2));
  const { publicKey, privateKey } = crypto.generateKeyPairSync("x25519");
  const share = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const random = crypto.randomBytes(32);

  if (version === "TLSv1.3") {
    const shares = new Bytes(new Bytes(extensions.get(KEY_SHARE)!).vector(2));
    let theirs: Uint8Array | undefined;
    while (!shares.isAtEnd) {
      const group = shares.take(2);
      const key = shares.vector(2);
      if (group[1] === X25519[1] && group[0] === X25519[0]) theirs = key;
    }
    const chosen = concat([
      extension(SUPPORTED_VERSIONS, [3, 4]),
      extension(KEY_SHARE, X25519, vector(2, share)),
    ]);
    await peer.say(2, [3, 3], random, vector(1, sessionId), [0x13, 0x01, 0], vector(2, chosen));
    const secret = handshakeSecret(agreed(privateKey, theirs!));
    const traffic = expandLabel(secret, "s hs traffic", hashOf(peer.transcript()));
    peer.encrypt = sealing13(traffic);
    await peer.say(8, vector(2, []));
    await sayCertificate13(peer, shown, [], "server");
    return await peer.say(FINISHED, finished13(traffic, peer.transcript()));
  }

  const suite = [0xc0, shown.key.asymmetricKeyType === "rsa" ? 0x2f : 0x2b];
  await peer.say(2, [3, 3], random, vector(1, []), suite, [0]);
  await peer.say(11, vector(3, ...shown.chain.map((one) => vector(3, one))));
  const parameters = concat([[3], X25519, vector(1, share)].map(bytes));
  const signed = concat([clientRandom, random, parameters]);
  await peer.say(12, parameters, shown.proof ?? signature(shown.key, signed));
  await peer.say(HELLO_DONE);
  const theirs = new Bytes((await peer.message()).subarray(4)).vector(1);
  const secrets = secrets12(agreed(privateKey, theirs), clientRandom, random);
  peer.heard(message(FINISHED, finished12(secrets.master, "client", peer.transcript())));
  await peer.record(); // what has to be encrypted from here on
  await peer.record(); // which is as it should be, or the client finds out
  await connection.write(CHANGE_CIPHER_SPEC);
  peer.encrypt = sealing12(secrets.serverKey, secrets.serverIv);
  await peer.say(FINISHED, finished12(secrets.master, "server", peer.transcript()));
}

/** Plays the client until the server has everything it needs to accept or refuse the certificate. */
export async function dialHostile(
  connection: Connection,
  version: Version,
  shown: Shown,
): Promise<void> {
  const peer = new Peer(connection);
  const { publicKey, privateKey } = crypto.generateKeyPairSync("x25519");
  const share = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  const random = crypto.randomBytes(32);
  const schemes = [0x0403, 0x0503, 0x0603, 0x0804, 0x0807].flatMap((one) => [one >> 8, one & 255]);
  const extensions = [
    extension(SUPPORTED_GROUPS, vector(2, X25519)),
    extension(SIGNATURE_ALGORITHMS, vector(2, schemes)),
  ];
  if (version === "TLSv1.3") {
    extensions.push(
      extension(SUPPORTED_VERSIONS, vector(1, [3, 4])),
      extension(KEY_SHARE, vector(2, X25519, vector(2, share))),
    );
  }
  const suites = vector(2, [0x13, 0x01, 0xc0, 0x2b, 0xc0, 0x2f]);
  await peer.say(1, [3, 3], random, [0], suites, [1, 0], vector(2, ...extensions));

  const hello = new Bytes((await peer.message()).subarray(4));
  hello.take(2);
  const serverRandom = hello.take(32);
  hello.vector(1);
  hello.take(3);
  if (version === "TLSv1.3") {
    const theirs = extensionsOf(hello.vector(2)).get(KEY_SHARE)!.subarray(4);
    const secret = handshakeSecret(agreed(privateKey, theirs));
    const traffic = expandLabel(secret, "c hs traffic", hashOf(peer.transcript()));
    peer.decrypt = opening13(expandLabel(secret, "s hs traffic", hashOf(peer.transcript())));
    let context: Uint8Array = new Uint8Array();
    for (let type = 0; type !== FINISHED;) {
      const said = await peer.message();
      type = said[0]!;
      if (type === 13) context = new Bytes(said.subarray(4)).vector(1);
    }
    peer.encrypt = sealing13(traffic);
    await sayCertificate13(peer, shown, context, "client");
    return await peer.say(FINISHED, finished13(traffic, peer.transcript()));
  }

  let theirs: Uint8Array | undefined;
  for (let type = 0; type !== HELLO_DONE;) {
    const said = await peer.message();
    type = said[0]!;
    if (type === 12) theirs = new Bytes(said.subarray(7)).vector(1);
  }
  await peer.say(11, vector(3, ...shown.chain.map((one) => vector(3, one))));
  await peer.say(16, vector(1, share));
  if (shown.chain.length > 0) {
    await peer.say(15, shown.proof ?? signature(shown.key, peer.transcript()));
  }
  const secrets = secrets12(agreed(privateKey, theirs!), random, serverRandom);
  await connection.write(CHANGE_CIPHER_SPEC);
  peer.encrypt = sealing12(secrets.clientKey, secrets.clientIv);
  await peer.say(FINISHED, finished12(secrets.master, "client", peer.transcript()));
}

async function sayCertificate13(
  peer: Peer,
  { chain, key, proof }: Shown,
  context: Iterable<number>,
  role: string,
): Promise<void> {
  const entries = chain.map((one) => concat([vector(3, one), vector(2, [])]));
  await peer.say(11, vector(1, context), vector(3, ...entries));
  if (chain.length === 0) return;
  const about = `${" ".repeat(64)}TLS 1.3, ${role} CertificateVerify\0`;
  const signed = concat([Buffer.from(about), hashOf(peer.transcript())]);
  await peer.say(15, proof ?? signature(key, signed));
}

/** The messages of a handshake over a connection, and the transcript so far. */
class Peer {
  encrypt: Sealing | undefined;
  decrypt: ((record: Uint8Array) => Uint8Array) | undefined;
  readonly #connection: Connection;
  readonly #said: Uint8Array[] = [];
  #raw: Uint8Array = new Uint8Array();
  #messages: Uint8Array = new Uint8Array();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  transcript(): Uint8Array {
    return concat(this.#said);
  }

  heard(message: Uint8Array): void {
    this.#said.push(message);
  }

  async say(type: number, ...parts: Iterable<number>[]): Promise<void> {
    const said = message(type, ...parts);
    this.heard(said);
    for (let at = 0; at < said.length; at += 16_000) {
      const piece = said.subarray(at, at + 16_000);
      const record = this.encrypt?.(HANDSHAKE, piece) ?? recordOf(HANDSHAKE, piece);
      for (let sent = 0; sent < record.length;) {
        sent += await this.#connection.write(record.subarray(sent));
      }
    }
  }

  /** The next message, with its header. */
  async message(): Promise<Uint8Array> {
    for (;;) {
      const messages = this.#messages;
      const length = messages.length < 4 ? 4 : 4 + new Bytes(messages.subarray(1)).number(3);
      if (messages.length >= length) {
        this.#messages = messages.subarray(length);
        const next = messages.subarray(0, length);
        this.heard(next);
        return next;
      }
      const record = await this.record();
      if (record[0] === CHANGE_CIPHER_SPEC[0]) continue;
      if (record[0] === 21) throw new Error(`alert ${record[6]}`);
      this.#messages = concat([messages, this.decrypt?.(record) ?? record.subarray(5)]);
    }
  }

  /** The next record, with its header. */
  async record(): Promise<Uint8Array> {
    const buffer = new Uint8Array(20_000);
    for (;;) {
      const raw = this.#raw;
      const length = raw.length < 5 ? 5 : 5 + new Bytes(raw.subarray(3)).number(2);
      if (raw.length >= length) {
        this.#raw = raw.subarray(length);
        return raw.subarray(0, length);
      }
      const count = await this.#connection.read(buffer);
      if (count === null) throw new Error("the other side has gone");
      this.#raw = concat([raw, buffer.subarray(0, count)]);
    }
  }
}
