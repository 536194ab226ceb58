import type pg from 'pg';
import { NO_ROUTE, ORDERED_ROUTES, UNORDERED_ROUTE } from './chaos-events.ts';
import type { Oracle } from './oracle.ts';

export interface ChaosVerdict {
  /** Committed events that have left the outbox, or lack the first decision for a route that matches them. */
  readonly lost: number;
  /** What became of some of them, one line for each event and route. */
  readonly lostStories: readonly string[];
  /** More than one first decision for an event, a route and a worker. */
  readonly duplicates: number;
  /** Attempts for what was not committed, or for a route that does not match. */
  readonly invented: number;
  /** Events in the outbox that no writer has committed. */
  readonly uncommitted: number;
  readonly deadLetters: number;
  /** Subjects whose events are not numbered 1, 2, 3 and so on. */
  readonly misnumbered: number;
  /** Events that were decided after a later one of their subject, on routes with an order and on the one without. */
  readonly inversionsOrdered: number;
  readonly inversionsUnordered: number;
  /** Of the routes with an order. */
  readonly inversionStories: readonly string[];
  readonly balanced: boolean;
}

const CHUNK = 50_000;
const STORIES = 20;

/** Holds the oracle against the outbox and the attempts. */
export async function chaosVerdict(client: pg.Client, oracle: Oracle): Promise<ChaosVerdict> {
  await client.query('create temp table committed (id uuid not null, route text not null)');
  for (let from = 0; from < oracle.ids.length; from += CHUNK) {
    const rows = oracle.ids
      .slice(from, from + CHUNK)
      .flatMap((id, place) => (oracle.routes[from + place] ?? []).map((route) => [id, route] as const));
    await client.query('insert into committed select * from unnest($1::uuid[], $2::text[])', [
      rows.map(([id]) => id),
      rows.map(([, route]) => route),
    ]);
  }
  await client.query(`analyze committed; set work_mem = '256MB'`);
  const lost = await client.query<{ id: string; story: string }>(LOST_SQL);
  const inverted = await client.query<{ story: string }>(INVERTED_SQL, [ORDERED_ROUTES]);
  const { rows } = await client.query<Omit<ChaosVerdict, 'lost' | `${string}Stories`>>(COUNTS_SQL, [
    ORDERED_ROUTES,
    UNORDERED_ROUTE,
  ]);
  const [counts] = rows;
  if (counts === undefined) throw new Error('the counts gave no row');
  return {
    lost: new Set(lost.rows.map(({ id }) => id)).size,
    lostStories: lost.rows.slice(0, STORIES).map(({ story }) => story),
    inversionStories: inverted.rows.map(({ story }) => story),
    ...counts,
  };
}

/** Each decision of a route beside the one before it about the same subject, in the order in which they were inserted. */
const IN_TURN = `
    in_turn as (
      select
        a.route_code,
        e.event_subject,
        e.subject_seq,
        a.xact_id,
        a.position,
        lag(e.subject_seq) over same_subject as seq_before,
        lag(a.xact_id) over same_subject as xact_before
      from iu_route_attempt as a
      join event_outbox as e on e.id = a.event_id
      where e.subject_seq is not null
        and a.attempt_no = 1
      window same_subject as (partition by a.route_code, e.event_domain, e.event_subject order by a.position)
    )`;

const INVERTED_SQL = `
  with ${IN_TURN}
  select format('%s: %s number %s, decided in %s, after number %s, decided in %s',
           route_code, event_subject, subject_seq, xact_id, seq_before, xact_before) as story
    from in_turn
   where subject_seq < seq_before and route_code = any ($1)
   order by position
   limit ${STORIES}`;

const LOST_SQL = `
  select
    committed.id,
    concat_ws(' ', committed.id, committed.route,
      case
        when e.id is null then 'has left the outbox'
        else format('xact %s created %s by %s', e.xact_id, e.created_at, e.actor)
      end,
      (select 'is held since ' || h.held_at from iu_route_held as h
        where h.event_id = committed.id and h.route_code = committed.route)) as story
    from committed
    left join event_outbox as e on e.id = committed.id
    left join iu_route_attempt as a
      on a.event_id = committed.id
     and coalesce(a.route_code, '${NO_ROUTE}') = committed.route
     and a.worker_code = 'iu_outbound_default'
     and a.attempt_no = 1
   where e.id is null
      or a.event_id is null
   order by story`;

const COUNTS_SQL = `
  with
    ${IN_TURN},
    repeated as (
      select from iu_route_attempt
       where attempt_no = 1
       group by event_id, route_code, worker_code
      having count(*) > 1
    ),
    invented as (
      select from iu_route_attempt as a
       where not exists (
         select from committed
          where committed.id = a.event_id and committed.route = coalesce(a.route_code, '${NO_ROUTE}'))
    ),
    uncommitted as (
      select from event_outbox as e
       where not exists (select from committed where committed.id = e.id)
    ),
    misnumbered as (
      select from event_outbox
       where subject_seq is not null
       group by event_domain, event_subject
      having min(subject_seq) <> 1 or max(subject_seq) <> count(*) or count(distinct subject_seq) <> count(*)
    )
  select
    (select count(*)::integer from repeated) as duplicates,
    (select count(*)::integer from invented) as invented,
    (select count(*)::integer from uncommitted) as uncommitted,
    (select count(*)::integer from iu_route_dead_letter) as "deadLetters",
    (select count(*)::integer from misnumbered) as misnumbered,
    (select count(*)::integer from in_turn where subject_seq < seq_before and route_code = any ($1)) as "inversionsOrdered",
    (select count(*)::integer from in_turn where subject_seq < seq_before and route_code = $2) as "inversionsUnordered",
    (fn_iu_conservation() ->> 'balanced')::boolean as balanced`;
