import { readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { parseAttemptFile } from './attempt-file.ts';
import { receiptPathOf } from './backup-receipt.ts';
import { type ListedBackup, listBackups } from './list-backups.ts';
import { verifyDumpFile } from './verify-dump-file.ts';

export interface PruneOptions {
  /** So many of each database stay, however old. */
  readonly keep?: number;
  /** Only what is older than this may go. */
  readonly olderThanDays?: number;
  /** Removes nothing, says what it would. */
  readonly dryRun?: boolean;
  /** Milliseconds since 1970; the present when absent. */
  readonly now?: number;
}

export interface PruneResult {
  readonly removed: readonly { readonly file: string; readonly why: string }[];
  readonly kept: readonly { readonly file: string; readonly why: string }[];
}

/** A partial file that nobody has written to for so long belongs to a dead attempt. */
const PARTIAL_IDLE_MS = 15 * 60_000;
const DAY_MS = 86_400_000;

/**
 * Removes old dumps with their receipts, and partial files of dead attempts. Of each database the newest
 * good one always stays: the newest whose bytes still have the sha256 of its receipt, and the newest such
 * that was restored and compared.
 * @throws {SluiceError} `usage` without a limit, or with a senseless one
 */
export async function pruneBackups(dir: string, options: PruneOptions): Promise<PruneResult> {
  const { keep, olderThanDays } = options;
  const senseless = (limit: number | undefined) => limit !== undefined && !(limit >= 0);
  if ((keep === undefined && olderThanDays === undefined) || senseless(keep) || senseless(olderThanDays)) {
    throw new SluiceError('usage', {
      what: 'Pruning needs a limit.',
      expected: 'How many backups to keep, or from how many days on they are old, or both; 0 or more.',
      safe: 'Nothing was removed.',
    });
  }
  const now = options.now ?? Date.now();
  const removed: { file: string; why: string }[] = [];
  const kept: { file: string; why: string }[] = [];
  for (const backups of groupByDatabase(await listBackups(dir))) {
    const protectedFiles = await newestGood(backups);
    for (const [rank, backup] of backups.entries()) {
      const ageDays = (now - Date.parse(backup.takenAt)) / DAY_MS;
      const shield = protectedFiles.get(backup.file);
      if (shield !== undefined) kept.push({ file: backup.file, why: shield });
      else if (keep !== undefined && rank < keep)
        kept.push({ file: backup.file, why: `one of the newest ${keep}` });
      else if (olderThanDays !== undefined && ageDays <= olderThanDays) {
        kept.push({ file: backup.file, why: `not older than ${olderThanDays} days` });
      } else removed.push({ file: backup.file, why: `${backup.state}, ${ageDays.toFixed(1)} days old` });
    }
  }
  removed.push(...(await deadFiles(dir, now)));
  if (options.dryRun !== true) {
    for (const { file } of removed) {
      await rm(file, { force: true });
      await rm(receiptPathOf(file), { force: true });
    }
  }
  return { removed, kept };
}

function groupByDatabase(backups: readonly ListedBackup[]): ListedBackup[][] {
  const groups = new Map<string, ListedBackup[]>();
  for (const backup of backups) {
    const { receipt } = backup;
    const key = receipt === null ? '' : JSON.stringify([receipt.systemIdentifier, receipt.database]);
    groups.set(key, [...(groups.get(key) ?? []), backup]);
  }
  return [...groups.values()];
}

/** Reads files from the newest on until a good one of each sort is found. */
async function newestGood(backups: readonly ListedBackup[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let anyGood = false;
  for (const { file, receipt, state } of backups) {
    if (receipt === null || state === 'damaged' || (anyGood && state !== 'proven')) continue;
    const good = await verifyDumpFile(receipt).then(
      () => true,
      () => false,
    );
    if (!good) continue;
    if (state === 'proven') {
      found.set(file, 'the newest good one that was restored and compared');
      return found;
    }
    found.set(file, 'the newest good one');
    anyGood = true;
  }
  return found;
}

async function deadFiles(dir: string, now: number): Promise<{ file: string; why: string }[]> {
  const names: string[] = await readdir(dir).catch(() => []);
  const dead: { file: string; why: string }[] = [];
  for (const name of names) {
    const file = join(resolve(dir), name);
    if (parseAttemptFile(name)?.partial === true) {
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: now }));
      if (now - mtimeMs > PARTIAL_IDLE_MS) dead.push({ file, why: 'partial file of a dead attempt' });
    }
    const dump = name.endsWith('.receipt.json') ? name.slice(0, -'.receipt.json'.length) : null;
    if (dump !== null && parseAttemptFile(dump)?.partial === false && !names.includes(dump)) {
      dead.push({ file, why: 'receipt without its dump' });
    }
  }
  return dead;
}
