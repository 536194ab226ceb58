import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { OpenedUndo } from '../contracts/macro-activities.ts';
import type { UndoInput } from '../contracts/macro-run.ts';
import { isChange, type Plan } from '../contracts/plan.ts';
import { assertEngineCurrent } from '../target/install-engine.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { assertPrimary, insertRun } from './open-run.ts';
import { readDatabaseFingerprint } from './read-fingerprint.ts';
import { readRun } from './read-run.ts';
import { settleUnfinishedRun } from './settle-unfinished-run.ts';
import { withTarget } from './with-target.ts';

/**
 * Opens the undo of a run that has ended or was terminated: what is to be undone follows from its receipts, the
 * last step first. Steps without a receipt are named too, so that their slots are closed.
 *
 * @throws SluiceError `run_not_found`, `target_conflict` where the run is still open or a later run stands on it
 */
export function openUndo(dependencies: ActivityDependencies) {
  return (input: UndoInput): Promise<OpenedUndo> =>
    withTarget(dependencies, input.target, 'open-undo', async ({ client }) => {
      await assertEngineCurrent(client);
      await assertPrimary(client);
      await settleUnfinishedRun(client, dependencies, input);
      const { run, plan } = await readRun(client, input.undoRunId);
      if (run.kind === 'undo')
        throw refuse(`Run ${run.runNo} is itself an undo.`, 'A run that went forward.');
      await refuseWhileLaterRunsStand(client, run.runNo);
      const fingerprint = await readDatabaseFingerprint(client);
      const row = await insertRun(client, dependencies, {
        kind: 'undo',
        macro: run.macro,
        planHash: run.planHash,
        undoesRunId: run.runId,
        fingerprint,
        ...input,
      });
      return {
        ...row,
        plan,
        planHash: run.planHash,
        undoStepIds: await standingSteps(client, run.runId, plan),
      };
    });
}

/** Changes of the plan that are not wholly undone yet, last first. */
async function standingSteps(client: pg.Client, runId: string, plan: Plan): Promise<string[]> {
  const found = await client.query<{ step_id: string; part: string }>(
    `select step_id, part
     from sluice.step_receipt
     where run_id = $1
       and direction = 'undo'`,
    [runId],
  );
  const undone = new Set(found.rows.map((row) => `${row.step_id} ${row.part}`));
  return plan.steps
    .filter(isChange)
    .filter((step) => step.files.some((pair) => !undone.has(`${step.id} ${pair.do.path}`)))
    .map((step) => step.id)
    .reverse();
}

async function refuseWhileLaterRunsStand(client: pg.Client, runNo: number): Promise<void> {
  const later = await client.query<{ run_no: string; macro: string }>(
    `select run.run_no, run.macro
     from sluice.run
     where run.run_no > $1
       and exists (
         select
         from sluice.step_receipt as did
         where did.run_id = run.run_id
           and did.direction = 'do'
           and did.state = 'done'
           and did.kind in ('migrate', 'enable')
           and did.part <> ''
           and not exists (
             select
             from sluice.step_receipt as undid
             where undid.run_id = did.run_id
               and undid.step_id = did.step_id
               and undid.part = did.part
               and undid.direction = 'undo'
           )
       )
     order by run.run_no desc`,
    [runNo],
  );
  const last = later.rows[0];
  if (last === undefined) return;
  throw refuse(
    `Later runs stand on run ${runNo}: ${later.rows.map((row) => `${row.run_no} (${row.macro})`).join(', ')}.`,
    `Roll back the latest first: sluice macro rollback ${last.run_no}.`,
  );
}

function refuse(what: string, expected: string): SluiceError {
  return new SluiceError('target_conflict', { what, expected, safe: 'Nothing was changed.' });
}
