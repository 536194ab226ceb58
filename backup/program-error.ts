import { type ErrorCodeName, SluiceError } from '../contracts/error-codes.ts';
import { diskFullError, saysDiskFull } from './check-disk-space.ts';
import type { LeashedResult } from './run-leashed.ts';

const CODE_BY_WORDS: readonly (readonly [RegExp, ErrorCodeName])[] = [
  [/canceling statement due to (lock|statement) timeout/, 'lock_timeout'],
  [/password authentication failed|no password supplied|no pg_hba\.conf entry/, 'target_authentication'],
  [/permission denied|must be (owner|superuser)|row-level security policy/, 'target_permission'],
  [/server version mismatch/, 'backup_tool_older'],
  [
    /could not connect|connection to server .* failed|server closed the connection|terminating connection/,
    'target_unreachable',
  ],
  [/did not find magic string|unexpected end of file|could not uncompress|corrupt/, 'backup_corrupt'],
];

/**
 * The error for a PostgreSQL program that failed, by its last words.
 * @param program for instance `pg_dump 15.18`
 * @param dir where it wrote; named when the disk was full
 */
export function programError(program: string, dir: string, result: LeashedResult): SluiceError {
  if (saysDiskFull(result.tail)) return diskFullError(dir, `${program} said: ${lastError(result.tail)}`);
  const code = CODE_BY_WORDS.find(([words]) => words.test(result.tail))?.[1] ?? 'step_failed';
  const extension =
    /extension "([^"]+)" is not available|could not access file|could not open extension/.test(result.tail);
  return new SluiceError(code, {
    what: `${program} ended with ${result.exitCode ?? 'a signal'}: ${lastError(result.tail)}.`,
    expected: extension
      ? 'Every extension of the target installed where it is restored; a restore server that has them can be named.'
      : 'It ends with 0.',
    safe: 'The target was only read; what was written of it is removed.',
  });
}

function lastError(tail: string): string {
  const lines = tail.split('\n').filter((line) => line !== '');
  const first = lines.findIndex((line) => /error|fatal|failed/i.test(line));
  return lines
    .slice(first === -1 ? -3 : first)
    .slice(0, 4)
    .join(' / ')
    .slice(0, 800);
}
