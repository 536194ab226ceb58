import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryGates } from './route-read.ts';

/** @throws SluiceError `iu_core_missing` where the delivery seam is not built in the target */
export function demandSeam(gates: DeliveryGates, { name, schema }: TargetAccess): void {
  if (gates.seamIsBuilt) return;
  throw new SluiceError('iu_core_missing', {
    what: `The delivery seam is not built in schema ${schema} of target ${name}.`,
    expected: 'The macro delivery-seam builds it: sluice macro plan delivery-seam.',
    safe: 'Nothing was changed.',
  });
}

/** Why the database does not let a function be called by a route, in one sentence; null where it does. */
export async function functionFault(client: pg.Client, targetRef: string): Promise<string | null> {
  const found = await client.query<{ fault: string | null }>(
    'select fn_iu_delivery_function_fault($1) as fault',
    [targetRef],
  );
  return found.rows[0]?.fault ?? null;
}

/** The key of `sluice.yaml` that builds a kind of target. */
export function keyOf(kind: string, { name }: TargetAccess): string {
  return `targets.${name}.delivery.${kind}`;
}
