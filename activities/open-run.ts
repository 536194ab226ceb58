import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { OpenedRun } from '../contracts/macro-activities.ts';
import type { MacroInput } from '../contracts/macro-run.ts';
import { loadPlan } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { assertEngineCurrent } from '../target/install-engine.ts';
import { currentExecution } from './current-execution.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { readDatabaseFingerprint } from './read-fingerprint.ts';
import { settleUnfinishedRun } from './settle-unfinished-run.ts';
import { startIdentity } from './temporal-identity.ts';
import { withTarget } from './with-target.ts';

const LIMITS = { lockTimeoutMs: 5_000, statementTimeoutMs: 30_000 };

/**
 * Opens a macro run: checks target and plan, takes over an unfinished run whose workflow has ended, and writes
 * the row. A repeated attempt of the same execution finds its row again.
 *
 * @throws SluiceError `plan_not_found`, `target_read_only`, `target_conflict`, `engine_schema_missing` …
 */
export function openRun(dependencies: ActivityDependencies) {
  return (input: MacroInput): Promise<OpenedRun> =>
    withTarget(dependencies, input.target, 'open-run', async ({ client }) => {
      await assertEngineCurrent(client);
      await assertPrimary(client);
      const plan = await loadPlan(client, input.planHash);
      if (plan.target !== input.target) {
        throw new SluiceError('plan_not_found', {
          what: `Plan ${input.planHash.slice(0, 12)} was made for target ${plan.target}, not for ${input.target}.`,
          expected: 'A plan that was made for the target it runs on.',
          safe: 'Nothing was changed.',
        });
      }
      await settleUnfinishedRun(client, dependencies, input);
      const fingerprint = await readDatabaseFingerprint(client);
      const row = await insertRun(client, dependencies, {
        kind: 'forward',
        macro: plan.macro,
        undoesRunId: null,
        fingerprint,
        ...input,
      });
      return { ...row, plan };
    });
}

export interface NewRun {
  readonly kind: 'forward' | 'undo';
  readonly macro: string;
  readonly target: string;
  readonly planHash: string;
  readonly undoesRunId: string | null;
  readonly actor: string;
  readonly reason: string;
  readonly ticket?: string;
  readonly fingerprint: string;
}

/** Inserts the run of this Temporal execution, or finds the row that an earlier attempt inserted. */
export async function insertRun(
  client: pg.Client,
  dependencies: ActivityDependencies,
  run: NewRun,
): Promise<{ runId: string; runNo: number; fingerprint: string }> {
  const workflowExecution = currentExecution();
  const { temporal } = dependencies;
  const identity = await startIdentity(dependencies, workflowExecution);
  const inserted = await inTransaction(client, 'read write', LIMITS, async () => {
    await client.query(
      `insert into sluice.run (kind, macro, target, plan_hash, undoes_run_id, workflow_id, temporal_run_id,
         temporal_namespace, temporal_address, temporal_cluster_id, actor, temporal_identity, reason, ticket, fingerprint)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
       on conflict (temporal_cluster_id, temporal_namespace, workflow_id, temporal_run_id) do nothing`,
      [
        run.kind,
        run.macro,
        run.target,
        run.planHash,
        run.undoesRunId,
        workflowExecution.workflowId,
        workflowExecution.runId,
        temporal.namespace,
        temporal.address,
        temporal.clusterId,
        run.actor,
        identity,
        run.reason,
        run.ticket ?? null,
        run.fingerprint,
      ],
    );
    return client.query<{ run_id: string; run_no: string; fingerprint: string }>(
      `select run_id, run_no, fingerprint
       from sluice.run
       where temporal_cluster_id = $1
         and temporal_namespace = $2
         and workflow_id = $3
         and temporal_run_id = $4`,
      [temporal.clusterId, temporal.namespace, workflowExecution.workflowId, workflowExecution.runId],
    );
  }).catch((error: unknown) => {
    if ((error as { constraint?: string } | null)?.constraint !== 'run_one_unfinished') throw error;
    throw new SluiceError('target_conflict', {
      what: `Another run of database ${run.target} was opened at the same moment.`,
      expected: 'One macro at a time per database.',
      safe: 'Nothing was changed. Wait for that run, or cancel it: it rolls itself back.',
    });
  });
  const row = inserted.rows[0];
  if (row === undefined) throw new Error('the run that was inserted is not there');
  return { runId: row.run_id, runNo: Number(row.run_no), fingerprint: row.fingerprint };
}

/** @throws SluiceError `target_read_only` */
export async function assertPrimary(client: pg.Client): Promise<void> {
  const found = await client.query<{ standby: boolean; still: boolean }>(
    `select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as still`,
  );
  const { standby, still } = found.rows[0] ?? {};
  if (standby !== true && still !== true) return;
  throw new SluiceError('target_read_only', {
    what:
      standby === true
        ? 'The target is a standby: it is in recovery and takes no writes.'
        : 'Somebody has made the target read-only: default_transaction_read_only is on.',
    expected: 'The primary of the cluster, open for writing.',
    safe: 'Nothing was changed.',
  });
}
