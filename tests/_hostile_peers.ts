// Clients and servers whose peers present certificates that may be false.

import { closeQuietly } from "../_internal/close_quietly.ts";
import { CertificateError, TlsHandshakeError } from "../errors.ts";
import type { Connection } from "../transport/connection.ts";
import { memoryPair } from "../transport/memory.ts";
import { dialTls } from "../transport/tls/client.ts";
import { TlsAcceptor } from "../transport/tls/server.ts";
import { dialHostile, serveHostile, type Shown } from "./_hostile_tls.ts";
import { commonName, forHost, makeKeys, makeX509, ofLeaf, pemOf } from "./_x509.ts";

/** The role of a peer: a server, or a client whose certificate is optional or required. */
export interface Way {
  readonly version: "TLSv1.2" | "TLSv1.3";
  readonly asks: "server" | "optional" | "required";
}

/** All roles. */
export const WAYS: readonly Way[] = (["TLSv1.2", "TLSv1.3"] as const).flatMap((version) =>
  (["server", "optional", "required"] as const).map((asks) => ({ version, asks }))
);

export const HOST = "localhost";
const never = new AbortController().signal;

/** A client and servers that trust the same authorities. */
export class Doors {
  readonly #ca: string;
  readonly #acceptors: Record<string, TlsAcceptor>;

  /** @param ca The authorities, in PEM. */
  constructor(ca: string) {
    this.#ca = ca;
    const { publicKey, privateKey } = makeKeys("P-256");
    const subject = commonName("server");
    const extensions = [ofLeaf, forHost(HOST)];
    const cert = pemOf(makeX509({ issuer: subject, subject, publicKey, extensions }, privateKey));
    const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
    const acceptor = (clientCertificate: "optional" | "required"): TlsAcceptor =>
      new TlsAcceptor({ cert, key, ca, clientCertificate });
    this.#acceptors = { optional: acceptor("optional"), required: acceptor("required") };
  }

  /** The subject of a peer that is accepted, or why it is refused. */
  async judge(
    shown: Shown,
    { version, asks }: Way,
    [near, far]: readonly [Connection, Connection] = memoryPair(),
  ): Promise<string | TlsHandshakeError> {
    const hostile = (asks === "server" ? serveHostile : dialHostile)(far, version, shown);
    const ended = hostile.catch(() => closeQuietly(far)); // it is left alone where it is not let in
    try {
      const connection = asks === "server"
        ? await dialTls(near, { serverName: HOST, ca: this.#ca }, never)
        : await this.#acceptors[asks]!.accept(near, Infinity);
      connection.close();
      return connection.tls!.peerCertificate!.subject;
    } catch (error) {
      if (error instanceof TlsHandshakeError) return error;
      throw error;
    } finally {
      await ended;
      closeQuietly(far);
    }
  }

  /** Throws unless a peer is accepted in every role. */
  async letIn(shown: Shown, ways: readonly Way[] = WAYS): Promise<void> {
    for (const way of ways) {
      const verdict = await this.judge(shown, way);
      if (typeof verdict !== "string") throw new Error(JSON.stringify(way), { cause: verdict });
    }
  }

  /** Throws unless a peer is refused for this reason in every role. */
  async refuse(problem: string, shown: Shown, ways: readonly Way[] = WAYS): Promise<void> {
    for (const way of ways) {
      const verdict = await this.judge(shown, way);
      if (verdict instanceof CertificateError && verdict.message.includes(problem)) continue;
      throw new Error(`${JSON.stringify(way)}: ${verdict}`);
    }
  }
}
