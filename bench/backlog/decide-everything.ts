import type pg from 'pg';

const CURSOR = 'iu_outbound_default';

/**
 * Brings worker and raw statement to the end of the outbox in one go: the attempts that they would have written, in the
 * order of the outbox, and both cursors at the last event.
 * @returns the attempts that are behind the worker's cursor now
 */
export async function decideEverything(client: pg.Client): Promise<number> {
  await client.query('set synchronous_commit = off');
  const partitions = await client.query<{ name: string }>(
    'select event_partition as name from iu_outbox_partition order by upper_at',
  );
  for (const { name } of partitions.rows) {
    await client.query(
      `insert into iu_route_attempt (
         idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, target_kind, target_ref)
       select
         event.id::text || ':iu_version_applied:${CURSOR}', 1, event.id, 'iu_version_applied', '${CURSOR}',
         'dry_run', 'dry_run', 'workflow', 'iu-version-applied'
       from ${client.escapeIdentifier(name)} as event
       where (event.epoch, event.xact_id, event.created_at, event.id) > (
         select
           coalesce(cursor_epoch, 0), coalesce(cursor_xact_id, '0'), coalesce(cursor_created_at, '-infinity'),
           coalesce(cursor_event_id, '00000000-0000-0000-0000-000000000000')
         from iu_route_worker_cursor
         where cursor_code = '${CURSOR}')
       order by event.id`,
    );
  }
  await client.query('truncate raw_attempt');
  await client.query('insert into raw_attempt select * from iu_route_attempt order by idempotency_key');
  await client.query(
    `with last_event as (
       select epoch, xact_id, created_at, id
       from event_outbox
       order by epoch desc, xact_id desc, created_at desc, id desc
       limit 1
     ), raw_moved as (
       update raw_cursor
       set epoch = last_event.epoch, xact_id = last_event.xact_id,
         created_at = last_event.created_at, id = last_event.id
       from last_event
     )
     update iu_route_worker_cursor
     set cursor_epoch = last_event.epoch, cursor_xact_id = last_event.xact_id,
       cursor_created_at = last_event.created_at, cursor_event_id = last_event.id
     from last_event
     where cursor_code = '${CURSOR}'`,
  );
  const { rows } = await client.query<{ attempts: string }>('select count(*) as attempts from raw_attempt');
  return Number(rows[0]?.attempts);
}
