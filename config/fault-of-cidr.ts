import ipaddr from 'ipaddr.js';

/** Why a text is no range of addresses that may be let through, or null where it is one. */
export function faultOfCidr(text: string): { what: string; expected: string } | null {
  const expected = 'Use a network and its prefix length, such as 10.0.0.0/8 or fd00::/8.';
  if (!/^[0-9A-Fa-f.:]+\/\d{1,3}$/.test(text) || !ipaddr.isValidCIDR(text))
    return { what: `\`${clipped(text)}\` is no range of addresses in CIDR notation.`, expected };
  const [address, length] = ipaddr.parseCIDR(text);
  if (address instanceof ipaddr.IPv4 && !ipaddr.IPv4.isValidCIDRFourPartDecimal(text))
    return { what: `\`${text}\` writes its address in another way than four decimal numbers.`, expected };
  if (length === 0) return { what: `\`${text}\` lets every address through.`, expected };
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress())
    return { what: `\`${text}\` is a range of IPv4 in the clothes of IPv6.`, expected };
  const network = networkOf(text);
  return network === address.toString()
    ? null
    : { what: `\`${text}\` has bits set behind its prefix.`, expected: `Use ${network}/${length}.` };
}

/** The range in one way of writing. The text must be without a fault. */
export function canonicalCidr(text: string): string {
  return `${networkOf(text)}/${ipaddr.parseCIDR(text)[1]}`;
}

function networkOf(cidr: string): string {
  const [address] = ipaddr.parseCIDR(cidr);
  const network =
    address instanceof ipaddr.IPv4
      ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
      : ipaddr.IPv6.networkAddressFromCIDR(cidr);
  return network.toString();
}

function clipped(text: string): string {
  return text.length > 50 ? `${text.slice(0, 49)}…` : text;
}
