import type pg from 'pg';
import { inTransaction } from '../../target/in-transaction.ts';
import type { Contestant } from './contestant.ts';
import { runWorker } from './drain-contestant.ts';
import { LIMITS } from './install-iu-core.ts';
import { emitEvents } from './iu-core-events.ts';
import { countOf, withClient } from './with-client.ts';

/** A table with the columns, types and indexes of the attempts, and nothing else; a cursor of one row. */
export const CREATE_RAW = `
  create table raw_attempt as select * from iu_route_attempt with no data;
  do $$
  declare
    v_definition text;
  begin
    for v_definition in
      select pg_get_indexdef(pg_index.indexrelid)
      from pg_index
      where pg_index.indrelid = 'iu_route_attempt'::regclass
    loop
      execute regexp_replace(v_definition, 'INDEX \\S+ ON (ONLY )?\\S+', 'INDEX ON raw_attempt');
    end loop;
  end
  $$;
  create table raw_cursor as
  select
    0 as epoch,
    '0'::xid8 as xact_id,
    '-infinity'::timestamptz as created_at,
    '00000000-0000-0000-0000-000000000000'::uuid as id;`;

/** One bare insert of the next batch in commit order below the horizon, and one update of the cursor. */
export const rawBatchOf = (limit: number) => `
  with
    claimed as materialized (
      select epoch, xact_id, created_at, id
      from event_outbox
      where (epoch, xact_id, created_at, id) > ($1::integer, $2::xid8, $3::timestamptz, $4::uuid)
        and xact_id < pg_snapshot_xmin(pg_current_snapshot())
      order by epoch, xact_id, created_at, id
      limit ${limit}
    ),
    written as (
      insert into raw_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered,
        target_kind, target_ref, failure_code, detail, xact_id, created_at)
      select
        claimed.id::text || ':iu_version_applied:iu_outbound_default', 1, claimed.id, 'iu_version_applied',
        'iu_outbound_default', 'dry_run', 'dry_run', false, 'workflow', 'iu-version-applied', null, '{}',
        pg_current_xact_id(), clock_timestamp()
      from claimed
    ),
    last_claimed as (
      select *
      from claimed
      order by epoch desc, xact_id desc, created_at desc, id desc
      limit 1
    )
  update raw_cursor
  set epoch = last_claimed.epoch, xact_id = last_claimed.xact_id,
    created_at = last_claimed.created_at, id = last_claimed.id
  from last_claimed
  returning array[
    last_claimed.epoch::text, last_claimed.xact_id::text, last_claimed.created_at::text, last_claimed.id::text
  ] as cursor`;

/**
 * The limit that the worker is held against: the rows that it writes, from the same outbox in the same order, without
 * gates, routes, checks, triggers and partitions. The batches are transactions as the worker's are.
 */
export function rawContestant(template: string, batch: number): Contestant {
  return {
    name: 'raw',
    template,
    settings: { batch },
    fill: async (url, events) => {
      await emitEvents(url, events);
      await withClient(url, (client) => client.query(CREATE_RAW));
    },
    work: async (url) =>
      await withClient(url, async (client) => {
        const startedAt = performance.now();
        await writeAll(client, batch);
        return (performance.now() - startedAt) / 1000;
      }),
    done: (client) => countOf(client, 'select count(distinct event_id) as count from raw_attempt'),
  };
}

/** Fails unless raw and worker write equal rows for the same events; only time and transaction may differ. */
export async function assertEqualRows(url: string, events: number): Promise<void> {
  await emitEvents(url, events);
  await withClient(url, async (client) => {
    await client.query(CREATE_RAW);
    await writeAll(client, events);
    await runWorker(client, events);
    const row = "to_jsonb(attempt) - 'xact_id' - 'created_at'";
    const all = (table: string) => `select ${row} from ${table} as attempt`;
    const differing = await countOf(
      client,
      `select count(*) as count from (
         (${all('raw_attempt')} except ${all('iu_route_attempt')})
         union all (${all('iu_route_attempt')} except ${all('raw_attempt')})) as differing`,
    );
    const written = await countOf(client, 'select count(*) as count from raw_attempt');
    if (differing > 0 || written !== events)
      throw new Error(
        `raw wrote ${written} rows for ${events} events, and ${differing} rows differ from the worker's`,
      );
  });
}

async function writeAll(client: pg.Client, batch: number): Promise<void> {
  const text = rawBatchOf(batch);
  let cursor = ['0', '0', '-infinity', '00000000-0000-0000-0000-000000000000'];
  for (;;) {
    const { rows } = await inTransaction(client, 'read write', LIMITS, () =>
      client.query<{ cursor: string[] }>(text, cursor),
    );
    const reached = rows[0]?.cursor;
    if (reached === undefined) return;
    cursor = reached;
  }
}
