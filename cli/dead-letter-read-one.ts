import type pg from 'pg';
import type { LetterState } from './dead-letter-read.ts';

/** A failure of a letter. Times are ISO 8601. */
export interface LetterFailure {
  readonly attemptNo: number;
  readonly code: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly at: string;
}

/** Where a letter's route delivers to, or did. */
export interface LetterRoute {
  readonly kind: string;
  readonly target: string;
  readonly enabled: boolean;
  readonly dryRun: boolean;
}

export interface LetterAttempt {
  readonly attemptNo: number;
  readonly at: string;
  readonly status: string;
  readonly delivered: boolean;
  readonly failure: string | null;
  readonly kind: string | null;
  readonly target: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** A plan that has the letter. */
export interface LetterPlan {
  readonly planHash: string;
  readonly plannedAt: string;
  readonly planState: string;
  /** What became of the letter in it. */
  readonly state: string;
  readonly tries: number;
  readonly because: string | null;
  readonly actor: string;
  readonly reason: string;
}

/** One letter with all that is known of it. */
export interface ShownLetter {
  readonly id: string;
  readonly state: LetterState;
  readonly route: string | null;
  readonly worker: string;
  readonly fingerprint: string;
  readonly idempotencyKey: string;
  readonly replays: number;
  /** The event as it was, with its payload. */
  readonly event: Readonly<Record<string, unknown>>;
  /** The route when the letter was written; null where the failure belongs to none. */
  readonly routeThen: LetterRoute | null;
  /** The route as it is; null where there is none any more. */
  readonly routeNow: LetterRoute | null;
  readonly targetChanged: boolean;
  readonly firstFailure: LetterFailure | null;
  readonly lastFailure: LetterFailure;
  /** Every one under its key, the first one first. */
  readonly attempts: readonly LetterAttempt[];
  /** Its states, the first one first; between parked and open again only the newest is kept. */
  readonly states: readonly {
    readonly state: LetterState;
    readonly at: string;
    readonly actor: string | null;
    readonly reason: string | null;
  }[];
  /** The newest first. */
  readonly plans: readonly LetterPlan[];
}

interface Row {
  readonly dead_letter_id: string;
  readonly state: LetterState;
  readonly route_code: string | null;
  readonly worker_code: string;
  readonly fingerprint: string;
  readonly idempotency_key: string;
  readonly replay_count: number;
  readonly event: Readonly<Record<string, unknown>>;
  readonly route_then: LetterRoute | null;
  readonly route_now: LetterRoute | null;
  readonly first_failure: {
    readonly attempt_no?: number;
    readonly failure_code?: string;
    readonly detail?: Readonly<Record<string, unknown>>;
  };
  readonly failure_code: string;
  readonly failure_detail: Readonly<Record<string, unknown>>;
  readonly failed_attempt: number | null;
  readonly created_at: Date;
  readonly last_failed_at: Date;
  readonly state_actor: string | null;
  readonly state_reason: string | null;
  readonly state_at: Date | null;
}

/** The letter of that id, or null. The transaction is open in the schema of IU Core. */
export async function readLetter(client: pg.Client, id: string): Promise<ShownLetter | null> {
  const { rows } = await client.query<Row>(
    `select
       letter.*,
       jsonb_build_object(
         'kind', letter.route ->> 'target_kind', 'target', letter.route ->> 'target_ref',
         'enabled', letter.route -> 'enabled', 'dryRun', letter.route -> 'dry_run'
       ) as route_then,
       (
         select jsonb_build_object(
           'kind', route.target_kind, 'target', route.target_ref, 'enabled', route.enabled, 'dryRun', route.dry_run)
         from iu_outbound_route as route
         where route.route_code = letter.route_code
       ) as route_now,
       (
         select max(attempt.attempt_no)
         from iu_route_attempt as attempt
         where attempt.idempotency_key = letter.idempotency_key
           and attempt.status = 'failed'
       ) as failed_attempt
     from iu_route_dead_letter as letter
     where letter.dead_letter_id = $1`,
    [id],
  );
  const [row] = rows;
  if (row === undefined) return null;
  const attempts = await readAttempts(client, row.idempotency_key);
  const plans = await readPlans(client, id);
  return letterOf(row, attempts, plans);
}

function letterOf(row: Row, attempts: readonly LetterAttempt[], plans: readonly LetterPlan[]): ShownLetter {
  const { first_failure: first, route_now: routeNow } = row;
  const routeThen = row.route_code === null || row.route_then?.kind == null ? null : row.route_then;
  return {
    id: row.dead_letter_id,
    state: row.state,
    route: row.route_code,
    worker: row.worker_code,
    fingerprint: row.fingerprint,
    idempotencyKey: row.idempotency_key,
    replays: row.replay_count,
    event: row.event,
    routeThen,
    routeNow,
    targetChanged:
      routeThen !== null &&
      routeNow !== null &&
      (routeThen.kind !== routeNow.kind || routeThen.target !== routeNow.target),
    firstFailure:
      first.failure_code === undefined
        ? null
        : {
            attemptNo: first.attempt_no ?? 1,
            code: first.failure_code,
            detail: first.detail ?? {},
            at: row.created_at.toISOString(),
          },
    lastFailure: {
      attemptNo: row.failed_attempt ?? first.attempt_no ?? 1,
      code: row.failure_code,
      detail: row.failure_detail,
      at: row.last_failed_at.toISOString(),
    },
    attempts,
    states: [
      { state: 'open', at: row.created_at.toISOString(), actor: null, reason: null },
      ...(row.state_at === null
        ? []
        : [
            {
              state: row.state,
              at: row.state_at.toISOString(),
              actor: row.state_actor,
              reason: row.state_reason,
            },
          ]),
    ],
    plans,
  };
}

async function readAttempts(client: pg.Client, key: string): Promise<readonly LetterAttempt[]> {
  const { rows } = await client.query<Omit<LetterAttempt, 'at'> & { readonly at: Date }>(
    `select
       attempt.attempt_no as "attemptNo",
       attempt.created_at as at,
       attempt.status,
       attempt.delivered,
       attempt.failure_code as failure,
       attempt.target_kind as kind,
       attempt.target_ref as target,
       attempt.detail
     from iu_route_attempt as attempt
     where attempt.idempotency_key = $1
     order by attempt.attempt_no`,
    [key],
  );
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

/** None where replays are not installed. */
async function readPlans(client: pg.Client, id: string): Promise<readonly LetterPlan[]> {
  const { rows: installed } = await client.query<{ has: boolean }>(
    `select to_regclass('iu_replay_letter') is not null as has`,
  );
  if (installed[0]?.has !== true) return [];
  const { rows } = await client.query<Omit<LetterPlan, 'plannedAt'> & { readonly plannedAt: Date }>(
    `select
       plan.plan_hash as "planHash",
       plan.created_at as "plannedAt",
       progress.state as "planState",
       letter.state,
       letter.tries,
       letter.because,
       plan.actor,
       plan.reason
     from iu_replay_letter as letter
     join iu_replay_plan as plan using (plan_hash)
     join iu_replay_progress as progress using (plan_hash)
     where letter.dead_letter_id = $1
     order by plan.created_at desc`,
    [id],
  );
  return rows.map((row) => ({ ...row, plannedAt: row.plannedAt.toISOString() }));
}
