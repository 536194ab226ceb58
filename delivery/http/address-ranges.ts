import ipaddr from 'ipaddr.js';
import { SluiceError } from '../../contracts/error-codes.ts';

/** An address as ipaddr.js reads it. */
export type Address = ReturnType<typeof ipaddr.parse>;

/** A set of addresses. */
export interface AddressRanges {
  contains(address: Address): boolean;
}

/**
 * The addresses of CIDR ranges, such as `10.0.0.0/8` and `fd00::/8`.
 *
 * @throws SluiceError `configuration_invalid` for a text that is not a range
 */
export function addressRanges(cidrs: readonly string[]): AddressRanges {
  const ranges = cidrs.map(readRange);
  return {
    contains: (address) =>
      ranges.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits)),
  };
}

function readRange(cidr: string): [Address, number] {
  if (/^(\d{1,3}\.){3}\d{1,3}\/|:/.test(cidr) && ipaddr.isValidCIDR(cidr)) return ipaddr.parseCIDR(cidr);
  throw new SluiceError('configuration_invalid', {
    what: `\`${cidr}\` is not a range of addresses.`,
    expected: 'A range in CIDR notation, such as 10.0.0.0/8 or fd00::/8.',
    safe: 'Nothing was sent.',
  });
}
