import { renameSync, statSync } from 'node:fs';

const LARGEST = 10 * 1024 * 1024;

/** Puts a log of more than 10 MiB aside as `.old` before a server is started on it; returns the same path. */
export function rotateLog(file: string): string {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LARGEST) renameSync(file, `${file}.old`);
  return file;
}
