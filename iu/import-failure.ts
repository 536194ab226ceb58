import { SluiceError } from '../contracts/error-codes.ts';
import { classifyDatabaseError } from '../target/map-database-error.ts';

const IU_CORE_MISSING = new Set(['42883', '42P01', '3F000']);

/**
 * What an import answers when the database refused a file: nothing of that file is there, the files before it
 * are, and importing again is safe because unchanged texts add nothing.
 *
 * @param where the file, or the folder when the last question was refused
 * @param done how many files were imported before it
 */
export function importFailure(cause: unknown, where: string, done: number): SluiceError {
  if (cause instanceof SluiceError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const sqlstate = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const missing = IU_CORE_MISSING.has(sqlstate);
  const code = classifyDatabaseError(cause);
  return new SluiceError(
    missing ? 'iu_core_missing' : code === 'script_failed' ? 'import_invalid' : code,
    {
      what: `${where} was not imported: ${reason}${sqlstate === '' ? '' : ` (${sqlstate})`}.`,
      expected: missing
        ? 'IU Core was expected in this schema; run the macro iu-core-base.'
        : 'The database was expected to take the file as a whole.',
      safe: `Nothing of it was changed; ${done} files before it are imported. Importing again is safe.`,
    },
    { cause },
  );
}
