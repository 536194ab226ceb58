import type pg from 'pg';
import type { LetterOptions } from './dead-letter-options.ts';
import { type Page, type PageRequest, placeOf, tokenOf } from './dead-letter-page.ts';

export const LETTER_STATES = ['open', 'parked', 'resolved', 'discarded'] as const;
export type LetterState = (typeof LETTER_STATES)[number];

/** Letters of one route and fingerprint. Times are ISO 8601. */
export interface LetterGroup {
  readonly route: string | null;
  readonly fingerprint: string;
  readonly code: string;
  /** The newest failure's. */
  readonly message: string;
  readonly letters: number;
  readonly states: Readonly<Record<LetterState, number>>;
  readonly firstFailedAt: string;
  readonly lastFailedAt: string;
  /** Replays of all its letters together, and of the one that was replayed most. */
  readonly replays: number;
  readonly mostReplays: number;
}

/** A letter in a list. */
export interface Letter {
  readonly id: string;
  readonly route: string | null;
  readonly state: LetterState;
  readonly code: string;
  readonly message: string;
  readonly fingerprint: string;
  readonly eventId: string;
  readonly subject: string | null;
  readonly attemptNo: number;
  readonly replays: number;
  readonly firstFailedAt: string;
  readonly lastFailedAt: string;
}

const MESSAGE = `coalesce(letter.failure_detail ->> 'message', letter.failure_detail ->> 'error', '')`;

/** Groups of letters, the one that failed last first. The transaction is open in the schema of IU Core. */
export async function readGroups(
  client: pg.Client,
  chosen: LetterOptions,
  { limit, after }: PageRequest,
): Promise<Page<LetterGroup>> {
  const where = conditions(chosen);
  const [place, fingerprint] = after === undefined ? [null, null] : placeOf(after, 'groups');
  const { rows } = await client.query<GroupRow>(
    `with
       grouped as (
         select
           letter.route_code,
           letter.fingerprint,
           count(*)::integer as letters,
           count(*) filter (where letter.state = 'open')::integer as open,
           count(*) filter (where letter.state = 'parked')::integer as parked,
           count(*) filter (where letter.state = 'resolved')::integer as resolved,
           count(*) filter (where letter.state = 'discarded')::integer as discarded,
           min(letter.created_at) as first_failed_at,
           max(letter.last_failed_at) as last_failed_at,
           sum(letter.replay_count)::integer as replays,
           max(letter.replay_count) as most_replays
         from iu_route_dead_letter as letter
         where ${where.sql}
         group by letter.route_code, letter.fingerprint
       ),
       page as (
         select *
         from grouped
         where $${where.values.length + 1}::timestamptz is null
           or (grouped.last_failed_at, grouped.fingerprint)
             < ($${where.values.length + 1}::timestamptz, $${where.values.length + 2}::text)
         order by grouped.last_failed_at desc, grouped.fingerprint desc
         limit $${where.values.length + 3}
       )
     select
       page.*,
       page.last_failed_at::text as place,
       newest.failure_code,
       newest.message,
       total.letters as total_letters,
       total.groups as total_groups
     from (
       select coalesce(sum(grouped.letters), 0)::integer as letters, count(*)::integer as groups
       from grouped
     ) as total
     left join page on true
     left join lateral (
       select letter.failure_code, ${MESSAGE} as message
       from iu_route_dead_letter as letter
       where letter.fingerprint = page.fingerprint
         and letter.route_code is not distinct from page.route_code
       order by letter.created_at desc
       limit 1
     ) as newest on true
     order by page.last_failed_at desc, page.fingerprint desc`,
    [...where.values, place, fingerprint, limit + 1],
  );
  const found = rows.filter((row) => row.fingerprint !== null);
  const last = found[limit - 1];
  return {
    rows: found.slice(0, limit).map(groupOf),
    total: { letters: rows[0]?.total_letters ?? 0, groups: rows[0]?.total_groups ?? 0 },
    next: found.length > limit && last !== undefined ? tokenOf('groups', last.place, last.fingerprint) : null,
  };
}

