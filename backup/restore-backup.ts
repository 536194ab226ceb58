import { resolve } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import { abortError } from './abort-error.ts';
import { type BackupProgress, type BackupReceipt, readReceipt } from './backup-receipt.ts';
import { createRestoreDatabase, listRoles } from './create-restore-database.ts';
import { databaseUrl } from './database-url.ts';
import { compareRows, type FillOptions, fillDatabase } from './fill-database.ts';
import type { ToolPlaces } from './find-dump-tools.ts';
import { verifyDumpFile } from './verify-dump-file.ts';

export interface RestoreOptions extends ToolPlaces {
  /** The dump; its receipt lies beside it. */
  readonly file: string;
  /** Connection string of the server, with a role that may create databases. */
  readonly serverUrl: string;
  /** Must not exist there. */
  readonly newDatabase: string;
  /** Objects belong to the restoring role, and nothing is granted: for a server without the dump's roles. */
  readonly withoutOwners?: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BackupProgress) => void;
}

export interface RestoreResult {
  readonly database: string;
  readonly receipt: BackupReceipt;
  /** Tables compared with the receipt, all equal. */
  readonly tables: number;
  readonly remark: string;
  /** What this copy does not have. */
  readonly loses: string;
}

const APPLICATION = 'sluice restore';

/** What going back to this backup would lose, in words. */
export function whatARestoreLoses(receipt: BackupReceipt): string {
  return [
    `Everything committed in ${receipt.database} since ${receipt.takenAt}`,
    "the engine's receipts, approvals and observations of later runs too, so a copy does not know of them",
    ...receipt.notCovered,
  ].join('; ');
}

/**
 * Restores a backup into a new database, after its bytes were checked, and compares every row count. Never
 * writes into a database that exists; a restore that fails or is aborted drops what it created.
 * @throws {SluiceError} `backup_missing`, `backup_corrupt`, `target_conflict` when the database exists,
 * `target_not_found` when roles of the dump do not exist there, `backup_tool_missing`, `interrupted`
 */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreResult> {
  const receipt = await readReceipt(resolve(options.file));
  if (receipt === null) {
    throw new SluiceError('backup_missing', {
      what: `There is no readable receipt beside ${options.file}.`,
      expected: 'The file that the backup wrote, with its .receipt.json.',
      safe: 'Nothing was changed; list the backups to see which there are.',
    });
  }
  await verifyDumpFile(receipt, options);
  const fill: FillOptions = {
    ...options,
    withOwnersAndGrants: options.withoutOwners !== true,
    withSubscriptions: false,
  };
  const server = { url: options.serverUrl, applicationName: APPLICATION };
  try {
    const remark = await withSession(server, async (admin) => {
      if (fill.withOwnersAndGrants) demandRoles(await listRoles(admin), receipt);
      return await createRestoreDatabase(admin, options.newDatabase, receipt);
    });
    try {
      const url = databaseUrl(options.serverUrl, options.newDatabase);
      await fillDatabase(url, receipt, fill);
      const tables = await compareRows(url, receipt, fill);
      return { database: options.newDatabase, receipt, tables, remark, loses: whatARestoreLoses(receipt) };
    } catch (error) {
      await withSession(server, async (admin) => {
        await admin.query(`drop database ${admin.escapeIdentifier(options.newDatabase)} with (force)`);
      });
      throw error;
    }
  } catch (error) {
    if (options.signal.aborted) throw abortError(options.signal, 'The restore');
    if (error instanceof Error && 'code' in error && error.code === '42P04') {
      throw new SluiceError('target_conflict', {
        what: `Database ${options.newDatabase} exists already.`,
        expected: 'The name of a database that does not exist: a restore never writes into one that does.',
        safe: 'Nothing was changed; choose another name.',
      });
    }
    throw error instanceof SluiceError ? error : mapDatabaseError(error, 'Restoring the backup');
  }
}

function demandRoles(there: ReadonlySet<string>, receipt: BackupReceipt): void {
  const missing = receipt.roles.filter(({ name }) => !there.has(name)).map(({ name }) => name);
  if (missing.length === 0) return;
  throw new SluiceError('target_not_found', {
    what: `The server has no role ${missing.join(', ')}.`,
    expected: 'Every role that the backup names as owner or grantee.',
    safe: 'Nothing was changed; create the roles first, or restore without owners and grants.',
  });
}
