/** Name constraints: the names that certificates below an authority may have (RFC 5280 §4.2.1.10). */

import type { Certificate } from "./certificate.ts";
import type { NameConstraints } from "./extensions.ts";
import {
  COMMON_NAME,
  DIRECTORY_NAME,
  DNS_NAME,
  EMAIL,
  EMAIL_ADDRESS,
  type GeneralName,
  IP_ADDRESS,
  latin1,
} from "./names.ts";

/**
 * Throws if a certificate has a name that is not permitted, or excluded. Only constraints on DNS names and IP addresses
 * are understood: with a constraint on another kind of name, the certificate must have no name of that kind.
 *
 * @param isLeaf Whether it is the peer's own certificate, whose common name some software takes for a host name.
 */
export function checkNames(
  certificate: Certificate,
  altNames: readonly GeneralName[],
  { permitted, excluded }: NameConstraints,
  isLeaf: boolean,
): void {
  for (const name of [...altNames, ...namesOfSubject(certificate, altNames, isLeaf)]) {
    const ofSameKind = ({ tag }: GeneralName): boolean => tag === name.tag;
    const allowing = permitted.filter(ofSameKind);
    const isPermitted = allowing.length === 0 || allowing.some((base) => isWithin(name, base));
    if (isPermitted && !excluded.filter(ofSameKind).some((base) => overlaps(name, base))) continue;
    throw new Error("has a name that an authority above it does not permit (name constraints)");
  }
}

/** The names in the subject: the whole of it, email addresses, and a common name that may be taken for a host name. */
function namesOfSubject(
  { subject }: Certificate,
  altNames: readonly GeneralName[],
  isLeaf: boolean,
): GeneralName[] {
  const names: GeneralName[] = [];
  if (subject.attributes.length > 0) names.push({ tag: DIRECTORY_NAME, content: subject.der });
  const isHost = isLeaf && !altNames.some(({ tag }) => tag === DNS_NAME);
  for (const { oid, text = "" } of subject.attributes) {
    const content = encoder.encode(text);
    if (oid === EMAIL_ADDRESS) names.push({ tag: EMAIL, content });
    if (oid === COMMON_NAME && isHost && HOST.test(text)) names.push({ tag: DNS_NAME, content });
  }
  return names;
}

const encoder = new TextEncoder();
const HOST = /^[\w-]+(\.[\w-]+)+\.?$/;

/** Whether everything that the name covers is within the subtree. */
function isWithin({ tag, content }: GeneralName, base: GeneralName): boolean {
  if (tag === IP_ADDRESS) return isInNetwork(content, base.content);
  return tag === DNS_NAME && isBelow(hostOf(content), hostOf(base.content));
}

/** Whether anything that the name covers may be within the subtree. */
function overlaps(name: GeneralName, base: GeneralName): boolean {
  if (name.tag === IP_ADDRESS) return !isNetwork(base.content) || isWithin(name, base);
  if (name.tag !== DNS_NAME || isWithin(name, base)) return true;
  const host = hostOf(name.content);
  // A wildcard covers one label, so it covers a base that has exactly one label more than the rest of the name.
  return host.startsWith("*.") && host.slice(1) === hostOf(base.content).replace(/^[^.]+/, "");
}

/** A subtree that begins with a dot contains only hosts below it. */
function isBelow(host: string, base: string): boolean {
  return base === "" || host === base || host.endsWith(base.startsWith(".") ? base : `.${base}`);
}

function hostOf(content: Uint8Array): string {
  return latin1(content).toLowerCase().replace(/\.$/, "");
}

/** An address with a mask. */
function isNetwork(base: Uint8Array): boolean {
  return base.length === 8 || base.length === 32;
}

function isInNetwork(address: Uint8Array, base: Uint8Array): boolean {
  const { length } = address;
  if (!isNetwork(base) || base.length !== length * 2) return false;
  return address.every((byte, i) => ((byte ^ base[i]!) & base[length + i]!) === 0);
}
