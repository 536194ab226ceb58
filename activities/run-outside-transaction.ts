import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { FilePair, PlannedChangeStep } from '../contracts/plan.ts';
import { combineVerdicts } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { runScript } from '../target/run-script.ts';
import type { StepWork } from './perform-step.ts';
import { enterStep, stepBusy } from './receipts.ts';
import { stepLimits } from './step-limits.ts';

/**
 * Executes a file that cannot run in a transaction (`CREATE INDEX CONCURRENTLY` …). An intent is recorded
 * first, so that its undo runs even if no receipt follows; invalid indexes of an earlier attempt are dropped;
 * `done_when` decides whether the effect is there, before and after.
 *
 * @throws SluiceError `step_failed` where `done_when` does not pass afterwards, `step_busy`
 */
export async function runOutsideTransaction(
  given: StepWork,
  step: PlannedChangeStep,
  pair: FilePair,
  text: string,
): Promise<void> {
  const { client, target, ref } = given;
  const limits = stepLimits({ target }, 'change');
  if (pair.doneWhen === undefined) return;
  const doneWhen = { path: pair.doneWhen.path, text: await loadScript(client, pair.doneWhen.sha256) };
  const isDone = async () => {
    const { checks } = await inTransaction(
      client,
      'read only',
      limits,
      () => runScript(client, doneWhen.path, doneWhen.text),
      'rollback',
    );
    return combineVerdicts(checks.map((check) => check.verdict)) === 'pass';
  };
  const strangers = await inTransaction(client, 'read write', limits, async () => {
    await enterStep(client, ref.runId, step.id);
    return declareIntent(given, step, pair);
  });
  await lockForSession(given);
  if (await isDone()) return;
  await client.query(
    `set search_path = ${client.escapeIdentifier(target.schema)}, pg_temp;
     set lock_timeout = ${target.lockTimeoutMs};
     set statement_timeout = ${target.statementTimeoutMs.change}`,
  );
  for (const name of await invalidIndexes(client, target.schema)) {
    if (!strangers.includes(name)) await client.query(`drop index concurrently if exists ${name}`);
  }
  await runScript(client, pair.do.path, text);
  if (await isDone()) return;
  throw new SluiceError('step_failed', {
    what: `Step ${step.id}: ${pair.do.path} was executed, but ${doneWhen.path} does not pass.`,
    expected: 'After a file outside a transaction its done_when reports only pass.',
    safe: 'The undo of this file runs, because its intent is recorded.',
  });
}

/** Records what is about to be executed; returns the invalid indexes that stood there before the first attempt. */
async function declareIntent({ client, target, ref }: StepWork, step: PlannedChangeStep, pair: FilePair) {
  await client.query(
    `insert into sluice.step_intent (run_id, step_id, part, invalid_indexes)
     values ($1, $2, $3, $4)
     on conflict do nothing`,
    [ref.runId, step.id, pair.do.path, await invalidIndexes(client, target.schema)],
  );
  const declared = await client.query<{ names: readonly string[] }>(
    `select invalid_indexes as names
     from sluice.step_intent
     where run_id = $1
       and step_id = $2
       and part = $3`,
    [ref.runId, step.id, pair.do.path],
  );
  return declared.rows[0]?.names ?? [];
}

/** Holds the step's lock until the session ends, because no transaction holds it here. Tried, never waited for. */
async function lockForSession({ client, ref }: StepWork): Promise<void> {
  const taken = await client.query<{ locked: boolean }>(
    `select pg_try_advisory_lock(hashtextextended('sluice.step ' || $1 || ' ' || $2, 0)) as locked`,
    [ref.runId, ref.stepId],
  );
  if (taken.rows[0]?.locked !== true) throw stepBusy(ref.stepId);
}

/** An interrupted concurrent build leaves an invalid index under the name that the next attempt needs. */
async function invalidIndexes(client: pg.Client, schema: string): Promise<readonly string[]> {
  const invalid = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
     from pg_index as i
     join pg_class as c on c.oid = i.indexrelid
     join pg_namespace as n on n.oid = c.relnamespace
     where not i.indisvalid
       and n.nspname = $1
       and c.relkind = 'i'
       and not exists (
         select
         from pg_stat_progress_create_index as p
         where p.index_relid = i.indexrelid
       )
     order by name`,
    [schema],
  );
  return invalid.rows.map((row) => row.name);
}
