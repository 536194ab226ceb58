import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { SluiceError } from '../contracts/error-codes.ts';

const run = promisify(execFile);

/** `pg_dump` and `pg_restore` of one installation. */
export interface DumpTools {
  readonly binDir: string;
  readonly major: number;
  /** As `pg_dump` prints it, for instance `15.18`. */
  readonly version: string;
}

export interface ToolPlaces {
  /** Looked at first. */
  readonly toolDirs?: readonly string[] | undefined;
  /** Looks nowhere else. */
  readonly onlyToolDirs?: boolean | undefined;
}

/**
 * Finds the oldest `pg_dump` that is new enough: its major must not be below the server's, since an older
 * one refuses the server. Looks in `toolDirs`, `SLUICE_PG_BIN`, `PATH` and the usual places.
 * @throws {SluiceError} `backup_tool_missing` or `backup_tool_older`
 */
export async function findDumpTools(serverMajor: number, places: ToolPlaces = {}): Promise<DumpTools> {
  const found = await dumpToolsIn(places);
  const best = found.filter((tools) => tools.major >= serverMajor).sort((a, b) => a.major - b.major)[0];
  if (best !== undefined) return best;
  if (found.length === 0) {
    throw new SluiceError('backup_tool_missing', {
      what: 'There is no pg_dump with its pg_restore on this machine.',
      expected: `A pg_dump of PostgreSQL ${serverMajor} or newer in PATH, in SLUICE_PG_BIN or in a usual place.`,
      safe: `Nothing was changed; install postgresql-client-${serverMajor}, or use the built-in scoped snapshot.`,
    });
  }
  const seen = found.map((tools) => `${tools.version} in ${tools.binDir}`).join(', ');
  throw new SluiceError('backup_tool_older', {
    what: `The server is PostgreSQL ${serverMajor}, and every pg_dump found is older: ${seen}.`,
    expected: `A pg_dump of PostgreSQL ${serverMajor} or newer; an older one cannot dump this server.`,
    safe: `Nothing was changed; install postgresql-client-${serverMajor}, or use the built-in scoped snapshot.`,
  });
}

async function dumpToolsIn(places: ToolPlaces): Promise<DumpTools[]> {
  const dirs = [...(places.toolDirs ?? []), ...(places.onlyToolDirs === true ? [] : usualPlaces())];
  const found: DumpTools[] = [];
  for (const binDir of new Set(dirs)) {
    if (!existsSync(join(binDir, 'pg_dump')) || !existsSync(join(binDir, 'pg_restore'))) continue;
    try {
      const { stdout } = await run(join(binDir, 'pg_dump'), ['--version'], { timeout: 10_000 });
      const version = /\(PostgreSQL\) (\d+[^\s]*)/.exec(stdout)?.[1];
      if (version !== undefined) found.push({ binDir, version, major: Number.parseInt(version, 10) });
    } catch {
      // One that does not run is as good as absent.
    }
  }
  return found;
}

function usualPlaces(): string[] {
  const under = (parent: string, pattern: RegExp) => {
    try {
      return readdirSync(parent)
        .filter((name) => pattern.test(name))
        .map((name) => join(parent, name, 'bin'));
    } catch {
      return [];
    }
  };
  return [
    ...(process.env.SLUICE_PG_BIN === undefined ? [] : [process.env.SLUICE_PG_BIN]),
    ...under('/usr/lib/postgresql', /^\d+$/),
    ...under('/usr', /^pgsql-\d+$/),
    ...under('/opt/homebrew/opt', /^(postgresql(@\d+)?|libpq)$/),
    ...under('/usr/local/opt', /^(postgresql(@\d+)?|libpq)$/),
    ...under('/Applications/Postgres.app/Contents/Versions', /^\d+$/),
    ...(process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== ''),
  ];
}
