import type pg from 'pg';
import type { DeliverResult } from '../../../contracts/deliver.ts';
import { buildRegistry, closeRegistry } from '../../../delivery/build-registry.ts';
import { liveRoute, openDeliveries, pump, queued } from '../../delivery-activity/support/deliveries.ts';
import { installed } from '../../sql-worker/support/installed.ts';
import type { TestDatabase } from '../../support/create-database.ts';
import type { Ledger } from './ledger.ts';
import { SIGNED, SIGNED_DELIVERY, SIGNED_ENV } from './pump-process.ts';

/** A database that delivers, its gates open. */
export async function openDatabase(major: 15 | 18 = 15): Promise<{ database: TestDatabase; sql: pg.Client }> {
  const database = await installed(major, 'delivering');
  const sql = await database.connect();
  await openDeliveries(sql);
  return { database, sql };
}

/** A live route to a ledger, which signs. */
export function signedRoute(
  sql: pg.Client,
  code: string,
  ledger: Pick<Ledger, 'url'>,
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  return liveRoute(sql, code, ledger.url(code), { ...SIGNED, ...config });
}

/** Delivers in this process, once until nothing is due. */
export async function deliverNow(
  url: string,
  more: Partial<Omit<Parameters<typeof pump>[0], 'url' | 'registry'>> = {},
): Promise<DeliverResult> {
  const { delivery = SIGNED_DELIVERY } = more;
  const registry = buildRegistry(delivery, { temporal: null, env: SIGNED_ENV });
  try {
    return await pump({
      url,
      registry,
      concurrency: delivery.concurrency,
      leaseMs: delivery.leaseMs,
      ...more,
    });
  } finally {
    await closeRegistry(registry);
  }
}

/** Lets every lease that is held be over, as time does. */
export async function endLeases(sql: pg.Client): Promise<void> {
  await sql.query(`update iu_route_lease set leased_until = clock_timestamp() - interval '1 ms'`);
}

/** Lets what waits for another try be due. */
export async function makeDue(sql: pg.Client, code: string): Promise<void> {
  await sql.query(`update iu_route_delivery set due_at = clock_timestamp() where route_code = $1`, [code]);
}

/** Attempts of a route, each as `#no status code`, with how many events have it. */
export async function attemptsOf(sql: pg.Client, code: string): Promise<Record<string, number>> {
  const { rows } = await sql.query<{ told: string; events: number }>(
    `select concat_ws(' ', '#' || attempt_no, status, failure_code) as told, count(*)::integer as events
     from iu_route_attempt where route_code = $1 group by 1 order by 1`,
    [code],
  );
  return Object.fromEntries(rows.map(({ told, events }) => [told, events]));
}

export { queued };
