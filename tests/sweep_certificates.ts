/**
 * Shows changed certificates to clients and to servers, which must let none of them in.
 *
 *     deno task sweep:certificates           keys of all kinds: P-256, P-384, RSA, Ed25519
 *     deno task sweep:certificates RSA       keys of one kind
 *
 * Each byte of each kind of certificate is changed in several ways, and shown over TLS 1.2 and 1.3 by a peer that has
 * its key:
 *
 * - certificates that nobody has signed: an attacker's, under the name of an authority that is trusted;
 * - certificates that an authority has signed, changed afterwards;
 * - certificates that were changed before the authority has signed them, shown without their key; and with it those
 *   that openssl takes too, but no others.
 */

import type { KeyObject } from "node:crypto";
import { concat } from "../_internal/concat.ts";
import { verifyPeer } from "../transport/tls/peer_certificate.ts";
import { type Certificate, readCertificate } from "../transport/tls/x509/certificate.ts";
import { Signatures } from "../transport/tls/x509/signature.ts";
import { Doors, HOST, type Way, WAYS } from "./_hostile_peers.ts";
import {
  commonName,
  forHost,
  KEY_KINDS,
  type KeyKind,
  type KeyPair,
  makeKeys,
  makeX509,
  ofAuthority,
  ofLeaf,
  pemOf,
  signed,
  toBeSigned,
} from "./_x509.ts";

/** An authority that is trusted, and whose name everybody knows. */
export interface Authority {
  readonly kind: KeyKind;
  readonly keys: KeyPair;
  readonly der: Uint8Array;
  readonly pem: string;
  readonly anchors: readonly Certificate[];
}

const CA = commonName("ca");
const INTERMEDIATE = commonName("intermediate");
const LEAF = { subject: commonName("leaf"), extensions: [ofLeaf, forHost(HOST)] };

export function makeAuthority(kind: KeyKind): Authority {
  const keys = makeKeys(kind);
  const { publicKey, privateKey } = keys;
  const fields = { issuer: CA, subject: CA, publicKey, extensions: [ofAuthority] };
  const der = makeX509(fields, privateKey);
  return { kind, keys, der, pem: pemOf(der), anchors: [readCertificate(der)] };
}

/** Certificates that a peer shows, one of which is changed. */
export interface Chain {
  readonly name: string;
  readonly ders: readonly Uint8Array[];
  /** Which of them is changed. */
  readonly at: number;
  /** The key of the first. */
  readonly key: KeyObject;
  /** Whether they are accepted as they are. */
  readonly isGood: boolean;
}

/** A leaf and an intermediate, each signed by the authority and by nobody. */
export function chainsOf({ kind, keys: { privateKey } }: Authority): Chain[] {
  const own = makeKeys(kind);
  const between = makeKeys(kind);
  const key = own.privateKey;
  const leafBy = (issuer: Uint8Array, by: KeyObject): Uint8Array =>
    makeX509({ ...LEAF, issuer, publicKey: own.publicKey }, by);
  const intermediateBy = (by: KeyObject): Uint8Array => {
    const extensions = [ofAuthority];
    const fields = { issuer: CA, subject: INTERMEDIATE, publicKey: between.publicKey, extensions };
    return makeX509(fields, by);
  };
  const below = leafBy(INTERMEDIATE, between.privateKey);
  const nobody = makeKeys(kind).privateKey;
  return [true, false].flatMap((isGood) => {
    const by = isGood ? privateKey : nobody;
    const name = `${kind} ${isGood ? "signed" : "signed by nobody"}`;
    return [
      { name: `${name}, leaf`, ders: [leafBy(CA, by)], at: 0, key, isGood },
      { name: `${name}, intermediate`, ders: [below, intermediateBy(by)], at: 1, key, isGood },
    ];
  });
}

/** What one byte of some bytes may become: other bytes, none or two. */
export function changesAt(bytes: Uint8Array, at: number): Uint8Array[] {
  const byte = bytes[at]!;
  const others = new Set([byte ^ 1, byte ^ 0x80, byte ^ 0x20, byte + 1 & 0xff, 0, 0xff]);
  others.delete(byte);
  const before = bytes.subarray(0, at);
  return [[], [byte, byte], ...Array.from(others, (other) => [other])].map((instead) =>
    concat([before, Uint8Array.from(instead), bytes.subarray(at + 1)])
  );
}

/** What comes of changing each byte, and of another behind the last. */
export function allChanges(bytes: Uint8Array): Uint8Array[] {
  const changed = Array.from(bytes, (_, at) => changesAt(bytes, at)).flat();
  return [...changed, Uint8Array.of(...bytes, 0)];
}

export function changedChain({ ders, at }: Chain, der: Uint8Array): Uint8Array[] {
  return ders.map((one, i) => i === at ? der : one);
}

/** Whether these certificates are accepted, if their key is proved. */
export function passes(
  chain: readonly Uint8Array[],
  authority: Authority,
  role: "server" | "client",
): boolean {
  const { anchors } = authority;
  const signatures = new Signatures();
  try {
    const host = role === "server" ? { host: HOST } : {};
    verifyPeer({ peerCertificates: chain, verifyError: "" }, {
      signatures,
      remoteAddr: "nobody",
      role,
      anchors,
      ...host,
    });
    return true;
  } catch {
    return false;
  }
}

