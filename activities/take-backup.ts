import { hostname } from 'node:os';
import { Context } from '@temporalio/activity';
import type { BackupReceipt } from '../backup/backup-receipt.ts';
import { proveDump } from '../backup/prove-dump.ts';
import { takeBackupFile } from '../backup/take-backup-file.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { PlannedBackupStep } from '../contracts/plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { BackupFacts } from './demand-backup.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishReading } from './finish-reading.ts';
import { performStep, type StepWork } from './perform-step.ts';
import { enterStep, recordedResult } from './receipts.ts';
import { stepLimits } from './step-limits.ts';

/**
 * `backup`: a dump on an exported snapshot, restored somewhere else and compared row by row count, with bytes
 * written as heartbeat progress. Its receipt is what the first change of the run demands.
 */
export function takeBackup(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const { client, target } = given;
      const step = given.step as PlannedBackupStep;
      const limits = stepLimits({ target }, 'check');
      const known = await inTransaction(client, 'read only', limits, () =>
        enterStep(client, ref.runId, step.id),
      );
      const recorded = recordedResult(known);
      if (recorded !== undefined) return recorded;
      if (step.mode === 'none') {
        return finishReading(
          given,
          'pass',
          [],
          { mode: 'none', reason: step.reason },
          `no backup: ${step.reason}`,
        );
      }
      const receipt = await dumpAndProve(given);
      const facts: BackupFacts = { ...receipt, mode: 'dump', host: hostname(), receipt };
      return finishReading(given, 'pass', [], facts, describe(receipt));
    });
}

async function dumpAndProve({ target, run, step, attempt, report }: StepWork): Promise<BackupReceipt> {
  const signal = Context.current().cancellationSignal;
  const places = { toolDirs: target.toolDirs };
  const taken = await takeBackupFile({
    ...places,
    scopedSnapshot: 'without_pg_dump',
    url: target.url,
    dir: target.backupDir,
    fileStem: `${target.name}-run-${run.runNo}-${step.id}`,
    attempt,
    signal,
    onProgress: report,
  });
  const proven = await proveDump(taken, {
    ...places,
    ...(target.restoreUrl === null ? {} : { restoreServer: target.restoreUrl }),
    signal,
    onProgress: report,
  });
  const restored = proven.restoredTables;
  if (
    restored === null ||
    restored.compared !== restored.equal ||
    restored.compared !== proven.tables.length
  ) {
    throw new SluiceError('backup_corrupt', {
      what: `${proven.file} was restored, but ${restored?.equal ?? 0} of ${proven.tables.length} tables have the rows of the snapshot.`,
      expected: 'Equal row counts in every table.',
      safe: 'Nothing was changed; the dump is kept for a look.',
    });
  }
  return proven;
}

function describe(receipt: BackupReceipt): string {
  const restored = receipt.restoredTables;
  return `${receipt.format} ${receipt.bytes} B, sha256 ${receipt.sha256.slice(0, 12)}, ${receipt.tocEntries} TOC entries, restored: ${restored?.equal} of ${restored?.compared} tables equal`;
}
