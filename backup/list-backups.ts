import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseAttemptFile } from './attempt-file.ts';
import { type BackupReceipt, readReceipt } from './backup-receipt.ts';

/** One dump in a directory. */
export interface ListedBackup {
  readonly file: string;
  readonly bytes: number;
  /** The receipt that lies beside it; null when there is none, or it cannot be read. */
  readonly receipt: BackupReceipt | null;
  /**
   * `proven`: restored and compared, size as in the receipt. `complete`: size as in the receipt, never
   * restored. `damaged`: another size. `unknown`: no receipt. The hash is not read: see `verifyDumpFile`.
   */
  readonly state: 'proven' | 'complete' | 'damaged' | 'unknown';
  /** From the receipt, else when the file was written; ISO 8601. */
  readonly takenAt: string;
}

/** The finished dumps in a directory, newest first, by their receipts alone; empty when it does not exist. */
export async function listBackups(dir: string): Promise<ListedBackup[]> {
  const listed: ListedBackup[] = [];
  for (const name of await readdir(dir).catch(() => [])) {
    const parsed = parseAttemptFile(name);
    if (parsed === null || parsed.partial) continue;
    const file = join(resolve(dir), name);
    const { size, mtime } = await stat(file);
    const receipt = await readReceipt(file);
    const takenAt = receipt?.takenAt ?? mtime.toISOString();
    listed.push({ file, bytes: size, receipt, state: stateOf(receipt, size), takenAt });
  }
  return listed.sort((a, b) => b.takenAt.localeCompare(a.takenAt) || b.file.localeCompare(a.file));
}

function stateOf(receipt: BackupReceipt | null, bytes: number): ListedBackup['state'] {
  if (receipt === null) return 'unknown';
  if (receipt.bytes !== bytes) return 'damaged';
  return receipt.restoredInto === null ? 'complete' : 'proven';
}
