import type pg from 'pg';
import { deliver } from '../delivery/deliveries.ts';
import { runWorker } from '../drain/drain-contestant.ts';
import { countOf } from '../drain/with-client.ts';
import { ROUTES } from './install-replay.ts';
import { replaceFunction } from './told-function.ts';

const WORKER = 'iu_outbound_default';
/** Events that fail for real: fewer than a breaker looks at. */
const SAMPLE = 5;

/** Emits the events `from` to `from + count - 1` of a type within the server, so many in a transaction. */
export async function emit(
  client: pg.Client,
  type: string,
  from: number,
  count: number,
  inTransaction: number,
): Promise<void> {
  // Only here: what was emitted is checkpointed before anything is measured.
  await client.query('set synchronous_commit = off');
  for (let at = from; at < from + count; at += inTransaction)
    await client.query(
      `select count(fn_iu_emit_event(
         'iu', $1, 'guide/chapter-' || number, gen_random_uuid(),
         jsonb_build_object('unit', 'guide/chapter-' || number, 'version', 2, 'previous', 1, 'title',
           'How an event gets from its table to its target', 'author', 'bench', 'language', 'en', 'bytes', 20480),
         'bench'))
       from generate_series($2::integer, $3::integer) as n
       cross join lateral (values (lpad(n::text, 8, '0'))) as numbered (number)`,
      [type, at, Math.min(at + inTransaction, from + count) - 1],
    );
  await client.query('reset synchronous_commit');
}

/**
 * Dead letters of a route whose target is broken: a few events fail for real, the worker's run or the deliveries making
 * letters of them, and the others are recorded set-wise as those were.
 *
 * @param inTransaction events that are emitted, and recorded, in one transaction
 * @throws Error unless all letters are alike but for their events
 */
export async function makeLetters(
  client: pg.Client,
  url: string,
  kind: keyof typeof ROUTES,
  letters: number,
  inTransaction: number,
): Promise<void> {
  const route = ROUTES[kind];
  await emit(client, route, 0, SAMPLE, SAMPLE);
  await runWorker(client, SAMPLE);
  if (kind === 'http') await deliver(url, SAMPLE);
  for (let from = SAMPLE; from < letters; ) {
    const chunk = Math.min(RECORDED_AT_ONCE, letters - from);
    await emit(client, route, from, chunk, inTransaction);
    await client.query(RECORD, [route, WORKER]);
    from += chunk;
  }
  await assertAlike(client, route, letters);
}

const RECORDED_AT_ONCE = 20_000;

/** The function takes events now, and the endpoint is one that answers. */
export async function mend(client: pg.Client, answeringUrl: string): Promise<void> {
  await replaceFunction(client, 'works');
  await client.query('update iu_outbound_route set target_ref = $2 where route_code = $1', [
    ROUTES.http,
    answeringUrl,
  ]);
}

/** A failed attempt and a letter for every event that the worker has not come to, and the cursor behind them. */
const RECORD = `
  with
    worker as (
      select
        coalesce(cursor_epoch, 0) as epoch,
        coalesce(cursor_xact_id, '0') as xact_id,
        coalesce(cursor_created_at, '-infinity') as created_at,
        coalesce(cursor_event_id, '00000000-0000-0000-0000-000000000000') as id
      from iu_route_worker_cursor
      where cursor_code = $2
    ),
    sample as materialized (
      select route, failure_code, failure_detail, fingerprint, first_failure
      from iu_route_dead_letter
      where route_code = $1
      limit 1
    ),
    claimed as materialized (
      select event_outbox.*
      from event_outbox
      cross join worker
      where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id)
        > (worker.epoch, worker.xact_id, worker.created_at, worker.id)
    ),
    tried as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, target_kind, target_ref,
        failure_code, detail)
      select
        claimed.id::text || ':' || $1 || ':' || $2, 1, claimed.id, $1, $2, 'failed', 'failed',
        sample.route ->> 'target_kind', sample.route ->> 'target_ref', sample.failure_code,
        case
          when sample.failure_detail ? 'webhook_id'
            then sample.failure_detail || jsonb_build_object('webhook_id', claimed.id::text || ':' || $1)
          else sample.failure_detail
        end
      from claimed
      cross join sample
      returning iu_route_attempt.*
    ),
    buried as (
      insert into iu_route_dead_letter (
        idempotency_key, event_id, route_code, worker_code, event, route, last_attempt, failure_code, failure_detail,
        fingerprint, first_failure)
      select
        tried.idempotency_key, tried.event_id, $1, $2, to_jsonb(claimed), sample.route, to_jsonb(tried),
        sample.failure_code, tried.detail, sample.fingerprint,
        sample.first_failure || jsonb_build_object('detail', tried.detail)
      from tried
      join claimed on claimed.id = tried.event_id
      cross join sample
    )
  update iu_route_worker_cursor
  set
    cursor_epoch = last.epoch,
    cursor_xact_id = last.xact_id,
    cursor_created_at = last.created_at,
    cursor_event_id = last.id
  from (
    select epoch, xact_id, created_at, id
    from claimed
    order by epoch desc, xact_id desc, created_at desc, id desc
    limit 1
  ) as last
  where iu_route_worker_cursor.cursor_code = $2`;

async function assertAlike(client: pg.Client, route: string, letters: number): Promise<void> {
  const ofRoute = `from iu_route_dead_letter as letter where letter.route_code = '${route}'`;
  const made = await countOf(client, `select count(*) as count ${ofRoute}`);
  // Of an event only what it holds; of an attempt everything but what identifies it, its time and its detail.
  const kinds = await countOf(
    client,
    `select count(distinct to_jsonb(letter)
         - '{dead_letter_id,idempotency_key,event_id,xact_id,created_at,last_failed_at,failure_detail,first_failure}'::text[]
       || jsonb_build_object(
         'event', (select jsonb_agg(key order by key) from jsonb_object_keys(event) as key),
         'last_attempt', last_attempt - '{idempotency_key,event_id,xact_id,created_at,detail}'::text[],
         'detail', failure_detail - '{body_sha256,duration_ms,webhook_id}'::text[],
         'webhook', failure_detail ->> 'webhook_id' = event_id || ':' || route_code,
         'same', failure_detail = last_attempt -> 'detail' and failure_detail = first_failure -> 'detail',
         'first_failure', first_failure - 'detail')) as count
     ${ofRoute}`,
  );
  if (made !== letters || kinds !== 1)
    throw new Error(`${made} of ${letters} dead letters of route ${route} were made, of ${kinds} kinds`);
}
