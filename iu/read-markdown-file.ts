import { readFile } from 'node:fs/promises';
import { SluiceError } from '../contracts/error-codes.ts';

/** A text longer than this is no document that people edit. */
const MOST_BYTES = 32 * 1024 * 1024;

/**
 * Reads a Markdown file as text; a byte order mark is dropped.
 *
 * @throws SluiceError `import_invalid`, naming file and line, for a file that cannot be read, is above 32 MiB, is
 * not UTF-8 or holds a NUL byte
 */
export async function readMarkdownFile(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw refused(
      path,
      cause instanceof Error ? cause.message : String(cause),
      'A readable file was expected.',
      cause,
    );
  });
  if (bytes.length > MOST_BYTES) {
    throw refused(path, `${bytes.length} bytes`, `At most ${MOST_BYTES} bytes were expected.`);
  }
  const nul = bytes.indexOf(0);
  if (nul !== -1) {
    throw refused(
      `${path}:${lineAt(bytes, nul)}`,
      'a NUL byte',
      'Text was expected; PostgreSQL stores no NUL.',
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const line = firstLineNotUtf8(bytes);
    throw refused(
      `${path}:${line}`,
      'bytes that are not UTF-8',
      'UTF-8 was expected; convert the file.',
      cause,
    );
  }
}

/** A line end is one byte in UTF-8 and never part of another character, so lines can be tried one by one. */
function firstLineNotUtf8(bytes: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let from = 0;
  for (let line = 1; ; line += 1) {
    const end = bytes.indexOf(10, from);
    try {
      decoder.decode(bytes.subarray(from, end === -1 ? bytes.length : end));
    } catch {
      return line;
    }
    if (end === -1) return line;
    from = end + 1;
  }
}

function lineAt(bytes: Buffer, offset: number): number {
  let line = 1;
  for (let at = bytes.indexOf(10); at !== -1 && at < offset; at = bytes.indexOf(10, at + 1)) line += 1;
  return line;
}

function refused(where: string, what: string, expected: string, cause?: unknown): SluiceError {
  return new SluiceError(
    'import_invalid',
    {
      what: `${where}: ${what}.`,
      expected,
      safe: 'Nothing was changed; correct the file or exclude it, then import again.',
    },
    { cause },
  );
}
