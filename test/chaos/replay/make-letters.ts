import type pg from 'pg';
import { pump } from '../../delivery-activity/support/deliveries.ts';
import { LEVELS } from '../../sql-worker/support/installed.ts';
import { applyFile } from '../../sql-worker/support/run-file.ts';
import { ask, runWorker } from '../../sql-worker/support/worker.ts';
import { APP_SQL } from './app.ts';
import { answerOf, CHAOS_ROUTES } from './expected.ts';
import type { ChaosReceiver } from './receiver.ts';

/** Letters of each route that a failing drain has made: fewer than let a breaker judge. */
const DRAINED = 8;

export interface LettersOptions {
  readonly sql: pg.Client;
  readonly url: string;
  readonly receiver: ChaosReceiver;
  readonly letters: number;
}

/** Installs everything, its gates open. */
export async function installReplaying(sql: pg.Client): Promise<void> {
  for (const path of LEVELS.replaying) await applyFile(sql, path);
}

/**
 * Builds the application, lets every target fail, drains a few events of each route into dead letters, and makes the others of
 * these, as a set: attempt and letter are those of the drained one, for another event. Then the targets are mended as far as
 * they will be.
 */
export async function makeLetters({ sql, url, receiver, letters }: LettersOptions): Promise<void> {
  await sql.query(APP_SQL);
  await openRoutes(sql, receiver);
  receiver.answer = () => 500;
  const each = Math.floor(letters / Object.keys(CHAOS_ROUTES).length);
  await writeEvents(sql, 1, Math.min(DRAINED, each));
  await runWorker(sql, 10_000);
  await pump({ url });
  if (each > DRAINED) {
    await writeEvents(sql, DRAINED + 1, each);
    await sql.query(AS_DRAINED);
  }
  const made = await ask<number>(
    sql,
    `select count(*)::integer as answer from iu_route_dead_letter where state = 'open'`,
  );
  if (made !== each * Object.keys(CHAOS_ROUTES).length) throw new Error(`${made} dead letters were made`);
  await sql.query(`update app.mode set mode = 'mended'`);
  await sql.query('analyze');
  receiver.answer = (route, n) => (route === 'd_half_endpoint' ? answerOf(n) : 200);
}

async function openRoutes(sql: pg.Client, receiver: ChaosReceiver): Promise<void> {
  const routes = Object.entries(CHAOS_ROUTES);
  const functions = routes.filter(([, { kind }]) => kind === 'sql_function').map(([code]) => `app.${code}`);
  const settings = {
    delivery_enabled: 'true',
    delivery_live_routes: routes.map(([code]) => code).join(','),
    delivery_functions: functions.join(','),
    // A share of refusals is no outage; breakers have tests of their own.
    delivery_breaker_min_tries: '1000000',
  };
  for (const [key, value] of Object.entries(settings))
    await sql.query('update dot_config set value = $2 where key = $1', [`iu_core.${key}`, value]);
  for (const [code, { kind, perSubject }] of routes) {
    const isFunction = kind === 'sql_function';
    await sql.query(
      `insert into iu_outbound_route (
         route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run, ordered_by_subject,
         after_dead_letter, config)
       values ($1, 'test', $1, $2, $3, true, false, $4, 'skip', $5)`,
      [
        code,
        kind,
        isFunction ? `app.${code}` : receiver.url(code),
        perSubject !== null,
        isFunction ? {} : { allow_http: true, retry: { schedule: ['0s'] } },
      ],
    );
  }
}

async function writeEvents(sql: pg.Client, from: number, to: number): Promise<void> {
  for (const [code, { perSubject }] of Object.entries(CHAOS_ROUTES)) {
    await sql.query(
      `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
       select 'test', $1, 'subject ' || (n - 1) / $4, jsonb_build_object('n', n), 'a test'
       from generate_series($2::integer, $3::integer) as n`,
      [code, from, to, perSubject ?? 1],
    );
  }
}

/** What a failing drain leaves of an event, taken from one that it has left. */
const AS_DRAINED = `
  with
    drained as (
      select distinct on (letter.route_code)
        letter.route_code, letter.worker_code, letter.event_id, letter.route, letter.failure_code, letter.fingerprint,
        letter.first_failure, attempt.decision, attempt.status, attempt.target_kind, attempt.target_ref, attempt.detail
      from iu_route_dead_letter as letter
      join iu_route_attempt as attempt on attempt.idempotency_key = letter.idempotency_key
      order by letter.route_code, letter.event_id
    ),
    tried as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, target_kind, target_ref,
        failure_code, detail)
      select
        event_outbox.id::text || ':' || drained.route_code || ':' || drained.worker_code, 1, event_outbox.id,
        drained.route_code, drained.worker_code, drained.decision, drained.status, drained.target_kind,
        drained.target_ref, drained.failure_code, drained.detail
      from event_outbox
      join drained on drained.route_code = event_outbox.event_type
      where not exists (
        select from iu_route_attempt where iu_route_attempt.event_id = event_outbox.id
      )
      order by event_outbox.id
      returning *
    ),
    buried as (
      insert into iu_route_dead_letter (
        idempotency_key, event_id, route_code, worker_code, event, route, last_attempt, failure_code, failure_detail,
        fingerprint, first_failure)
      select
        tried.idempotency_key, tried.event_id, tried.route_code, tried.worker_code, to_jsonb(event_outbox), drained.route,
        to_jsonb(tried), tried.failure_code, tried.detail, drained.fingerprint, drained.first_failure
      from tried
      join event_outbox on event_outbox.id = tried.event_id
      join drained on drained.route_code = tried.route_code
      order by tried.event_id
    )
  update iu_route_worker_cursor
  set
    cursor_epoch = newest.epoch,
    cursor_xact_id = newest.xact_id,
    cursor_created_at = newest.created_at,
    cursor_event_id = newest.id
  from (
    select event_outbox.*
    from event_outbox
    order by event_outbox.epoch desc, event_outbox.xact_id desc, event_outbox.created_at desc, event_outbox.id desc
    limit 1
  ) as newest
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default'`;
