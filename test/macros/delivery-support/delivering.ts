import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { type DeliveryConfig, NO_DELIVERY } from '../../../config/delivery-config.ts';
import { ENABLE } from '../../sql-worker/support/installed.ts';
import { applyFile } from '../../sql-worker/support/run-file.ts';
import { ask, runWorker } from '../../sql-worker/support/worker.ts';
import { type TestEngine, testEngine } from '../../support/engine.ts';
import { documents } from '../support/documents.ts';
import { installedTemplate } from '../support/installed.ts';
import type { OwnServer } from '../support/own-server.ts';
import { runShipped } from '../support/shipped-macros.ts';

/** The route that all of it is about. */
export const ROUTE = 'iu_version_applied';

/** A database whose worker is live in dry run and has six dry-run attempts; the seam is not built. */
export async function liveTemplate(server: OwnServer): Promise<string> {
  const inert = await installedTemplate(server);
  const engine = await testEngine({ database: await server.create(inert) });
  const library = await documents({ edition: 100 });
  await applyFile(engine.sql, ENABLE);
  await library.edit(engine.sql);
  await runWorker(engine.sql);
  await engine.close();
  await library.remove();
  return engine.target;
}

/** A database with the seam built by its macro, at rest. */
export async function seamTemplate(server: OwnServer, live: string): Promise<string> {
  const engine = await testEngine({ database: await server.create(live) });
  const { outcome, cause } = await runShipped(engine, 'delivery-seam');
  if (outcome !== 'succeeded') throw new Error(`delivery-seam: ${outcome}, ${cause}`);
  await engine.close();
  return engine.target;
}

/** Configures the deliveries of an engine's target, before its first one. */
export function configure(engine: TestEngine, delivery: Partial<DeliveryConfig>): void {
  Object.assign(engine.access, { delivery: { ...NO_DELIVERY, ...delivery } });
}

/** Points the route at a target and allows it to be live. */
export async function allow(
  sql: pg.Client,
  kind: string,
  ref: string,
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await sql.query(
    'update iu_outbound_route set target_kind = $2, target_ref = $3, config = $4 where route_code = $1',
    [ROUTE, kind, ref, JSON.stringify(config)],
  );
  await sql.query(`update dot_config set value = $1 where key = 'iu_core.delivery_live_routes'`, [ROUTE]);
  if (kind === 'sql_function')
    await sql.query(`update dot_config set value = $1 where key = 'iu_core.delivery_functions'`, [ref]);
}

/** A folder of reports, and what is in one of them. */
export async function reports() {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-reports-'));
  return {
    dir,
    /** Lines of a report: one for each event. */
    async lines(name: string): Promise<readonly string[]> {
      const text = await readFile(join(dir, `${name}.jsonl`), 'utf8').catch(() => '');
      return text.split('\n').filter((line) => line !== '');
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

/**
 * A function that a route may call, of a role without rights in IU Core, which keeps what it was called with in
 * `app.received`. Its body answers; by default null, which is sent.
 */
export async function targetFunction(sql: pg.Client, answer = 'null::jsonb'): Promise<string> {
  await sql.query(`
    do $$ begin create role app_owner nologin; exception when duplicate_object or unique_violation then null; end $$;
    create schema if not exists app authorization app_owner;
    create table if not exists app.received (event_ref text not null, payload jsonb not null);
    alter table app.received owner to app_owner;
    create or replace function app.receive(p_request jsonb) returns jsonb
      language plpgsql security definer set search_path = pg_catalog
    as $f$
    begin
      insert into app.received values (p_request ->> 'event_ref', p_request -> 'safe_payload');
      return ${answer};
    end
    $f$;
    alter function app.receive(jsonb) owner to app_owner;
    grant usage on schema app to iu_core_owner;
  `);
  return 'app.receive';
}

export const received = (sql: pg.Client) =>
  ask<number>(sql, 'select count(*)::int as answer from app.received');

/** Attempts of the route by status, and what is left in queue and dead letters. */
export const ledger = (sql: pg.Client) =>
  ask<Record<string, number>>(
    sql,
    `select coalesce((
         select jsonb_object_agg(status, attempts)
         from (select status, count(*) as attempts from iu_route_attempt where route_code = '${ROUTE}' group by status) as a
       ), '{}')
       || jsonb_build_object(
         'queued', (select count(*) from iu_route_delivery),
         'letters', (select count(*) from iu_route_dead_letter where state = 'open'),
         'backlog', (select coalesce(sum(events), 0) from v_iu_event_backlog where cursor_code = 'iu_outbound_default')) as answer`,
  );

/** `<delivery gate> <live routes> <dry run> <why the cursor rests>`. */
export const state = (sql: pg.Client) =>
  ask<string>(
    sql,
    `select format('gate %s, list %s, %s, %s',
       (select value from dot_config where key = 'iu_core.delivery_enabled'),
       (select quote_literal(value) from dot_config where key = 'iu_core.delivery_live_routes'),
       (select case when dry_run then 'dry run' else 'live' end || case when enabled then '' else ', disabled' end
        from iu_outbound_route where route_code = '${ROUTE}'),
       (select coalesce('rests', 'at work') from iu_route_worker_cursor where paused_because is not null
        union all select 'at work' limit 1)) as answer`,
  );

export const AT_REST = `gate false, list '', dry run, at work`;
/** Closed, and still allowed: what a macro of live delivery finds, and leaves behind when it is taken back. */
export const ALLOWED = `gate false, list '${ROUTE}', dry run, at work`;

export const balanced = (sql: pg.Client) =>
  ask<string>(sql, `select fn_iu_conservation() ->> 'balanced' as answer`);

/** Deliveries to receivers on this machine. */
export const LOCAL: Partial<DeliveryConfig> = {
  allowCidrs: ['127.0.0.0/8'],
  externalEndpoint: { source: 'https://iu.example' },
};
