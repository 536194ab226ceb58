import { readFileSync } from 'node:fs';

/** The last lines of a server's log, for an error's text; empty when there is none. */
export function logTail(file: string, lines = 8): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}
