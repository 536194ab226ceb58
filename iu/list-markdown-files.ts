import { type Dirent, type Stats, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';

/** Markdown files of a folder, as paths in parts below it, in a stable order; symbolic links are not followed. */
export interface MarkdownFiles {
  readonly files: readonly (readonly string[])[];
  /** Symbolic links that were left out, as paths below the folder. */
  readonly links: readonly string[];
}

const NEVER = new Set(['node_modules']);

/**
 * Lists the files that end in `.md` or `.markdown`, whatever the depth; folders whose name begins with a dot and
 * `node_modules` are left out.
 *
 * @param exclude paths below `dir` (a file, or a folder with all it holds) to leave out
 * @throws SluiceError `usage` where `dir` is missing or no folder, `import_invalid` where something is unreadable
 */
export async function listMarkdownFiles(
  dir: string,
  exclude: readonly string[] = [],
): Promise<MarkdownFiles> {
  requireFolder(dir);
  const excluded = new Set(exclude.map((path) => path.replace(/^\.\//, '').replace(/\/+$/, '')));
  const files: string[][] = [];
  const links: string[] = [];
  const walk = async (parts: readonly string[]): Promise<void> => {
    for (const entry of await entriesOf(join(dir, ...parts))) {
      const path = [...parts, entry.name];
      if (excluded.has(path.join('/'))) continue;
      if (entry.isDirectory()) {
        if (!entry.name.startsWith('.') && !NEVER.has(entry.name)) await walk(path);
      } else if (/\.(?:md|markdown)$/i.test(entry.name)) {
        if (entry.isFile()) files.push(path);
        else if (entry.isSymbolicLink()) links.push(path.join('/'));
      }
    }
  };
  await walk([]);
  return { files, links };
}

function requireFolder(dir: string): void {
  let found: Stats | undefined;
  try {
    found = statSync(dir, { throwIfNoEntry: false });
  } catch (cause) {
    throw unreadable(dir, cause);
  }
  if (found?.isDirectory()) return;
  throw new SluiceError('usage', {
    what: found === undefined ? `${dir} does not exist.` : `${dir} is not a folder.`,
    expected: 'A folder of Markdown files was expected.',
    safe: 'Nothing was changed; name the folder and try again.',
  });
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): SluiceError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SluiceError(
    'import_invalid',
    {
      what: `${path} cannot be read: ${reason}.`,
      expected: 'Every folder and file of the import must be readable.',
      safe: 'Nothing was changed; correct the permission or exclude the path, then import again.',
    },
    { cause },
  );
}
