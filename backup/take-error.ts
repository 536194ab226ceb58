import { SluiceError } from '../contracts/error-codes.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { abortError } from './abort-error.ts';
import { diskFullError } from './check-disk-space.ts';

/** What a failed backup throws: an abort wins over whatever the abort broke. */
export function takeError(error: unknown, signal: AbortSignal, dir: string): SluiceError {
  if (signal.aborted) return abortError(signal, 'The backup');
  if (error instanceof SluiceError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) return diskFullError(dir, code, error);
  return mapDatabaseError(error, 'Taking the backup');
}
