import type pg from 'pg';
import { type DeliveryConfig, NO_DELIVERY } from '../../../config/delivery-config.ts';
import { buildRegistry, closeRegistry } from '../../../delivery/build-registry.ts';
import type { DeliveryRegistry } from '../../../delivery/delivery-registry.ts';
import { type Pumped, type PumpOptions, pumpDeliveries } from '../../../delivery/pump/pump-deliveries.ts';
import { ask, settled } from '../../sql-worker/support/worker.ts';

/** What lets deliveries reach a receiver on this machine. */
export const LOCAL_DELIVERY: DeliveryConfig = {
  ...NO_DELIVERY,
  allowCidrs: ['127.0.0.0/8'],
  externalEndpoint: { source: 'https://iu.example' },
};

/** Opens the gate of deliveries and puts routes on the list. */
export async function openDeliveries(sql: pg.Client): Promise<void> {
  await sql.query(`update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`);
}

/** A live route to a URL; its events are those of the domain `test` whose type is its code. */
export async function liveRoute(
  sql: pg.Client,
  code: string,
  targetRef: string,
  config: Readonly<Record<string, unknown>> = {},
  kind = 'external_endpoint',
): Promise<void> {
  await sql.query(
    `update dot_config
     set value = array_to_string(array_append(array_remove(string_to_array(value, ','), $1), $1), ',')
     where key = 'iu_core.delivery_live_routes'`,
    [code],
  );
  await sql.query(
    `insert into iu_outbound_route (
       route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run, config)
     values ($1, 'test', $1, $2, $3, true, false, $4)`,
    [code, kind, targetRef, JSON.stringify({ allow_http: true, ...config })],
  );
}

/** Writes events for a route, each with its number, and routes them: they are queued now. */
export async function queueEvents(sql: pg.Client, code: string, events: number): Promise<void> {
  await sql.query(
    `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
     select 'test', $1, 'subject ' || n, jsonb_build_object('n', n), 'a test'
     from generate_series(1, $2) as n`,
    [code, events],
  );
  await settled(sql);
  for (let seen = 2_000; seen === 2_000; ) {
    const run = 'select fn_iu_route_worker_run($1, 2000) as answer';
    const ran = await ask<{ seen: number; status: string }>(sql, run, ['iu_outbound_default']);
    if (ran.status !== 'ran') throw new Error(`the worker answered ${ran.status}`);
    seen = ran.seen;
  }
}

export const queued = (sql: pg.Client, code: string) =>
  ask<number>(sql, 'select count(*)::integer as answer from iu_route_delivery where route_code = $1', [code]);

/** Attempts of a route by status, such as `{ sent: 3 }`. */
export const attempts = (sql: pg.Client, code: string) =>
  ask<Record<string, number>>(
    sql,
    `select coalesce(jsonb_object_agg(status, attempts), '{}') as answer
     from (
       select iu_route_attempt.status, count(*) as attempts
       from iu_route_attempt
       where iu_route_attempt.route_code = $1
       group by iu_route_attempt.status
     ) as counted`,
    [code],
  );

/** Conservation: events = attempts by first decision + queued deliveries. */
export const isBalanced = (sql: pg.Client) =>
  ask<boolean>(sql, `select (fn_iu_conservation() ->> 'balanced')::boolean as answer`);

export interface PumpInput extends Partial<Omit<PumpOptions, 'session' | 'registry'>> {
  readonly url: string;
  readonly registry?: DeliveryRegistry;
  readonly delivery?: DeliveryConfig;
}

/** Delivers as the activity does, by default once until nothing is due. */
export async function pump({
  url,
  registry,
  delivery = LOCAL_DELIVERY,
  ...more
}: PumpInput): Promise<Pumped> {
  const used = registry ?? buildRegistry(delivery, { temporal: null, env: {} });
  try {
    return await pumpDeliveries({
      session: {
        url,
        applicationName: 'sluice:deliver',
        schema: 'public',
        lockTimeoutMs: 3_000,
        statementTimeoutMs: 30_000,
      },
      registry: used,
      concurrency: delivery.concurrency,
      leaseMs: delivery.leaseMs,
      worker: 'a test',
      forMs: 0,
      idleMs: 50,
      sliceMs: 600_000,
      signal: new AbortController().signal,
      ...more,
    });
  } finally {
    if (registry === undefined) await closeRegistry(used);
  }
}
