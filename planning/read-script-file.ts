import { readFile, stat } from 'node:fs/promises';
import type { Problem } from '../config/located-error.ts';
import { positionOfByte } from '../config/source-position.ts';

/** Largest managed file, in bytes. */
export const MAX_SCRIPT_BYTES = 5 * 1024 * 1024;

/** A fault of a file that was to be read; `missing` concerns the line that names it, the others the file. */
export interface ReadFault extends Pick<Problem, 'line' | 'column' | 'what' | 'expected'> {
  readonly missing: boolean;
}

/**
 * Reads a managed file as UTF-8, unchanged to the byte. Refused are what is no readable file, more than
 * {@link MAX_SCRIPT_BYTES}, bytes that are no UTF-8, and NUL, which PostgreSQL cannot store.
 */
export async function readScriptFile(absolute: string): Promise<string | ReadFault> {
  const found = await stat(absolute).catch(() => null);
  if (found === null)
    return missing(
      'does not exist',
      'Create it, or correct the path (relative to the folder of the manifest).',
    );
  if (!found.isFile()) return missing('is not a file', 'Name the SQL file itself.');
  if (found.size > MAX_SCRIPT_BYTES) {
    const megabytes = (found.size / 1024 / 1024).toFixed(1);
    return fault(
      `The file has ${megabytes} MiB.`,
      'Keep a managed file at 5 MiB or less; split it, or load data another way.',
    );
  }
  const bytes = await readFile(absolute).catch((error: NodeJS.ErrnoException) => error);
  if (bytes instanceof Error)
    return missing(`cannot be read (${bytes.code ?? bytes.message})`, 'Make it readable.');
  const nul = bytes.indexOf(0);
  if (nul !== -1)
    return fault('The file holds a NUL byte here.', 'Save it as UTF-8 text.', positionOfByte(bytes, nul));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fault(
      'The bytes here are not UTF-8.',
      'Save the file as UTF-8.',
      positionOfByte(bytes, validPrefix(bytes)),
    );
  }
}

function missing(what: string, expected: string): ReadFault {
  return { missing: true, line: 1, column: 1, what, expected };
}

function fault(what: string, expected: string, position = { line: 1, column: 1 }): ReadFault {
  return { missing: false, ...position, what, expected };
}

/** Length of the longest valid start: where decoding and encoding again first differs. */
function validPrefix(bytes: Buffer): number {
  const again = Buffer.from(bytes.toString('utf8'), 'utf8');
  const length = Math.min(bytes.length, again.length);
  for (let at = 0; at < length; at += 1) if (bytes[at] !== again[at]) return at;
  return length;
}
