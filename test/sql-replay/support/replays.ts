import type pg from 'pg';
import { expect } from 'vitest';
import type { ReplayFilter, ReplayPlan, ReplayPolicy, ReplayProgress } from '../../../contracts/replay.ts';
import type { ReplayStep } from '../../../replay/replay-step.ts';
import { ask } from '../../sql-worker/support/worker.ts';
import { demandBooks } from './books.ts';

export const RUN = 'run-1';
/** As fast as it goes, without a canary: what most tests are not about. */
export const PLAIN: Partial<ReplayPolicy> = { canary: 0, ratePerSecond: null, jitter: 0 };

export async function plan(
  client: pg.Client,
  filter: unknown = {},
  policy: unknown = PLAIN,
  actor: string | null = 'me',
  reason: string | null = 'a test',
): Promise<ReplayPlan> {
  return ask<ReplayPlan>(client, 'select fn_iu_replay_plan($1, $2, $3, $4) as answer', [
    JSON.stringify(filter),
    JSON.stringify(policy),
    actor,
    reason,
  ]);
}

/** The hash of a plan that has letters. */
export async function planned(
  client: pg.Client,
  policy: Partial<ReplayPolicy> = {},
  filter: ReplayFilter = {},
): Promise<string> {
  const { planHash } = await plan(client, filter, { ...PLAIN, ...policy });
  if (planHash === null) throw new Error('the plan has no letters');
  return planHash;
}

export function runOf(runId: string) {
  return {
    workflowId: `replay/${runId}`,
    runId,
    temporalNamespace: 'default',
    temporalAddress: 'localhost:7233',
    temporalClusterId: 'c',
  };
}

export async function open(
  client: pg.Client,
  planHash: string | null,
  runId = RUN,
): Promise<{ readonly planHash: string; readonly progress: ReplayProgress }> {
  return ask(client, `select fn_iu_replay_open($1, $2, 'me', 'a test') as answer`, [
    planHash,
    JSON.stringify(runOf(runId)),
  ]);
}

/** Plans, opens, and answers the hash. */
export async function opened(
  client: pg.Client,
  policy: Partial<ReplayPolicy> = {},
  filter: ReplayFilter = {},
): Promise<string> {
  const planHash = await planned(client, policy, filter);
  await open(client, planHash);
  return planHash;
}

export interface StepOptions {
  readonly limit?: number;
  readonly until?: 'canary' | 'end';
  readonly window?: number;
  readonly runId?: string;
}

/** One step; afterwards the books are right, and the progress has not gone back. */
export async function step(
  client: pg.Client,
  planHash: string,
  { limit = 100, until = 'end', window = 100, runId = RUN }: StepOptions = {},
): Promise<ReplayStep> {
  const before = await progressOf(client, planHash);
  const found = await ask<ReplayStep>(client, 'select fn_iu_replay_step($1, $2, $3, $4, $5) as answer', [
    planHash,
    runId,
    until,
    limit,
    window,
  ]);
  const after = await progressOf(client, planHash);
  expect(found.progress).toEqual(after);
  for (const key of ['resolved', 'failed', 'skipped', 'tries'] as const)
    expect(after[key], key).toBeGreaterThanOrEqual(before[key]);
  await demandBooks(client);
  return found;
}

export async function steer(
  client: pg.Client,
  planHash: string,
  what: string,
  value: unknown = null,
  runId = RUN,
): Promise<ReplayProgress> {
  const progress = await ask<ReplayProgress>(
    client,
    `select fn_iu_replay_steer($1, $2, $3, $4, 'an operator', 'a drill') as answer`,
    [planHash, runId, what, value === null ? null : JSON.stringify(value)],
  );
  await demandBooks(client);
  return progress;
}

export async function close(
  client: pg.Client,
  planHash: string,
  outcome: string,
  runId = RUN,
): Promise<ReplayProgress> {
  const progress = await ask<ReplayProgress>(
    client,
    `select fn_iu_replay_close($1, $2, $3, 'a test') as answer`,
    [planHash, runId, outcome],
  );
  await demandBooks(client);
  return progress;
}

/** Steps until there is nothing to take at this moment, with every repeat due at once; answers the last. */
export async function stepAll(
  client: pg.Client,
  planHash: string,
  options: StepOptions = {},
): Promise<ReplayStep> {
  for (;;) {
    await makeDue(client);
    const found = await step(client, planHash, options);
    if (found.status !== 'working' && found.dueInMs === null) return found;
  }
}

/** Lets every repeat be due now. */
export async function makeDue(client: pg.Client): Promise<void> {
  await client.query('update iu_replay_letter set due_at = clock_timestamp() where due_at is not null');
}

export async function progressOf(client: pg.Client, planHash: string): Promise<ReplayProgress> {
  return ask(
    client,
    `select fn_iu_replay_progress_json(p) as answer from iu_replay_progress as p where plan_hash = $1`,
    [planHash],
  );
}

/** The letters of a plan by place: `n state tries`, and why. */
export async function placesOf(client: pg.Client, planHash: string): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select concat_ws(' ', d.event #>> '{payload,n}', l.state, l.tries, l.because) as told
     from iu_replay_letter as l join iu_route_dead_letter as d using (dead_letter_id)
     where plan_hash = $1 order by place`,
    [planHash],
  );
  return rows.map((row) => row.told);
}

/** The dead letters by event: `n state, attempt number, replays`. */
export async function lettersNow(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ told: string }>(
    `select format('%s %s #%s, %s replays', event #>> '{payload,n}', state, last_attempt ->> 'attempt_no', replay_count) as told
     from iu_route_dead_letter order by event_id, worker_code`,
  );
  return rows.map((row) => row.told);
}

export async function letterIds(client: pg.Client, ...names: string[]): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    `select dead_letter_id as id from iu_route_dead_letter
     where event #>> '{payload,n}' = any ($1) order by event_id, worker_code`,
    [names],
  );
  return rows.map(({ id }) => id);
}

export interface Refusal {
  readonly sqlstate: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** How a call is refused: SQLSTATE, and the code for programs of its DETAIL. `none` where it is not. */
export async function refusal(call: Promise<unknown>): Promise<Refusal> {
  return call.then(
    () => ({ sqlstate: 'none', code: undefined, message: '', detail: {} }),
    (error: { code?: string; message: string; detail?: string }) => {
      const detail = error.code === 'SL010' ? JSON.parse(error.detail ?? '{}') : {};
      return { sqlstate: error.code ?? String(error), code: detail.code, message: error.message, detail };
    },
  );
}

/** `SL010 replay_stale`, or `none`. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  const { sqlstate, code } = await refusal(call);
  return code === undefined ? sqlstate : `${sqlstate} ${code}`;
}
