import type pg from 'pg';
import { ask } from './worker.ts';

export interface PlannedPartition {
  readonly partition: string;
  readonly events: number;
  readonly attempts: number;
  readonly leaves: boolean;
  readonly stays_because: string | null;
}

/** Makes the partitions of one day of long ago, as their owner does; answers that of the outbox. */
export async function oldPartition(client: pg.Client, daysAgo: number): Promise<string> {
  await client.query('set role iu_core_owner');
  const name = await ask<string>(
    client,
    `select fn_iu_retention_attach(day.begins_at + interval '1 day', day.begins_at) as answer
     from (select date_trunc('day', now(), 'UTC') - make_interval(days => $1) as begins_at) as day`,
    [daysAgo],
  );
  await client.query('reset role');
  return name;
}

/** Writes an event whose id says that it was written so many days ago, in that day's first hours; answers its id. */
export async function oldEvent(
  client: pg.Client,
  daysAgo: number,
  payload: object = {},
  more: { readonly subject?: string; readonly type?: string; readonly version?: string } = {},
): Promise<string> {
  return ask<string>(
    client,
    `insert into event_outbox (id, event_domain, event_type, event_subject, subject_ref, payload, actor)
     select
       fn_iu_uuid_v7_at(date_trunc('day', now(), 'UTC') - make_interval(days => $1) + count(*) * interval '1 s'),
       'iu', $3, $4, $5, $2, 'a test'
     from event_outbox
     returning id as answer`,
    [
      daysAgo,
      JSON.stringify(payload),
      more.type ?? 'version_applied',
      more.subject ?? 'a',
      more.version ?? null,
    ],
  );
}

/** What retention would do, oldest first. */
export async function planned(client: pg.Client): Promise<readonly PlannedPartition[]> {
  return ask(client, `select fn_iu_retention_plan() -> 'partitions' as answer`);
}

/** Why one partition has to stay; null where it may leave. */
export async function staysBecause(client: pg.Client, partition: string): Promise<string | null> {
  const found = (await planned(client)).find((one) => one.partition === partition);
  if (found === undefined) throw new Error(`${partition} is not in the plan`);
  return found.stays_because;
}

export async function drop(
  client: pg.Client,
  partition: string,
  actor: string | null = 'me',
  reason: string | null = 'a test',
): Promise<{ readonly partition: string; readonly events: number; readonly attempts: number }> {
  return ask(client, 'select fn_iu_retention_drop($1, $2, $3) as answer', [partition, actor, reason]);
}

export async function setGate(client: pg.Client, isOpen: boolean): Promise<void> {
  await client.query(`update dot_config set value = $1 where key = 'iu_core.retention_enabled'`, [
    String(isOpen),
  ]);
}

/** The partition that holds an event, and those that hold its attempts. */
export async function whereIs(
  client: pg.Client,
  event: string,
): Promise<{ readonly event: string | null; readonly attempts: readonly string[] }> {
  return ask(
    client,
    `select jsonb_build_object(
       'event', (select tableoid::regclass::text from event_outbox where id = $1),
       'attempts', (
         select coalesce(jsonb_agg(tableoid::regclass::text order by attempt_no), '[]')
         from iu_route_attempt where event_id = $1)) as answer`,
    [event],
  );
}
