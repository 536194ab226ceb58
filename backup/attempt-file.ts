import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

const ATTEMPT =
  /^(?<stem>.+)\.attempt-(?<attempt>\d+)\.(?<kind>dump|scoped)(?<partial>(?:\.receipt\.json)?\.partial)?$/;

/** Every attempt writes under its own name, so a straggler of an earlier one cannot touch a later one's file. */
export interface AttemptFile {
  readonly name: string;
  readonly stem: string;
  readonly attempt: number;
  readonly kind: 'dump' | 'scoped';
  readonly partial: boolean;
}

export function attemptFileOf(dir: string, stem: string, attempt: number, kind: 'dump' | 'scoped'): string {
  return join(dir, `${stem}.attempt-${attempt}.${kind}`);
}

/** Reads a file name back; null when it is not an attempt's. */
export function parseAttemptFile(name: string): AttemptFile | null {
  const groups = ATTEMPT.exec(name)?.groups;
  if (groups === undefined) return null;
  return {
    name,
    stem: groups.stem ?? '',
    attempt: Number(groups.attempt),
    kind: groups.kind === 'scoped' ? 'scoped' : 'dump',
    partial: groups.partial !== undefined,
  };
}

/** Removes what attempts up to this one left half-written. A straggler that still writes loses its file only. */
export async function removePartials(dir: string, stem: string, upToAttempt: number): Promise<void> {
  for (const name of await readdir(dir)) {
    const file = parseAttemptFile(name);
    if (file?.partial === true && file.stem === stem && file.attempt <= upToAttempt) {
      await rm(join(dir, name), { force: true });
    }
  }
}
