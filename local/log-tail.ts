import { readFileSync, statSync } from 'node:fs';

/** How long a server's log is before a start, so that an error can show only what came after; bytes. */
export function logSize(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** The last lines that a server logged since then, for an error's text; empty when there are none. */
export function logTail(file: string, since: number, lines = 8): string {
  try {
    return readFileSync(file).subarray(since).toString().trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}
