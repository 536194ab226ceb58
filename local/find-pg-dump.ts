import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { programDirs } from './program-dirs.ts';
import { serverEnvironment } from './server-environment.ts';

const run = promisify(execFile);

/** A `pg_dump` with its `pg_restore` in one directory. */
export interface PgDump {
  readonly binDir: string;
  readonly major: number;
  readonly version: string;
}

/** All usable pairs of `pg_dump` and `pg_restore` of this machine, oldest first. */
export async function findPgDumps(env: NodeJS.ProcessEnv = process.env): Promise<PgDump[]> {
  const found: PgDump[] = [];
  for (const binDir of programDirs('pg_dump', env)) {
    if (!existsSync(join(binDir, 'pg_dump')) || !existsSync(join(binDir, 'pg_restore'))) continue;
    try {
      const { stdout } = await run(join(binDir, 'pg_dump'), ['--version'], {
        timeout: 10_000,
        env: serverEnvironment(),
      });
      const version = /\(PostgreSQL\) (\d+(?:\.\d+)?)/.exec(stdout)?.[1];
      if (version !== undefined) found.push({ binDir, version, major: Number.parseInt(version, 10) });
    } catch {}
  }
  return found.sort((a, b) => a.major - b.major);
}

/** The oldest `pg_dump` that is not older than the server; an older one refuses to dump it. */
export function pgDumpFor(found: readonly PgDump[], serverMajor: number): PgDump | undefined {
  return found.find((dump) => dump.major >= serverMajor);
}
