import { join } from 'node:path';
import type pg from 'pg';
import { buildPlan } from '../../../planning/build-plan.ts';
import { SHIPPED_MACROS } from '../../../planning/list-macros.ts';
import { storePlan } from '../../../planning/store-plan.ts';
import { ask, emit, runWorker } from '../../sql-worker/support/worker.ts';
import { allow, ROUTE, targetFunction } from '../delivery-support/delivering.ts';
import { installedTemplate } from '../support/installed.ts';
import type { OwnServer } from '../support/own-server.ts';

/** Answer of a function that fails whatever it is given. */
export const BROKEN = `(select jsonb_build_object('x', 1 / 0))`;
/** Answer of a function that still fails for a payload with `bad`. */
export const FAILS_FOR_BAD = `case when 1 / (case when p_request -> 'safe_payload' ? 'bad' then 0 else 1 end) > 0 then null::jsonb end`;

/** A database with planned replays installed by their macro, upon one with the seam built. */
export function replayTemplate(server: OwnServer, seamed: string): Promise<string> {
  return installedTemplate(server, ['dead-letter-replay'], seamed);
}

/** The route live to a function that fails, behind open gates. */
export async function brokenRoute(sql: pg.Client): Promise<void> {
  await allow(sql, 'sql_function', await targetFunction(sql, BROKEN));
  await sql.query(`update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`);
  await sql.query('update iu_outbound_route set dry_run = false where route_code = $1', [ROUTE]);
}

/** As many dead letters of the route as payloads, oldest first. */
export async function deadLetters(sql: pg.Client, payloads: readonly object[]): Promise<readonly string[]> {
  await brokenRoute(sql);
  for (const payload of payloads) await emit(sql, payload);
  await runWorker(sql);
  return ask<string[]>(
    sql,
    `select array_agg(dead_letter_id::text order by created_at, dead_letter_id) as answer
     from iu_route_dead_letter where state = 'open'`,
  );
}

/** The function that the route calls is mended; by default for good. */
export async function mend(sql: pg.Client, answer = 'null::jsonb'): Promise<void> {
  await targetFunction(sql, answer);
}

/** Freezes the open letters of the route as a plan, by somebody who neither starts nor approves a macro. */
export function planReplay(
  sql: pg.Client,
  policy: Readonly<Record<string, unknown>> = {},
  filter: Readonly<Record<string, unknown>> = {},
  actor = 'cleo',
): Promise<string> {
  return ask<string>(sql, `select fn_iu_replay_plan($1, $2, $3, 'mended') ->> 'planHash' as answer`, [
    JSON.stringify({ routes: [ROUTE], ...filter }),
    JSON.stringify({ ratePerSecond: null, ...policy }),
    actor,
  ]);
}

/** `<state>: resolved …, failed …, skipped …, waiting …, canary …, approved by …` of a plan. */
export function progressOf(sql: pg.Client, planHash: string): Promise<string> {
  return ask<string>(
    sql,
    `select format('%s: resolved %s, failed %s, skipped %s, waiting %s, canary %s, approved by %s', g.state, g.resolved,
       g.failed, g.skipped, p.letters - g.resolved - g.failed - g.skipped - g.queued, g.canary,
       coalesce(g.approved_by, 'nobody')) as answer
     from iu_replay_progress as g
     join iu_replay_plan as p using (plan_hash)
     where g.plan_hash = $1`,
    [planHash],
  );
}

/** Attempts by number and status: `2 sent: 3`. */
export function attempts(sql: pg.Client): Promise<string[]> {
  return ask<string[]>(
    sql,
    `select array_agg(line order by line) as answer
     from (
       select format('%s %s: %s', attempt_no, status, count(*)) as line
       from iu_route_attempt as a
       where exists (select from iu_route_dead_letter as d where d.idempotency_key = a.idempotency_key)
       group by attempt_no, status
     ) as counted`,
  );
}

/**
 * A run of macro replay-after-fix under way, as its rows tell it, for checks that are read without an engine.
 *
 * @returns its run id
 */
export async function underRun(
  sql: pg.Client,
  overrides: Readonly<Record<string, string>> = {},
): Promise<string> {
  const built = await buildPlan({
    manifestPath: join(SHIPPED_MACROS, 'replay-after-fix', 'macro.yaml'),
    target: 'demo',
    schema: 'public',
    overrides,
  });
  await storePlan(sql, built, { actor: 'ana' });
  return ask<string>(
    sql,
    `insert into sluice.run (kind, macro, target, plan_hash, workflow_id, temporal_run_id, temporal_namespace,
       temporal_address, temporal_cluster_id, actor, reason, fingerprint)
     values ('forward', 'replay-after-fix', 'demo', $1, 'macro/demo', gen_random_uuid()::text, 'default', 'nowhere', 'none',
       'ana', 'a test', 'x')
     returning run_id as answer`,
    [built.planHash],
  );
}

/** What the engine has written once the gates were read: their receipt. */
export async function gatesShown(
  sql: pg.Client,
  runId: string,
  checks: readonly { check_id: string; verdict: string; detail: string }[],
): Promise<void> {
  await sql.query(
    `insert into sluice.step_receipt (run_id, step_id, direction, state, kind, verdict, detail, checks, attempt, by_run_id,
       started_at)
     values ($1, 'mandatory-gates', 'do', 'done', 'check', 'pass', '', $2, 1, $1, now())`,
    [
      runId,
      JSON.stringify(
        checks.map((row) => ({ checkId: row.check_id, verdict: row.verdict, detail: row.detail })),
      ),
    ],
  );
}

/** The approval of the run, as the engine records it. */
export async function approvedBy(sql: pg.Client, runId: string, actor: string): Promise<void> {
  await sql.query(
    `insert into sluice.control_action (run_id, step_id, action, actor, reason)
     values ($1, 'approval', 'approve', $2, 'looks right')`,
    [runId, actor],
  );
}

/**
 * A step of the run's child workflow, done by hand: opens the plan, takes batches until nothing is working, and closes it.
 *
 * @returns how it ended
 */
export async function replayByHand(
  sql: pg.Client,
  runId: string,
  step: 'canary' | 'rest',
  planHash: string,
): Promise<string> {
  const id = `${runId} ${step}`;
  const run = await ask<string>(
    sql,
    `select jsonb_build_object('workflowId', format('macro/demo/%s/%s', run_no, $2::text), 'runId', $3::text,
       'temporalNamespace', 'default', 'temporalAddress', 'nowhere', 'temporalClusterId', 'none')::text as answer
     from sluice.run where run_id = $1`,
    [runId, step, id],
  );
  await sql.query(`select fn_iu_replay_open($1, $2, 'ana', 'a test')`, [planHash, run]);
  const until = step === 'canary' ? 'canary' : 'end';
  for (let batches = 0; batches < 100; batches += 1) {
    const { status, because } = await ask<{ status: string; because: string | null }>(
      sql,
      'select fn_iu_replay_step($1, $2, $3, 100, 100) as answer',
      [planHash, id, until],
    );
    if (status === 'working') continue;
    await sql.query('select fn_iu_replay_close($1, $2, $3, $4)', [planHash, id, status, because]);
    return status;
  }
  throw new Error('still working');
}
