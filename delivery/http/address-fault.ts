import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { type Address, type AddressRanges, addressRanges } from './address-ranges.ts';
import { embeddedIpv4 } from './embedded-ipv4.ts';

/** All of IPv6 that is handed out for use on the internet; ipaddr.js calls more than this unicast. */
const GLOBAL_IPV6 = addressRanges(['2000::/3']);

/** Public by its number, answered by the host of a virtual machine: the metadata service of Azure. */
const METADATA = addressRanges(['168.63.129.16/32']);

/**
 * Why nothing may be sent to an address: a clause that follows its name, such as `which is loopback`; null where it may.
 *
 * Addresses of the internet pass. Loopback, private, link-local, shared (100.64/10), multicast, unspecified, broadcast,
 * reserved, benchmarking and documentation ranges do not, and neither does an IPv6 address that carries such an IPv4
 * address in any form; nor do 6to4, Teredo, local NAT64 and the other forms of transition, whatever they carry.
 * What `allowed` contains passes: the address itself, or the IPv4 address it stands for (mapped, NAT64).
 */
export function addressFault(address: string, allowed: AddressRanges): string | null {
  // ipaddr.js alone would also read spellings, such as 127.1, that nothing here hands over.
  const isRead = isIP(address) !== 0 && ipaddr.isValid(address);
  return isRead ? faultOf(ipaddr.parse(address), allowed) : 'which is not an address';
}

function faultOf(address: Address, allowed: AddressRanges): string | null {
  if (allowed.contains(address)) return null;
  const embedded = embeddedIpv4(address);
  if (embedded?.stands) return within(embedded.form, faultOf(embedded.address, allowed));
  const range = METADATA.contains(address) ? 'a metadata service' : rangeOf(address);
  if (range !== null) return `which is ${range}`;
  return embedded === null ? null : within(embedded.form, faultOf(embedded.address, allowed));
}

function within(form: string, fault: string | null): string | null {
  return fault === null ? null : `${fault}, as ${form}`;
}

/** The special range of an address; null on the internet. */
function rangeOf(address: Address): string | null {
  const range = address.range();
  if (range !== 'unicast') return range;
  return address.kind() === 'ipv4' || GLOBAL_IPV6.contains(address) ? null : 'not assigned to the internet';
}
