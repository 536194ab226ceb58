import ipaddr from 'ipaddr.js';
import type { Address } from './address-ranges.ts';

/** An IPv4 address carried inside an IPv6 address. */
export interface EmbeddedIpv4 {
  readonly address: Address;
  /** How it is carried, for people. */
  readonly form: string;
  /**
   * True where a packet to the IPv6 address is a packet to the IPv4 address and to nothing else (mapped, NAT64), so
   * that the IPv4 address alone is judged. False: the carrier has to pass as well.
   */
  readonly stands: boolean;
}

/** Where the 32 bits begin, in 16-bit groups, for a prefix of groups; `flip` for Teredo, which stores the complement. */
const FORMS: readonly { form: string; prefix: readonly number[]; at: number; flip?: true; stands?: true }[] =
  [
    { form: 'IPv4-mapped', prefix: [0, 0, 0, 0, 0, 0xffff], at: 6, stands: true },
    { form: 'NAT64', prefix: [0x64, 0xff9b, 0, 0, 0, 0], at: 6, stands: true },
    { form: 'local NAT64', prefix: [0x64, 0xff9b, 1], at: 6 },
    { form: 'IPv4-translated', prefix: [0, 0, 0, 0, 0xffff, 0], at: 6 },
    { form: 'IPv4-compatible', prefix: [0, 0, 0, 0, 0, 0], at: 6 },
    { form: '6to4', prefix: [0x2002], at: 1 },
    { form: 'Teredo', prefix: [0x2001, 0], at: 6, flip: true },
  ];

/** The IPv4 address inside an IPv6 address; null where there is none. */
export function embeddedIpv4(address: Address): EmbeddedIpv4 | null {
  if (!('parts' in address)) return null;
  const groups = address.parts;
  const found = FORMS.find(({ prefix }) => prefix.every((group, place) => groups[place] === group));
  if (found !== undefined) {
    const { form, at, flip, stands } = found;
    return { address: ipv4At(groups, at, flip === true), form, stands: stands === true };
  }
  // ISATAP marks the interface: 0:5efe or 200:5efe before the IPv4 address, under any prefix.
  const isIsatap = ((groups[4] ?? 0) & 0xfdff) === 0 && groups[5] === 0x5efe;
  return isIsatap ? { address: ipv4At(groups, 6, false), form: 'ISATAP', stands: false } : null;
}

function ipv4At(groups: readonly number[], at: number, flip: boolean): Address {
  const octets = [groups[at] ?? 0, groups[at + 1] ?? 0].flatMap((group) => [group >> 8, group & 0xff]);
  return new ipaddr.IPv4(flip ? octets.map((octet) => octet ^ 0xff) : octets);
}