/** A certificate of these keys, changed in all ways, or in some, before the authority has signed it. */
export function changedAndSigned(
  { keys }: Authority,
  { publicKey }: KeyPair,
  isChosen: () => boolean = () => true,
): Uint8Array[] {
  const { privateKey } = keys;
  const part = toBeSigned({ ...LEAF, issuer: CA, publicKey }, privateKey);
  return allChanges(part).filter(isChosen).map((changed) => signed(changed, privateKey));
}

/** What openssl says of those of some certificates that it does not take. */
export async function refusedByOpenssl(
  ders: Uint8Array[],
  { pem }: Authority,
  { asks }: Pick<Way, "asks">,
): Promise<string[]> {
  if (ders.length === 0) return [];
  const path = await Deno.makeTempDir({ prefix: "parley-sweep-" });
  try {
    await Deno.writeTextFile(`${path}/ca`, pem);
    await Promise.all(ders.map((der, at) => Deno.writeTextFile(`${path}/${at}`, pemOf(der))));
    const how = asks === "server"
      ? ["-purpose", "sslserver", "-verify_hostname", HOST]
      : ["-purpose", "sslclient"];
    const args = ["verify", "-CAfile", "ca", ...how, ...ders.keys().map(String)];
    const { stdout, stderr } = await new Deno.Command("openssl", { args, cwd: path }).output();
    const taken = new Set(new TextDecoder().decode(stdout).split("\n"));
    const why = new TextDecoder().decode(stderr);
    return ders.keys().filter((at) => !taken.has(`${at}: OK`))
      .map((at) => `${ders[at]!.toHex()}: ${why}`).toArray();
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** Shows certificates in all ways, and counts. */
class Sweep {
  readonly failures: string[] = [];
  shown = 0;
  readonly #authority: Authority;
  readonly #doors: Doors;

  constructor(authority: Authority) {
    this.#authority = authority;
    this.#doors = new Doors(authority.pem);
  }

  /** The ways by which a peer is let in. */
  async ways(chain: Uint8Array[], key: KeyObject): Promise<Way[]> {
    const ways: Way[] = [];
    for (const way of WAYS) {
      this.shown++;
      if (typeof await this.#doors.judge({ chain, key }, way) === "string") ways.push(way);
    }
    return ways;
  }

  /** Shows what nobody is to be let in by. */
  async refuses(name: string, chains: Uint8Array[][], key: KeyObject): Promise<void> {
    for (const chain of chains) {
      const ways = await this.ways(chain, key);
      if (ways.length === 0) continue;
      this.failures.push(`${name} ${JSON.stringify(ways)}\n${pemOf(...chain)}`);
    }
    this.report(name);
  }

  /** Shows what openssl has to take wherever it is taken here. */
  async agrees(name: string, ders: Uint8Array[], key: KeyObject): Promise<void> {
    const taken = new Map<string, Uint8Array[]>(WAYS.map(({ asks }) => [asks, []]));
    for (const der of ders) {
      for (const { asks } of await this.ways([der], key)) taken.get(asks)!.push(der);
    }
    for (const asks of ["server", "optional", "required"] as const) {
      const all = taken.get(asks)!;
      for (let at = 0; at < all.length; at += 200) {
        const some = all.slice(at, at + 200);
        this.failures.push(...await refusedByOpenssl(some, this.#authority, { asks }));
      }
    }
    const counts = Array.from(taken, ([asks, all]) => `${asks} ${all.length / 2}`).join(", ");
    this.report(`${name} (of ${ders.length} are taken: ${counts})`);
  }

  report(name: string): void {
    console.log(`${name}: ${this.shown} shown, ${this.failures.length} failures`);
    this.shown = 0;
  }
}

async function main(): Promise<void> {
  const failures: string[] = [];
  for (const kind of KEY_KINDS) {
    if (Deno.args.length > 0 && !Deno.args.includes(kind)) continue;
    const authority = makeAuthority(kind);
    const sweep = new Sweep(authority);
    for (const chain of chainsOf(authority)) {
      const ways = await sweep.ways([...chain.ders], chain.key);
      if (ways.length !== (chain.isGood ? WAYS.length : 0)) {
        sweep.failures.push(`${chain.name}, unchanged: ${JSON.stringify(ways)}`);
      }
      const changed = allChanges(chain.ders[chain.at]!).map((der) => changedChain(chain, der));
      await sweep.refuses(`${chain.name}, changed`, changed, chain.key);
    }
    const own = makeKeys(kind);
    const ders = changedAndSigned(authority, own);
    const stranger = makeKeys(kind).privateKey;
    const name = `${kind} leaf, changed and signed`;
    await sweep.refuses(`${name}, without its key`, ders.map((der) => [der]), stranger);
    await sweep.agrees(`${name}, with its key`, ders, own.privateKey);
    failures.push(...sweep.failures);
  }
  for (const failure of failures) console.error(failure);
  Deno.exit(failures.length === 0 ? 0 : 1);
}

if (import.meta.main) await main();
