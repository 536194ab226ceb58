import { hostname } from 'node:os';
import { type BackupReceipt, readReceipt } from '../backup/backup-receipt.ts';
import { verifyDumpFile } from '../backup/verify-dump-file.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepWork } from './perform-step.ts';

/** Facts that the receipt of a `backup` step carries. */
export interface BackupFacts extends Record<string, unknown> {
  /** Host whose disk holds the dump. */
  readonly host: string;
  readonly receipt: BackupReceipt;
}

/**
 * No receipt, no migrate: before the first change of a run, its backup step must have passed, and the dump file
 * must still be what was hashed and restored. On another host than the one that took it the file cannot be
 * read, and the receipt alone counts.
 *
 * @throws SluiceError `backup_missing`, `backup_corrupt`
 */
export async function demandBackup({ client, plan, ref, target, report }: StepWork): Promise<void> {
  const found = await client.query<{ mode: string | null; facts: BackupFacts; changes: string }>(
    `select receipt.facts ->> 'mode' as mode,
       receipt.facts as facts,
       (select count(*)
        from sluice.step_receipt as change
        where change.run_id = receipt.run_id
          and change.kind in ('migrate', 'enable')
          and change.state = 'done') as changes
     from sluice.step_receipt as receipt
     where receipt.run_id = $1
       and receipt.kind = 'backup'
       and receipt.direction = 'do'
       and receipt.verdict = 'pass'`,
    [ref.runId],
  );
  const backup = found.rows[0];
  if (backup === undefined) {
    throw new SluiceError('backup_missing', {
      what: `Run ${ref.runId} of ${plan.macro} has no backup receipt.`,
      expected: 'A backup step that passed, before the first change.',
      safe: 'Nothing was changed.',
    });
  }
  if (backup.mode === 'none' || backup.changes !== '0' || backup.facts.host !== hostname()) return;
  const receipt = (await readReceipt(backup.facts.receipt.file)) ?? backup.facts.receipt;
  await verifyDumpFile(
    { ...receipt, bytes: backup.facts.receipt.bytes, sha256: backup.facts.receipt.sha256 },
    { toolDirs: target.toolDirs, onBytes: (bytes) => report({ verifying: bytes }) },
  );
}
