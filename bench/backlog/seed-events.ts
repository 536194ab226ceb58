import type pg from 'pg';
import { payloads } from '../drain/payloads.ts';

/** Ten million events in thirty days. */
export const EVENTS_A_DAY = 333_333;
const EVENTS_A_TRANSACTION = 100;
const EVENTS_A_STATEMENT = 500_000;

const BURN = (count: number) => `
  do $$
  begin
    for v_n in 1..${count} loop
      perform pg_current_xact_id();
      commit;
    end loop;
  end
  $$`;

/** `n` counts from 0; event `n` of `count` lies `count - n` steps of time before the last midnight. */
const INSERT = `
  insert into event_outbox (
    id, event_domain, event_type, event_subject, subject_ref, payload, actor, xact_id, epoch, created_at)
  select
    (lpad(to_hex(written.microseconds / 1000), 12, '0')
      || '7' || lpad(to_hex((written.microseconds % 1000) * 4096 / 1000), 3, '0')
      || right(gen_random_uuid()::text, 17))::uuid,
    'iu', 'version_applied', written.unit, gen_random_uuid(), $1::jsonb || jsonb_build_object('unit', written.unit),
    'bench', ($2::bigint + written.n / ${EVENTS_A_TRANSACTION})::text::xid8, 1,
    to_timestamp(written.microseconds / 1000000.0)
  from (
    select
      n,
      'guide/chapter-' || lpad(n::text, 8, '0') as unit,
      (extract(epoch from fn_iu_retention_boundary(clock_timestamp()) - interval '1 day') * 1000000)::bigint
        - ($3::bigint - n / ${EVENTS_A_TRANSACTION} * ${EVENTS_A_TRANSACTION}) * (86400000000 / ${EVENTS_A_DAY})
        + n % ${EVENTS_A_TRANSACTION} * 50 as microseconds
    from generate_series($4::bigint, $5::bigint) as n
  ) as written`;

/**
 * Fills the outbox as producers would have until last midnight, 333,333 a day, 100 in a transaction: keys
 * in time order, and transaction ids that were drawn beforehand and belong to no other row. The trigger that stamps
 * rows is off in the transactions that seed, and only there.
 */
export async function seedEvents(client: pg.Client, count: number): Promise<void> {
  await client.query('set synchronous_commit = off');
  const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
  await client.query(BURN(Math.ceil(count / EVENTS_A_TRANSACTION)));
  const firstXid = Number(rows[0]?.xid) + 1;
  for (let from = 0; from < count; from += EVENTS_A_STATEMENT) {
    const to = Math.min(from + EVENTS_A_STATEMENT, count) - 1;
    await client.query('begin; alter table event_outbox disable trigger trg_iu_outbox_stamp');
    await client.query(INSERT, [payloads(0, 1)[0], firstXid, count, from, to]);
    await client.query('alter table event_outbox enable always trigger trg_iu_outbox_stamp; commit');
    process.stderr.write(`seeded ${to + 1} of ${count} events\n`);
  }
  await assertTriggersAreOn(client);
}

async function assertTriggersAreOn(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ tables: string | null }>(
    `select string_agg(distinct tgrelid::regclass::text, ', ') as tables
     from pg_trigger
     where tgname = 'trg_iu_outbox_stamp' and tgenabled <> 'A'`,
  );
  if (rows[0]?.tables) throw new Error(`the stamping trigger is not ENABLE ALWAYS on ${rows[0].tables}`);
}
