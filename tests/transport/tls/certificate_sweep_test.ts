// A part of `deno task sweep:certificates` that is quick, chosen by a seed that is told where it fails.

import { assert, assertEquals } from "@std/assert";
import { Doors, WAYS } from "../../_hostile_peers.ts";
import { overTls } from "../../_tls.ts";
import { tcpPair } from "../../_transports.ts";
import { KEY_KINDS, makeKeys, pemOf } from "../../_x509.ts";
import { Random } from "../../fuzz.ts";
import {
  allChanges,
  chainsOf,
  changedAndSigned,
  changedChain,
  changesAt,
  makeAuthority,
  passes,
  refusedByOpenssl,
} from "../../sweep_certificates.ts";

const SEED = Math.floor(Math.random() * 2 ** 31);
const HANDSHAKES = 8;

for (const kind of KEY_KINDS) {
  Deno.test(`verifyPeer() accepts no certificate that was changed (${kind})`, overTls, async () => {
    const random = new Random(SEED);
    const authority = makeAuthority(kind);
    const doors = new Doors(authority.pem);
    for (const chain of chainsOf(authority)) {
      const { name, ders, at, key, isGood } = chain;
      for (const role of ["server", "client"] as const) {
        assertEquals(passes(ders, authority, role), isGood, `${name} as a ${role}`);
      }
      const assertTaken = async (chain: Uint8Array[], isTaken: boolean): Promise<void> => {
        for (const way of WAYS) {
          const verdict = await doors.judge({ chain, key }, way, await tcpPair());
          const what = `${name}, ${JSON.stringify(way)}, seed ${SEED}\n${pemOf(...chain)}`;
          assertEquals(typeof verdict === "string", isTaken, `${verdict}: ${what}`);
        }
      };
      await assertTaken([...ders], isGood);

      const target = ders[at]!;
      target.forEach((_, i) => {
        const changes = changesAt(target, i);
        const changed = changedChain(chain, changes[random.upTo(changes.length)]!);
        const what = `${name}, byte ${i}, seed ${SEED}\n${pemOf(...changed)}`;
        assert(!passes(changed, authority, "server"), what);
      });
      const all = allChanges(target);
      for (let i = 0; i < HANDSHAKES; i++) {
        await assertTaken(changedChain(chain, all[random.upTo(all.length)]!), false);
      }
    }
  });

  // What the TLS layer cannot read must not be read here: it would not ask for a proof of the key.
  Deno.test(
    `What an authority has signed needs its key, whatever it is (${kind})`,
    overTls,
    async () => {
      const random = new Random(SEED);
      const authority = makeAuthority(kind);
      const doors = new Doors(authority.pem);
      const own = makeKeys(kind);
      const chosen = changedAndSigned(
        authority,
        own,
        () => random.upTo(kind === "RSA" ? 40 : 8) === 0,
      );
      const stranger = makeKeys(kind).privateKey;
      const taken: Record<string, Uint8Array[]> = { server: [], optional: [], required: [] };
      for (const der of chosen) {
        const way = WAYS[random.upTo(WAYS.length)]!;
        const what = `${JSON.stringify(way)}, seed ${SEED}\n${pemOf(der)}`;
        const withoutKey = await doors.judge({ chain: [der], key: stranger }, way);
        assert(typeof withoutKey !== "string", what);
        const withKey = await doors.judge({ chain: [der], key: own.privateKey }, way);
        if (typeof withKey === "string") taken[way.asks]!.push(der);
      }
      for (const { asks } of WAYS) {
        assertEquals(await refusedByOpenssl(taken[asks]!, authority, { asks }), [], `seed ${SEED}`);
      }
      assert(Object.values(taken).flat().length > 0, `seed ${SEED}`);
    },
  );
}
