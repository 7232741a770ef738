import { strict as assert } from "node:assert";
import { CertificateError, TlsHandshakeError } from "@parley/tcp";
import type { TlsServerOptions, TlsVersion } from "@parley/tcp";
import {
  answer,
  type BadPem,
  dial,
  expectLine,
  isBun,
  type Scenarios,
  until,
  withServer,
  withSession,
} from "./_harness.ts";
import { ca, inMemory, own, pems, trusting, VERSIONS } from "./_tls_harness.ts";

/** Whether a client accepts a server with this certificate. */
async function judgeServer({ cert, key }: BadPem, maxVersion: TlsVersion): Promise<string> {
  const client = { ...trusting, maxVersion };
  const error = await inMemory({ tls: { cert, key }, client }, () => Promise.resolve())
    .then(() => "let in", (error) => error);
  // With a certificate whose key is for another use, a server on Node does not send it, and one on Bun does not start.
  const isRefused = error instanceof TlsHandshakeError || isBun && error instanceof TypeError;
  return isRefused ? "refused" : String(error);
}

/** Whether a server accepts a client with this certificate. */
async function judgeClient(
  { cert, key }: BadPem,
  clientCertificate: "optional" | "required",
  maxVersion: TlsVersion,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const scenario = inMemory({
    tls: { ...own, ca, clientCertificate },
    client: { ...trusting, cert, key, maxVersion },
    handler: () => resolve("let in"),
    onRefusal: ({ cause }) => resolve((cause as Error).message),
  }, (session) => session.readLine());
  await scenario.catch((error) => {
    // The client's error differs. On Bun, a client cannot even try to use a key that is for another use.
    if (isBun && error instanceof TypeError) resolve("the client's certificate is not used");
  });
  return await promise;
}

export const tlsCertificates: Scenarios = {
  "a server's certificate has to be for the host": async () => {
    await withServer({ tls: own }, answer, async (server) => {
      const elsewhere = dial(server, { tls: { ca, serverName: "elsewhere" } });
      await assert.rejects(elsewhere, CertificateError);
      await withSession(dial(server, { tls: { ca } }), (session) => {
        assert.equal(session.tls!.serverName, undefined); // 127.0.0.1 is no server name
        return Promise.resolve();
      });
      await assert.rejects(dial(server, { tls: { serverName: "localhost" } }), CertificateError);
    });
  },

  "bad certificates of servers are refused": async () => {
    for (const version of VERSIONS) {
      for (const bad of pems.badServers) {
        const verdict = await judgeServer(bad, version);
        assert.equal(verdict, "refused", `${bad.name} (${version})`);
      }
    }
  },

  "bad certificates of clients are refused": async () => {
    for (const version of VERSIONS) {
      for (const mode of ["optional", "required"] as const) {
        for (const bad of pems.badClients) {
          const verdict = await judgeClient(bad, mode, version);
          const where = `${bad.name} (${mode}, ${version}): ${verdict}`;
          assert(verdict.includes("the client's certificate"), where);
        }
      }
    }
  },

  "intermediate certificates are accepted, or refused by a hint to ca": async () => {
    const client = { ...trusting, ...pems.chained };
    for (const maxVersion of VERSIONS) {
      for (const trusted of [[ca], [ca, pems.intermediate]]) {
        let isLetIn = false;
        let refusal = "";
        const tls: TlsServerOptions = {
          ...pems.chained,
          ca: trusted,
          clientCertificate: "required",
        };
        await inMemory({
          tls: { ...tls, maxVersion },
          client,
          handler: () => void (isLetIn = true),
          onRefusal: ({ cause }) => refusal = (cause as Error).message,
        }, (session) => session.readLine()).catch(() => {});
        assert.equal(isLetIn, refusal === "", refusal);
        if (trusted.length === 1 && !isLetIn) assert.match(refusal, /add them to ca/);
        else assert(isLetIn, refusal);
      }
    }
  },

  "a client without a certificate is refused where one is required": async () => {
    for (const maxVersion of VERSIONS) {
      const options = { ...own, ca, clientCertificate: "required", maxVersion } as const;
      await withServer({ tls: options }, answer, async (server) => {
        // With TLS 1.3, the client is done before the server has verified it.
        const dialled = dial(server, { tls: trusting }).then((session) => session.readLine());
        await assert.rejects(dialled);
        await until(() => server.stats().refusals.handshake === 1);
      });
    }
  },

  "a certificate is chosen by server name, if the runtime can": async () => {
    const options: TlsServerOptions = {
      ...own,
      certificates: [pems.other],
      unknownServerName: "refuse",
    };
    if (isBun) {
      await assert.rejects(withServer({ tls: options }, answer, () => Promise.resolve()), /Bun/);
      return;
    }
    await withServer({ tls: options }, answer, async (server) => {
      const tls = { ca, serverName: "other.example" };
      await withSession(dial(server, { tls }), (session) => {
        assert.equal(session.tls!.peerCertificate!.subject, "CN=other");
        return Promise.resolve();
      });
      const refused = dial(server, { tls: { ca, serverName: "elsewhere" } });
      await assert.rejects(refused, TlsHandshakeError);
    });
  },

  "reloadTls() applies to new sessions": () =>
    withServer({ tls: own }, answer, async (server) => {
      await withSession(dial(server, { tls: trusting }), async (session) => {
        server.reloadTls(pems.other);
        await session.send("rose\n");
        await expectLine(session, "re:rose");
      });
      await assert.rejects(dial(server, { tls: trusting }), CertificateError);
      await withSession(
        dial(server, { tls: { ca, serverName: "other.example" } }),
        () => Promise.resolve(),
      );
    }),
};
