import type pg from 'pg';
import { inTransaction } from '../../target/in-transaction.ts';
import type { Contestant } from '../drain/contestant.ts';
import { LIMITS } from '../drain/install-iu-core.ts';
import { countOf, withClient } from '../drain/with-client.ts';

/** Tables with the rows, columns and indexes of letters and attempts, and nothing else. */
const CREATE_RAW = `
  create table raw_letter as select * from iu_route_dead_letter;
  create table raw_attempt as select * from iu_route_attempt;
  do $$
  declare
    v_definition text;
    v_table text;
  begin
    for v_definition, v_table in
      select
        pg_get_indexdef(pg_index.indexrelid),
        case pg_index.indrelid when 'iu_route_dead_letter'::regclass then 'raw_letter' else 'raw_attempt' end
      from pg_index
      where pg_index.indrelid in ('iu_route_dead_letter'::regclass, 'iu_route_attempt'::regclass)
    loop
      execute regexp_replace(v_definition, 'INDEX \\S+ ON (ONLY )?\\S+', 'INDEX ON ' || v_table);
    end loop;
  end
  $$;`;

/** The next letters after a keyset resolved, each with its attempt; answers the keyset. */
const batchOf = (limit: number) => `
  with
    next as materialized (
      select dead_letter_id, idempotency_key, event_id, route_code, worker_code, route, created_at
      from raw_letter
      where state = 'open'
        and (created_at, dead_letter_id) > ($1::timestamptz, $2::uuid)
      order by created_at, dead_letter_id
      limit ${limit}
    ),
    tried as (
      insert into raw_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered, target_kind,
        target_ref, detail, xact_id, created_at)
      select
        next.idempotency_key, 2, next.event_id, next.route_code, next.worker_code, 'sent', 'sent', true,
        next.route ->> 'target_kind', next.route ->> 'target_ref',
        '{"plan": "0123456789abcdef", "reason": "the target was mended", "replayed_by": "bench"}',
        pg_current_xact_id(), clock_timestamp()
      from next
      returning raw_attempt.*
    ),
    resolved as (
      update raw_letter
      set
        state = 'resolved',
        state_actor = 'bench',
        state_reason = 'the target was mended',
        state_at = clock_timestamp(),
        replay_count = raw_letter.replay_count + 1,
        last_attempt = to_jsonb(tried)
      from tried
      where raw_letter.idempotency_key = tried.idempotency_key
    )
  select array[created_at::text, dead_letter_id::text] as reached
  from next
  order by created_at desc, dead_letter_id desc
  limit 1`;

/**
 * The limit that the replay is held against: its letters resolved with an attempt each, in batches of the same size, one
 * statement and one COMMIT a batch, without the call of the function, plan, gates, locks, checks, triggers and partitions.
 */
export function bareContestant(template: string, batch: number): Contestant {
  return {
    name: 'bare',
    template,
    settings: { batch },
    fill: async (url) => {
      await withClient(url, (client) => client.query(CREATE_RAW));
    },
    work: (url) =>
      withClient(url, async (client) => {
        const startedAt = performance.now();
        await resolveAll(client, batchOf(batch));
        return (performance.now() - startedAt) / 1_000;
      }),
    done: (client) =>
      countOf(
        client,
        `select count(*) as count
         from raw_letter
         join raw_attempt using (idempotency_key)
         where raw_letter.state = 'resolved' and raw_attempt.attempt_no = 2`,
      ),
  };
}

async function resolveAll(client: pg.Client, text: string): Promise<void> {
  let reached: string[] | undefined = ['-infinity', '00000000-0000-0000-0000-000000000000'];
  while (reached !== undefined) {
    const keyset: string[] = reached;
    const { rows } = await inTransaction(client, 'read write', LIMITS, () =>
      client.query<{ reached: string[] }>(text, keyset),
    );
    reached = rows[0]?.reached;
  }
}
