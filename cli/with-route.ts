import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import type { TransactionMode } from '../target/in-transaction.ts';
import type { Context } from './context.ts';
import { withIuCore } from './iu-core.ts';
import { type DeliveryGates, type Route, readGates, readRoute } from './route-read.ts';

/** What a command about one route works with. */
export interface GivenRoute {
  readonly access: TargetAccess;
  readonly client: pg.Client;
  readonly gates: DeliveryGates;
  /** As it was when the command began. */
  readonly route: Route;
  transact<R>(mode: TransactionMode, statements: () => Promise<R>): Promise<R>;
  /** The gates and the route as they are now. */
  look(): Promise<{ readonly gates: DeliveryGates; readonly route: Route }>;
}

/**
 * Opens a session and reads a route.
 *
 * @throws SluiceError `route_not_found`; `iu_core_missing` where IU Core is not installed
 */
export function withRoute<T>(
  context: Context,
  { doing, code }: { readonly doing: string; readonly code: string },
  work: (given: GivenRoute) => Promise<T>,
): Promise<T> {
  return withIuCore(context, doing, async ({ client, target, transact }) => {
    const look = () =>
      transact('read only', async () => {
        const gates = await readGates(client);
        return { gates, route: await readRoute(client, gates, code) };
      });
    return work({ access: target, client, transact, look, ...(await look()) });
  });
}
