import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SluiceError } from '../contracts/error-codes.ts';
import { readManifest, shownPath } from './read-manifest.ts';

/** Folder of the macros that this package ships. */
export const SHIPPED_MACROS = fileURLToPath(new URL('../macros', import.meta.url));

/** A macro as `macro list` shows it. */
export interface ListedMacro {
  /** Name of its folder. */
  readonly name: string;
  readonly manifestPath: string;
  /** Null where the manifest has problems; `problem` says which. */
  readonly title: string | null;
  readonly steps: number;
  readonly next: string | null;
  readonly problem: string | null;
}

/** Where macros are looked for: the shipped ones, `./macros` of the working directory, the configured ones. */
export function macroDirs(options: {
  readonly cwd: string;
  readonly configured: readonly string[];
}): string[] {
  const dirs = [SHIPPED_MACROS, path.join(options.cwd, 'macros'), ...options.configured];
  return [...new Set(dirs.map((dir) => path.resolve(options.cwd, dir)))];
}

/** Every folder with a `macro.yaml` in these directories, by name; a directory that is not there has none. */
export async function listMacros(dirs: readonly string[]): Promise<ListedMacro[]> {
  const manifests = (await Promise.all(dirs.map(manifestsIn))).flat();
  const listed = await Promise.all(manifests.map(describe));
  return listed.sort((a, b) => compare(a.name, b.name) || compare(a.manifestPath, b.manifestPath));
}

/**
 * The manifest of a macro that is given by name, by folder or by path.
 *
 * @throws SluiceError `manifest_invalid` where no directory has it, `usage` where two have
 */
export async function findMacro(
  given: string,
  dirs: readonly string[],
  cwd = process.cwd(),
): Promise<string> {
  if (/[/\\]|\.ya?ml$/.test(given)) {
    const absolute = path.resolve(cwd, given);
    return /\.ya?ml$/.test(absolute) ? absolute : path.join(absolute, 'macro.yaml');
  }
  const manifests = (await Promise.all(dirs.map(manifestsIn))).flat();
  const [found, ...others] = manifests.filter((manifest) => nameOf(manifest) === given);
  if (found === undefined) {
    const names = [...new Set(manifests.map(nameOf))].sort(compare).join(', ');
    throw new SluiceError('manifest_invalid', {
      what: `There is no macro \`${given}\`.`,
      expected:
        names === '' ? 'No macro was found at all; see macro_dirs in sluice.yaml.' : `Macros: ${names}.`,
      safe: 'Nothing was changed.',
    });
  }
  if (others.length > 0) {
    throw new SluiceError('usage', {
      what: `${others.length + 1} macros are named \`${given}\`.`,
      expected: `Name one by its path: ${[found, ...others].map(shownPath).join(', ')}.`,
      safe: 'Nothing was changed.',
    });
  }
  return found;
}

async function manifestsIn(dir: string): Promise<string[]> {
  const folders = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    folders
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map(async ({ name }) => {
        const manifest = path.join(dir, name, 'macro.yaml');
        const found = await stat(manifest).catch(() => null);
        return found?.isFile() ? [manifest] : [];
      }),
  );
  return found.flat();
}

async function describe(manifestPath: string): Promise<ListedMacro> {
  const name = nameOf(manifestPath);
  try {
    const { title, steps, next } = (await readManifest(manifestPath)).manifest;
    return { name, manifestPath, title, steps: steps.length, next: next ?? null, problem: null };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { name, manifestPath, title: null, steps: 0, next: null, problem: error.message };
  }
}

function nameOf(manifestPath: string): string {
  return path.basename(path.dirname(manifestPath));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
