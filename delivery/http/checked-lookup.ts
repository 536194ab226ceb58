import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { addressFault } from './address-fault.ts';
import type { AddressRanges } from './address-ranges.ts';
import { HttpFault } from './http-fault.ts';

/** All addresses of a name. */
export type ResolveName = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * A `lookup` for sockets that hands back only addresses which were checked, so that a socket connects to what was
 * checked: it is the one look-up there is. One refused address refuses the name, for a name that points inside
 * with one of its addresses was made to. Sockets that wait for the same name share a look-up, so that a resolver which
 * does not answer holds one thread, not all; its answer is not kept.
 *
 * Its errors are HttpFault `dns_failed` and `address_refused`.
 */
export function checkedLookup(resolveName: ResolveName, allowed: AddressRanges): LookupFunction {
  const underWay = new Map<string, Promise<readonly LookupAddress[]>>();
  const resolveOnce = (hostname: string): Promise<readonly LookupAddress[]> => {
    const known = underWay.get(hostname);
    if (known !== undefined) return known;
    const started = resolveChecked(hostname, resolveName, allowed).finally(() => underWay.delete(hostname));
    underWay.set(hostname, started);
    return started;
  };
  return (hostname, { all }, callback) => {
    resolveOnce(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (all === true || first === undefined) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
}

async function resolveChecked(
  hostname: string,
  resolveName: ResolveName,
  allowed: AddressRanges,
): Promise<readonly LookupAddress[]> {
  let addresses: readonly LookupAddress[];
  try {
    addresses = await resolveName(hostname);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new HttpFault('dns_failed', `Name ${hostname} was not resolved: ${code ?? message}.`);
  }
  if (addresses.length === 0) throw new HttpFault('dns_failed', `Name ${hostname} has no address.`);
  for (const { address } of addresses) {
    const fault = addressFault(address, allowed);
    if (fault !== null) {
      throw new HttpFault('address_refused', `Name ${hostname} resolves to ${address}, ${fault}.`);
    }
  }
  return addresses;
}
