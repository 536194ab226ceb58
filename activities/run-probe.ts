import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { PlannedCheckStep } from '../contracts/plan.ts';
import { type CheckRow, combineVerdicts } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { runScript } from '../target/run-script.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishReading } from './finish-reading.ts';
import { performStep, type StepWork } from './perform-step.ts';
import { enterStep, recordedResult } from './receipts.ts';
import { nothingReported } from './run-check.ts';
import { stepLimits } from './step-limits.ts';

/** Times a probe is run whole again after a serialization failure, a lock that was not granted, or `busy`. */
const MAX_TRIES = 8;

/**
 * `probe`: a functional trial in one REPEATABLE READ transaction that the engine opens and always rolls back.
 * That it left nothing is proven by the transaction's status and by the `after` scripts, which read with
 * `sluice.probe_xid` set to its xid. Sequences are not transactional: what they drew is reported.
 */
export function runProbe(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const { client } = given;
      const step = given.step as PlannedCheckStep;
      const settings = stepLimits(given, 'probe');
      const known = await inTransaction(client, 'read only', settings, () =>
        enterStep(client, ref.runId, step.id),
      );
      const recorded = recordedResult(known);
      if (recorded !== undefined) return recorded;
      const before = await readSequences(client);
      const trial = await tryProbe(given, step);
      const status = await statusOf(client, trial.xid);
      if (status !== 'aborted') throw leaked(step.id, trial.xid, status);
      const after = await runAfter(given, step, trial.xid);
      const sequences = movedSequences(before, await readSequences(client));
      const checks = [...trial.checks, ...after];
      return finishReading(
        given,
        combineVerdicts(checks.map((check) => check.verdict)),
        checks,
        { xid: trial.xid, xactStatus: status, tries: trial.tries, leakedSequences: sequences },
        `xid ${trial.xid} aborted${sequences.length === 0 ? '' : `, sequences moved: ${sequences.join(', ')}`}`,
      );
    });
}

async function tryProbe(given: StepWork, step: PlannedCheckStep) {
  const { client } = given;
  const scripts = await Promise.all(
    step.scripts.map(async ({ path, sha256 }) => ({ path, text: await loadScript(client, sha256) })),
  );
  for (let tries = 1; ; tries += 1) {
    const checks: CheckRow[] = [];
    let xid = '';
    try {
      await inTransaction(
        client,
        'repeatable read, read write',
        stepLimits(given, 'probe'),
        async () => {
          xid = await currentXid(client);
          for (const { path, text } of scripts) {
            const run = await runScript(client, path, text);
            checks.push(...(run.checks.length === 0 ? [nothingReported(path)] : run.checks));
            const now = await currentXid(client);
            if (now !== xid) throw leaked(step.id, xid, await statusOf(client, xid));
          }
        },
        'rollback',
      );
      return { xid, checks, tries };
    } catch (error) {
      const code = error instanceof SluiceError ? error.code : 'unexpected';
      if ((code !== 'transient' && code !== 'lock_timeout' && code !== 'step_busy') || tries >= MAX_TRIES)
        throw error;
      given.report({ probeTries: tries });
      await new Promise((resolve) => setTimeout(resolve, 100 * tries));
    }
  }
}

async function runAfter(given: StepWork, step: PlannedCheckStep, xid: string): Promise<readonly CheckRow[]> {
  const checks: CheckRow[] = [];
  for (const { path, sha256 } of step.after) {
    const text = await loadScript(given.client, sha256);
    const run = await inTransaction(
      given.client,
      'read only',
      stepLimits(given, 'probe'),
      async () => {
        await given.client.query(`select set_config('sluice.probe_xid', $1, true)`, [xid]);
        return runScript(given.client, path, text);
      },
      'rollback',
    );
    checks.push(...(run.checks.length === 0 ? [nothingReported(path)] : run.checks));
  }
  return checks;
}

async function currentXid(client: pg.Client): Promise<string> {
  const found = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
  return found.rows[0]?.xid ?? '';
}

async function statusOf(client: pg.Client, xid: string): Promise<string> {
  const found = await client.query<{ status: string }>('select pg_xact_status($1::xid8) as status', [xid]);
  return found.rows[0]?.status ?? 'unknown';
}

async function readSequences(client: pg.Client): Promise<ReadonlyMap<string, string>> {
  const found = await client.query<{ name: string; last: string | null }>(
    `select format('%I.%I', schemaname, sequencename) as name, last_value::text as last
     from pg_sequences
     where schemaname <> 'sluice'`,
  );
  return new Map(found.rows.map((row) => [row.name, row.last ?? 'unused']));
}

function movedSequences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...after]
    .filter(([name, last]) => before.has(name) && before.get(name) !== last)
    .map(([name, last]) => `${name} ${before.get(name)} → ${last}`);
}

function leaked(stepId: string, xid: string, status: string): SluiceError {
  return new SluiceError('probe_leaked', {
    what: `Probe ${stepId} did not stay in its transaction: xid ${xid} is ${status}.`,
    expected: 'A probe runs in one transaction that the engine rolls back, so that nothing of it stays.',
    safe: `What transaction ${xid} wrote is in the target; find it by xmin before going on.`,
  });
}
