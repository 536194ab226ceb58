import { SluiceError } from '../contracts/error-codes.ts';
import type { TakeOptions } from './backup-options.ts';
import type { BackupReceipt } from './backup-receipt.ts';
import { takeScopedSnapshot } from './scoped/take-scoped-snapshot.ts';
import { takeDump } from './take-dump.ts';

export interface TakeBackupOptions extends TakeOptions {
  /**
   * When the built-in format is used: `without_pg_dump` where none is new enough for the server (the receipt
   * then says `scoped-snapshot`), `never` to refuse instead, `always`.
   */
  readonly scopedSnapshot: 'without_pg_dump' | 'never' | 'always';
}

/** Takes a backup in the best format that this machine can. @throws {SluiceError} as `takeDump` */
export async function takeBackupFile(options: TakeBackupOptions): Promise<BackupReceipt> {
  if (options.scopedSnapshot === 'always') return await takeScopedSnapshot(options);
  try {
    return await takeDump(options);
  } catch (error) {
    const noTool =
      error instanceof SluiceError &&
      (error.code === 'backup_tool_missing' || error.code === 'backup_tool_older');
    if (!noTool || options.scopedSnapshot === 'never') throw error;
    return await takeScopedSnapshot(options);
  }
}
