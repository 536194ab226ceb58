import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { findEmbeddedPostgres, findLocalPostgres } from '../../../local/find-postgres.ts';
import { reachableBinDir } from '../../../local/reachable-programs.ts';
import { startCluster, stopCluster } from '../../../local/start-cluster.ts';
import { unprivilegedUser } from '../../../local/unprivileged-user.ts';
import {
  BASE_FILES,
  ENABLE,
  REPLAY_FILES,
  SEAM_FILES,
  UNIT_FILES,
  WORKER_FILES,
} from '../../sql-worker/support/installed.ts';
import { applyFile, textOf } from '../../sql-worker/support/run-file.ts';
import { recordServer } from '../../support/abandoned-runs.ts';
import { harness } from '../../support/harness.ts';

const TEMPLATE = 'worker_delivering';
const DATABASE = 'race';

export interface RaceCluster {
  /** A fresh database with IU Core live, its delivery seam and its planned replays built, and the words of the specs, in place of the one before. */
  freshDatabase(): Promise<{ readonly url: string; readonly client: pg.Client }>;
  stop(): Promise<void>;
}

/**
 * A server with nobody else on it. The high-water mark belongs to the whole server, so on a shared one a
 * transaction of another test, or an autovacuum, would hold events back and change what a spec prints.
 */
export async function startRaceCluster(major: 15 | 18): Promise<RaceCluster> {
  const { found, tried } = await (major === 15 ? findLocalPostgres() : findEmbeddedPostgres());
  const programs = found.find((one) => one.major === major) ?? found.at(-1);
  if (programs === undefined) throw new Error(`no PostgreSQL ${major}: ${tried.join('; ')}`);
  const user = unprivilegedUser();
  const dir = join(harness().dir, `races-${major}-${randomUUID().slice(0, 8)}`);
  mkdirSync(dir, { mode: 0o755 });
  const cluster = await startCluster({
    programs: { ...programs, binDir: await reachableBinDir(programs, user) },
    user,
    dataDir: join(dir, 'data'),
    logFile: join(dir, 'server.log'),
    password: randomUUID(),
    unsafe: true,
    settings: ['autovacuum=off', 'max_prepared_transactions=5', 'shared_buffers=32MB', 'max_connections=30'],
  });
  recordServer(harness().dir, cluster.process);

  const urlOf = (name: string) => cluster.adminUrl.replace(/\/postgres$/, `/${name}`);
  const connect = async (name: string) => {
    const client = new pg.Client({ connectionString: urlOf(name), application_name: 'the runner of races' });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const admin = await connect('postgres');
  let client: pg.Client | undefined;
  return {
    async freshDatabase() {
      await client?.end();
      await buildTemplate(admin, connect);
      await admin.query(`drop database if exists ${DATABASE} with (force)`);
      await admin.query(`create database ${DATABASE} template ${TEMPLATE}`);
      client = await connect(DATABASE);
      return { url: urlOf(DATABASE), client };
    },
    async stop() {
      await client?.end();
      await admin.end();
      await stopCluster(cluster.process);
    },
  };
}

async function buildTemplate(admin: pg.Client, connect: (name: string) => Promise<pg.Client>): Promise<void> {
  const there = await admin.query('select from pg_database where datname = $1', [TEMPLATE]);
  if (there.rowCount !== 0) return;
  await admin.query(`drop database if exists ${TEMPLATE}_draft with (force)`);
  await admin.query(`create database ${TEMPLATE}_draft template template0`);
  const client = await connect(`${TEMPLATE}_draft`);
  try {
    for (const path of [
      ...BASE_FILES,
      ...UNIT_FILES,
      ...WORKER_FILES,
      ENABLE,
      ...SEAM_FILES,
      ...REPLAY_FILES,
    ])
      await applyFile(client, path);
    await client.query(textOf('test/races/support/words.sql'));
  } finally {
    await client.end();
  }
  await admin.query(`alter database ${TEMPLATE}_draft rename to ${TEMPLATE}`);
}
