import { SluiceError } from '../contracts/error-codes.ts';
import type { BackupProgress } from './backup-receipt.ts';
import type { ToolPlaces } from './find-dump-tools.ts';

export interface TakeOptions extends ToolPlaces {
  /** Connection string of the database; its password never reaches an argument list. */
  readonly url: string;
  /** Created with mode 0700 when it is absent; dumps are readable by their owner only. */
  readonly dir: string;
  /** Start of the file's name: letters, digits, `.`, `_`, `-`. */
  readonly fileStem: string;
  /** Number of this attempt, 1 and up; part of the file's name. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** Called at once, then at least every second. */
  readonly onProgress: (progress: BackupProgress) => void;
  /** Bytes that must stay free in `dir` beyond the estimated size of the dump. */
  readonly minFreeBytes?: number;
}

export const DEFAULT_MIN_FREE_BYTES = 64 * 1_048_576;
export const REPORT_EVERY_MS = 500;

/** @throws {SluiceError} `usage` */
export function checkFileStem(stem: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,150}$/.test(stem)) return;
  throw new SluiceError('usage', {
    what: `${JSON.stringify(stem)} cannot start the name of a backup.`,
    expected: 'Letters, digits, dot, underscore and hyphen, at most 151 of them, a letter or digit first.',
    safe: 'Nothing was written.',
  });
}
