import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { ask } from '../../sql-worker/support/worker.ts';

export const ROUTE = 'out';
export const TOKEN_MS = 60_000;

export interface Claimed {
  readonly event_id: string;
  readonly attempt_no: number;
  readonly tries: number;
  readonly request: Readonly<Record<string, unknown>>;
  readonly payload: string;
  readonly body: Buffer | null;
}

export interface Lease {
  readonly token: string;
  readonly rows: readonly Claimed[];
  readonly events: readonly string[];
}

export interface Settled {
  readonly settled: number;
  readonly sent: number;
  readonly skipped: number;
  readonly retried: number;
  readonly dead_lettered: number;
  readonly refused: number;
  readonly route_disabled: boolean;
  readonly breaker: string;
}

export interface Outcome {
  readonly event_id?: string;
  readonly status?: string;
  readonly delivered?: boolean;
  readonly code?: string;
  readonly message?: string;
  readonly detail?: object;
  readonly retry_ms?: number | null;
  readonly disables_route?: boolean;
  readonly body_sha256?: string;
  readonly body?: string;
}

export interface RouteRow {
  readonly kind?: string;
  readonly ref?: string;
  readonly type?: string;
  readonly ordered?: boolean;
  readonly after?: 'block' | 'skip';
  readonly dryRun?: boolean;
}

/** Opens the delivery gate for the named routes and writes a live one, which takes events of type `told`. */
export async function liveRoute(client: pg.Client, code = ROUTE, route: RouteRow = {}): Promise<void> {
  await setConfig(client, 'delivery_enabled', 'true');
  await allow(client, code);
  await client.query(
    `insert into iu_outbound_route
       (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run, ordered_by_subject, after_dead_letter)
     values ($1, 'iu', $2, $3, $4, true, $5, $6, $7)`,
    [
      code,
      route.type ?? 'told',
      route.kind ?? 'external_endpoint',
      route.ref ?? 'https://receiver.example/in',
      route.dryRun ?? false,
      route.ordered ?? false,
      route.after ?? 'block',
    ],
  );
}

/** Puts a route on the list of those that may be live. */
export async function allow(client: pg.Client, code: string): Promise<void> {
  await client.query(
    `update dot_config set value = concat_ws(', ', nullif(value, ''), $1::text)
     where key = 'iu_core.delivery_live_routes'`,
    [code],
  );
}

export async function setConfig(client: pg.Client, key: string, value: string): Promise<void> {
  const { rowCount } = await client.query('update dot_config set value = $2 where key = $1', [
    `iu_core.${key}`,
    value,
  ]);
  if (rowCount !== 1) throw new Error(`there is no setting iu_core.${key}`);
}

/** Emits events that the route takes, each of its own subject, and answers their ids in that order. */
export async function tell(client: pg.Client, count = 1, payload: object = {}): Promise<string[]> {
  return ask<string[]>(
    client,
    `select array_agg(fn_iu_emit_event('iu', 'told', 's' || n, null, $2, 'a test') order by n) as answer
     from generate_series(1, $1) as n`,
    [count, JSON.stringify(payload)],
  );
}

/** One claim with a lease of its own. */
export async function claim(
  client: pg.Client,
  limit: number | null = 100,
  {
    route = ROUTE,
    leaseMs = TOKEN_MS,
    token = randomUUID(),
    worker = 'a test',
  }: {
    route?: string;
    leaseMs?: number | null;
    token?: string | null;
    worker?: string | null;
  } = {},
): Promise<Lease> {
  const { rows } = await client.query<Claimed>(
    'select * from fn_iu_route_delivery_claim($1, $2, $3, $4, $5)',
    [route, limit, leaseMs, token, worker],
  );
  return { token: token ?? '', rows, events: rows.map((row) => row.event_id) };
}

/** Settles outcomes as they are given. */
export async function settleWith(
  client: pg.Client,
  token: string | null,
  outcomes: unknown,
  route = ROUTE,
): Promise<Settled> {
  return ask<Settled>(client, 'select fn_iu_route_delivery_settle($1, $2, $3) as answer', [
    route,
    token,
    JSON.stringify(outcomes),
  ]);
}

/** Settles every delivery of a lease in the same way; `sent` where nothing is said. */
export async function settle(
  client: pg.Client,
  lease: Lease,
  outcome: Outcome = SENT,
  route = ROUTE,
): Promise<Settled> {
  const outcomes = lease.events.map((event_id) => ({ event_id, ...outcome }));
  return settleWith(client, lease.token, outcomes, route);
}

