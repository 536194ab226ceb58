import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverVersion } from './attach-or-start-postgres.ts';
import { choosePrograms } from './choose-programs.ts';
import { configuredPostgres, withoutPassword } from './configured-postgres.ts';
import { type DoctorPart, fine, wrong } from './doctor-part.ts';
import { findPgDumps, pgDumpFor } from './find-pg-dump.ts';
import { lockFileOf } from './postmaster-lock-file.ts';
import { readState } from './state-file.ts';

interface Asked {
  readonly env: NodeJS.ProcessEnv;
  readonly stateDir: string;
  readonly inspectTarget?: (url: string) => Promise<readonly DoctorPart[]>;
}

/** Parts `postgresql programs`, `postgresql server`, `pg_dump`, and what the caller's hook says of the target. */
export async function inspectPostgres(asked: Asked): Promise<DoctorPart[]> {
  const configured = configuredPostgres(asked.env);
  if (configured !== undefined) return await inspectServer(configured, 'configured', asked);
  const known = readState(asked.stateDir).postgres;
  const programs = await choosePrograms(known?.dataDir ?? '', asked.env).catch((error: unknown) =>
    error instanceof Error ? error.message : String(error),
  );
  if (typeof programs === 'string') return [wrong('postgresql programs', null, programs)];
  const { version, rung, binDir, major } = programs;
  const own = fine('postgresql programs', binDir, { version, rung });
  const running = known === undefined ? undefined : lockFileOf(known.dataDir)?.process;
  if (known === undefined || running === undefined) {
    return [
      own,
      fine('postgresql server', 'not started; `sluice up` starts it'),
      await inspectPgDump(major, asked.env),
    ];
  }
  const password = readFileSync(join(asked.stateDir, 'postgres.password'), 'utf8').trim();
  const url = `postgresql://postgres:${password}@127.0.0.1:${known.port}/sluice`;
  return [own, ...(await inspectServer(url, known.rung, asked))];
}

async function inspectServer(url: string, rung: string, asked: Asked): Promise<DoctorPart[]> {
  const shown = withoutPassword(url);
  let version: string;
  try {
    version = await serverVersion(url);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const fix =
      rung === 'configured' ? 'correct DATABASE_URL or PG*, or unset it' : '`sluice down`, then `sluice up`';
    return [wrong('postgresql server', `${shown} cannot be used: ${reason}`, fix, { rung })];
  }
  const major = Number.parseInt(version, 10);
  const server =
    major < 15
      ? wrong('postgresql server', shown, 'use PostgreSQL 15 or newer', { version, rung })
      : fine('postgresql server', shown, { version, rung });
  const target = (await asked.inspectTarget?.(url)) ?? [];
  return [server, await inspectPgDump(major, asked.env), ...target];
}

async function inspectPgDump(serverMajor: number, env: NodeJS.ProcessEnv): Promise<DoctorPart> {
  const dumps = await findPgDumps(env);
  const dump = pgDumpFor(dumps, serverMajor);
  if (dump !== undefined)
    return fine('pg_dump', `${dump.binDir}, with pg_restore`, { version: dump.version });
  const found = dumps.map(({ binDir, version }) => `${binDir} (${version})`).join(', ');
  return wrong(
    'pg_dump',
    found === '' ? null : `older than the server: ${found}`,
    `install the client programs of PostgreSQL ${serverMajor} or newer (Debian: apt install postgresql-client-${serverMajor}); until then backups are the built-in scoped snapshot`,
  );
}