/** Single letters, the newest first. The transaction is open in the schema of IU Core. */
export async function readLetters(
  client: pg.Client,
  chosen: LetterOptions,
  { limit, after }: PageRequest,
): Promise<Page<Letter>> {
  const where = conditions(chosen);
  const [place] = after === undefined ? [null] : placeOf(after, 'letters');
  const counted = await client.query<{ letters: number; groups: number }>(
    `select
       count(*)::integer as letters,
       count(distinct letter.fingerprint)::integer as groups
     from iu_route_dead_letter as letter
     where ${where.sql}`,
    [...where.values],
  );
  const { rows } = await client.query<LetterRow>(
    `select
       letter.dead_letter_id, letter.route_code, letter.state, letter.failure_code, ${MESSAGE} as message,
       letter.fingerprint, letter.event_id, letter.event ->> 'event_subject' as subject,
       (letter.last_attempt ->> 'attempt_no')::integer as attempt_no,
       letter.replay_count, letter.created_at, letter.last_failed_at
     from iu_route_dead_letter as letter
     where ${where.sql}
       and ($${where.values.length + 1}::uuid is null or letter.dead_letter_id < $${where.values.length + 1})
     order by letter.dead_letter_id desc
     limit $${where.values.length + 2}`,
    [...where.values, place, limit + 1],
  );
  const last = rows[limit - 1];
  return {
    rows: rows.slice(0, limit).map(letterOf),
    total: counted.rows[0] ?? { letters: 0, groups: 0 },
    next: rows.length > limit && last !== undefined ? tokenOf('letters', last.dead_letter_id) : null,
  };
}

/** Ids of all letters that are chosen, the oldest first. */
export async function readIds(client: pg.Client, chosen: LetterOptions): Promise<readonly string[]> {
  const where = conditions(chosen);
  const { rows } = await client.query<{ dead_letter_id: string }>(
    `select letter.dead_letter_id
     from iu_route_dead_letter as letter
     where ${where.sql}
     order by letter.dead_letter_id`,
    [...where.values],
  );
  return rows.map((row) => row.dead_letter_id);
}

interface GroupRow {
  readonly route_code: string | null;
  readonly fingerprint: string;
  readonly letters: number;
  readonly open: number;
  readonly parked: number;
  readonly resolved: number;
  readonly discarded: number;
  readonly first_failed_at: Date;
  readonly last_failed_at: Date;
  readonly replays: number;
  readonly most_replays: number;
  readonly place: string;
  readonly failure_code: string;
  readonly message: string;
  readonly total_letters: number;
  readonly total_groups: number;
}

interface LetterRow {
  readonly dead_letter_id: string;
  readonly route_code: string | null;
  readonly state: LetterState;
  readonly failure_code: string;
  readonly message: string;
  readonly fingerprint: string;
  readonly event_id: string;
  readonly subject: string | null;
  readonly attempt_no: number;
  readonly replay_count: number;
  readonly created_at: Date;
  readonly last_failed_at: Date;
}

function groupOf(row: GroupRow): LetterGroup {
  const { open, parked, resolved, discarded } = row;
  return {
    route: row.route_code,
    fingerprint: row.fingerprint,
    code: row.failure_code,
    message: row.message,
    letters: row.letters,
    states: { open, parked, resolved, discarded },
    firstFailedAt: row.first_failed_at.toISOString(),
    lastFailedAt: row.last_failed_at.toISOString(),
    replays: row.replays,
    mostReplays: row.most_replays,
  };
}

function letterOf(row: LetterRow): Letter {
  return {
    id: row.dead_letter_id,
    route: row.route_code,
    state: row.state,
    code: row.failure_code,
    message: row.message,
    fingerprint: row.fingerprint,
    eventId: row.event_id,
    subject: row.subject,
    attemptNo: row.attempt_no,
    replays: row.replay_count,
    firstFailedAt: row.created_at.toISOString(),
    lastFailedAt: row.last_failed_at.toISOString(),
  };
}

interface Conditions {
  readonly sql: string;
  readonly values: readonly unknown[];
}

function conditions({ route, code, fingerprint, state, since, until }: LetterOptions): Conditions {
  const given: readonly (readonly [string, unknown])[] = [
    ['letter.route_code = any (?)', route],
    ['letter.failure_code = any (?)', code],
    ['letter.fingerprint = any (?)', fingerprint],
    ['letter.state = any (?)', state],
    ['letter.last_failed_at >= ?', since],
    ['letter.last_failed_at <= ?', until],
  ];
  const present = given.filter(([, value]) => value !== undefined);
  return {
    sql: present.map(([text], at) => text.replace('?', `$${at + 1}`)).join('\n           and ') || 'true',
    values: present.map(([, value]) => value),
  };
}