export const SENT: Outcome = { status: 'sent', delivered: true };
export const SKIPPED: Outcome = { status: 'skipped' };
/** Failed for good: no further try. */
export const DEAD: Outcome = { status: 'failed', code: 'http_400', message: 'Answer 400', retry_ms: null };
/** Failed, and due again at once. */
export const AGAIN: Outcome = { status: 'failed', code: 'http_503', message: 'Answer 503', retry_ms: 0 };

/** The queue, in the order in which it was written: `event attempt_no tries`, with a flag where a lease is held. */
export async function queue(client: pg.Client, route = ROUTE): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select format('%s #%s after %s%s', coalesce(payload ->> 'n', event_subject), attempt_no, tries,
         case when exists (
           select from iu_route_lease
           where iu_route_lease.lease_token = iu_route_delivery.lease_token and leased_until > clock_timestamp()
         ) then ' leased' else '' end) as told
     from iu_route_delivery
     join event_outbox on event_outbox.id = iu_route_delivery.event_id
     where iu_route_delivery.route_code = $1
     order by queued_at, event_outbox.id`,
    [route],
  );
  return rows.map((row) => row.told);
}

export async function queued(client: pg.Client): Promise<number> {
  return ask<number>(client, 'select count(*)::int as answer from iu_route_delivery');
}

/** The attempts of a route in the order of their events: `decision #attempt_no code`, `delivered` where it is. */
export async function attempts(client: pg.Client, route = ROUTE, worker?: string): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select concat_ws(' ', decision, '#' || attempt_no, failure_code, case when delivered then 'delivered' end) as told
     from iu_route_attempt
     where route_code = $1 and ($2::text is null or worker_code = $2)
     order by event_id, attempt_no, worker_code`,
    [route, worker ?? null],
  );
  return rows.map((row) => row.told);
}

/** The dead letters in the order of their events: `state code` and how often they were replayed. */
export async function letters(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select format('%s %s, %s replays', state, failure_code, replay_count) as told
     from iu_route_dead_letter order by event_id`,
  );
  return rows.map((row) => row.told);
}

/** `balanced`, with what is queued and not tried yet; otherwise the proof itself. */
export async function conservedQueue(client: pg.Client): Promise<string> {
  return ask<string>(
    client,
    `select case when proof ->> 'balanced' = 'true' then 'balanced' else 'NOT balanced: ' || proof::text end
       || coalesce(', ' || sum((waiting ->> 'events')::int) || ' queued', '') as answer
     from (select fn_iu_conservation() as proof) as proven
     left join lateral jsonb_array_elements(proof -> 'queued_deliveries') as waiting on true
     group by proof`,
  );
}

/** Puts a cursor before the first event. */
export async function resetCursor(client: pg.Client, cursor = 'iu_outbound_default'): Promise<void> {
  await client.query(
    `update iu_route_worker_cursor
     set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null
     where cursor_code = $1`,
    [cursor],
  );
}

/** Lets every lease that is held be over. */
export async function endLeases(client: pg.Client): Promise<void> {
  await client.query(`update iu_route_lease set leased_until = clock_timestamp() - interval '1 ms'`);
}

export async function recall(
  client: pg.Client,
  limit: number | null = 100,
  {
    route = ROUTE,
    actor = 'me',
    reason = 'a drill',
  }: { route?: string; actor?: string | null; reason?: string | null } = {},
): Promise<{ readonly recalled: number; readonly still_queued: number }> {
  return ask(client, 'select fn_iu_route_delivery_recall($1, $2, $3, $4) as answer', [
    route,
    limit,
    actor,
    reason,
  ]);
}

export interface WorkEntry {
  readonly route_code: string;
  readonly target_kind: string | null;
  readonly target_ref: string | null;
  readonly config: object | null;
  readonly state: string;
  readonly due_in_ms: number;
}

export const KINDS = ['workflow', 'vector', 'report', 'directus_flow', 'external_endpoint'];

export async function work(
  client: pg.Client,
  kinds: readonly string[] = KINDS,
): Promise<{ readonly status: string; readonly routes: readonly WorkEntry[] }> {
  return ask(client, 'select fn_iu_route_delivery_work($1) as answer', [kinds]);
}
