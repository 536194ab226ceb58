import { stat } from 'node:fs/promises';
import { SluiceError } from '../contracts/error-codes.ts';
import type { BackupReceipt } from './backup-receipt.ts';
import { type DumpTools, findDumpTools, type ToolPlaces } from './find-dump-tools.ts';
import { hashFile } from './hash-file.ts';
import { readToc } from './read-toc.ts';

export interface VerifyOptions extends ToolPlaces {
  readonly signal?: AbortSignal;
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Checks the dump file now on disk against its receipt: size, sha256, and (where a `pg_restore` is found)
 * that its table of contents reads and has as many entries. Reads the file once.
 * @throws {SluiceError} `backup_missing` when there is no such file, `backup_corrupt`
 */
export async function verifyDumpFile(receipt: BackupReceipt, options: VerifyOptions = {}): Promise<void> {
  const there = await stat(receipt.file).catch(() => null);
  if (there === null) {
    throw new SluiceError('backup_missing', {
      what: `The backup ${receipt.file} is not there.`,
      expected: `A file of ${receipt.bytes} bytes, taken at ${receipt.takenAt}.`,
      safe: 'Nothing was changed; put the file back, or take another backup.',
    });
  }
  if (there.size !== receipt.bytes) {
    throw corrupt(receipt, `has ${there.size} bytes`, `${receipt.bytes} bytes, as when it was taken`);
  }
  const { sha256 } = await hashFile(receipt.file, options.signal, options.onBytes);
  if (sha256 !== receipt.sha256) {
    throw corrupt(receipt, `has sha256 ${sha256}`, `sha256 ${receipt.sha256}, as when it was taken`);
  }
  if (receipt.format === 'custom') await verifyToc(receipt, options);
}

async function verifyToc(receipt: BackupReceipt, options: VerifyOptions): Promise<void> {
  let tools: DumpTools;
  try {
    tools = await findDumpTools(receipt.serverMajor, options);
  } catch {
    // The same bytes whose contents were listed when the dump was taken: the hash has said so.
    return;
  }
  let entries: number;
  try {
    entries = await readToc(tools.binDir, receipt.file, options.signal);
  } catch (error) {
    const said = error instanceof Error ? error.message.split('\n').at(-2) : String(error);
    throw corrupt(receipt, `has no readable table of contents: ${said}`, 'one that pg_restore lists');
  }
  if (entries !== receipt.tocEntries) {
    throw corrupt(receipt, `lists ${entries} entries`, `${receipt.tocEntries} entries`);
  }
}

function corrupt(receipt: BackupReceipt, is: string, expected: string): SluiceError {
  return new SluiceError('backup_corrupt', {
    what: `The backup ${receipt.file} ${is}.`,
    expected: `Expected: ${expected}.`,
    safe: 'Nothing was changed; take another backup before anything is.',
  });
}
