import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { choosePrograms } from './choose-programs.ts';
import { configuredPostgres, withoutPassword } from './configured-postgres.ts';
import { findPgDumps, pgDumpFor } from './find-pg-dump.ts';
import { placeData } from './place-data.ts';
import { reachableBinDir } from './reachable-programs.ts';
import { rotateLog } from './rotate-log.ts';
import type { PostgresServer, StackOptions } from './stack.ts';
import { startCluster } from './start-cluster.ts';
import { readState, updateState } from './state-file.ts';
import { unprivilegedUser } from './unprivileged-user.ts';

type Options = StackOptions & { readonly env: NodeJS.ProcessEnv; readonly stateDir: string };

/** The database that `url` of a directory's own server names. */
const DATABASE = 'sluice';

/** The configured PostgreSQL, else the one that this directory runs, else a new one on this directory's data. */
export async function attachOrStartPostgres(options: Options): Promise<PostgresServer> {
  const configured = configuredPostgres(options.env);
  if (configured !== undefined) return await useConfigured(configured, options.env);
  const user = unprivilegedUser();
  const known = readState(options.stateDir).postgres;
  const dataDir =
    known !== undefined && existsSync(known.dataDir) ? known.dataDir : placeData(options.stateDir, user);
  const programs = await choosePrograms(dataDir, options.env);
  const binDir = await reachableBinDir(programs, user);
  updateState(options.stateDir, { postgres: { port: 0, ...known, dataDir, rung: programs.rung } });
  const cluster = await startCluster({
    programs: { ...programs, binDir },
    dataDir,
    user,
    logFile: rotateLog(join(options.stateDir, 'logs', 'postgres.log')),
    password: password(options.stateDir),
    ...(known?.port ? { wantedPort: known.port } : {}),
    settings: ['log_line_prefix=%m [%p] %a '],
    ...(options.signal && { signal: options.signal }),
  });
  const { port, process } = cluster;
  updateState(options.stateDir, { postgres: { dataDir, port, rung: programs.rung, process } });
  const url = await databaseOf(cluster.adminUrl);
  const pgDumpDir = programs.hasPgDump
    ? binDir
    : pgDumpFor(await findPgDumps(options.env), programs.major)?.binDir;
  return {
    ...{ url, shownUrl: withoutPassword(url), major: programs.major, version: programs.version },
    ...{ rung: programs.rung, binDir, pgDumpDir: pgDumpDir ?? null, hasPgDump: pgDumpDir !== undefined },
    ...{ process, pid: process.pid, started: !cluster.adopted },
  };
}

async function useConfigured(url: string, env: NodeJS.ProcessEnv): Promise<PostgresServer> {
  const version = await serverVersion(url).catch((cause: unknown) => {
    const wrongPassword = cause instanceof Error && 'code' in cause && cause.code === '28P01';
    throw new SluiceError(
      wrongPassword ? 'target_authentication' : 'target_unreachable',
      {
        what: `PostgreSQL at ${withoutPassword(url)} cannot be used: ${cause instanceof Error ? cause.message : cause}`,
        expected: 'It is named by DATABASE_URL or PG*, so no other one is used in its place.',
        safe: 'Nothing was started; correct the URL, or unset it to use a server of this directory.',
      },
      { cause },
    );
  });
  const major = Number.parseInt(version, 10);
  const pgDumpDir = pgDumpFor(await findPgDumps(env), major)?.binDir ?? null;
  return {
    ...{ url, shownUrl: withoutPassword(url), major, version, rung: 'configured', binDir: null },
    ...{ pgDumpDir, hasPgDump: pgDumpDir !== null, process: null, pid: null, started: false },
  };
}

/** The version of a PostgreSQL server, for instance `15.18`. */
export async function serverVersion(url: string): Promise<string> {
  return await connected(url, async (client) => {
    const { rows } = await client.query<{ version: string }>(
      `select current_setting('server_version') as version`,
    );
    return rows[0]?.version.split(' ')[0] ?? 'unknown';
  });
}

async function databaseOf(adminUrl: string): Promise<string> {
  await connected(adminUrl, async (client) => {
    const there = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (there.rowCount === 0) await client.query(`create database ${DATABASE}`);
  });
  const url = new URL(adminUrl);
  url.pathname = `/${DATABASE}`;
  return url.href;
}

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    application_name: 'sluice',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

function password(stateDir: string): string {
  const file = join(stateDir, 'postgres.password');
  if (!existsSync(file))
    writeFileSync(file, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  return readFileSync(file, 'utf8').trim();
}
