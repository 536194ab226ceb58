import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { findEmbeddedPostgres, findLocalPostgres, type PostgresPrograms } from './find-postgres.ts';

/**
 * The server programs for a data directory: those of its own major when it exists; for a new one the newest
 * that are installed with a `pg_dump`, else those of npm, else installed ones without a `pg_dump`.
 * @throws {SluiceError} `target_unreachable` with all that was tried and what to install
 */
export async function choosePrograms(
  dataDir: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<PostgresPrograms> {
  const local = await findLocalPostgres(env);
  const embedded = await findEmbeddedPostgres(env);
  const inOrder = [
    ...local.found.filter((programs) => programs.hasPgDump),
    ...embedded.found,
    ...local.found.filter((programs) => !programs.hasPgDump),
  ];
  const major = majorOf(dataDir);
  const chosen = inOrder.find((programs) => major === undefined || programs.major === major);
  if (chosen !== undefined) return chosen;
  const seen = inOrder.map((programs) => `${programs.binDir} (PostgreSQL ${programs.version})`);
  const tried = [...seen, ...local.tried, ...embedded.tried].join('; ');
  throw new SluiceError('target_unreachable', {
    what:
      major === undefined
        ? `There is no PostgreSQL server here. Tried: ${tried}.`
        : `The data in ${dataDir} belongs to PostgreSQL ${major}, and its programs are not here. Tried: ${tried}.`,
    expected:
      major === undefined
        ? 'PostgreSQL 15 or newer with its server programs and pg_dump (Debian: apt install postgresql; macOS: brew install postgresql), or DATABASE_URL.'
        : `The server programs of PostgreSQL ${major} (Debian: apt install postgresql-${major}), since data is not converted on its own.`,
    safe: 'Nothing was started and no data was touched.',
  });
}

function majorOf(dataDir: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(join(dataDir, 'PG_VERSION'), 'utf8'), 10);
  } catch {
    return undefined;
  }
}
