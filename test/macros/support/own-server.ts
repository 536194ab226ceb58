import { randomBytes, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { findEmbeddedPostgres, findLocalPostgres } from '../../../local/find-postgres.ts';
import { reachableBinDir } from '../../../local/reachable-programs.ts';
import { startCluster, stopCluster } from '../../../local/start-cluster.ts';
import { unprivilegedUser } from '../../../local/unprivileged-user.ts';
import { recordServer } from '../../support/abandoned-runs.ts';
import type { EngineDatabase } from '../../support/engine.ts';
import { harness } from '../../support/harness.ts';

/**
 * A PostgreSQL of a test file's own. Roles and the high-water mark belong to a whole server, so that a macro
 * beside other tests would see theirs. A lock alone draws no transaction number here.
 */
export interface OwnServer {
  /** A new database, or a clone of a template's. */
  create(template?: string): Promise<EngineDatabase>;
  /** The roles of IU Core that it has. */
  roles(): Promise<string[]>;
  stop(): Promise<void>;
}

export async function ownServer(major: 15 | 18 = 15): Promise<OwnServer> {
  const user = unprivilegedUser();
  const { found } = await (major === 15 ? findLocalPostgres() : findEmbeddedPostgres());
  const programs = found.find((one) => one.major === major) ?? found.at(-1);
  if (programs === undefined) throw new Error(`no PostgreSQL ${major}`);
  const dataDir = join(harness().dir, `macros-${process.pid}-${randomBytes(3).toString('hex')}`);
  const cluster = await startCluster({
    programs: { ...programs, binDir: await reachableBinDir(programs, user) },
    user,
    dataDir,
    logFile: `${dataDir}.log`,
    password: randomUUID(),
    unsafe: true,
    settings: ['wal_level=minimal', 'max_wal_senders=0', 'max_connections=200', 'log_min_messages=fatal'],
  });
  recordServer(harness().dir, cluster.process);
  const admin = new pg.Client({ connectionString: cluster.adminUrl });
  admin.on('error', () => undefined);
  await admin.connect();
  let created: Promise<unknown> = Promise.resolve();
  return {
    async create(template = 'template0') {
      const name = `macros_${randomBytes(4).toString('hex')}`;
      const clone = `create database ${pg.escapeIdentifier(name)} template ${pg.escapeIdentifier(template)}`;
      created = created.then(() => admin.query(clone));
      await created;
      return databaseAt(cluster.adminUrl.replace(/\/postgres$/, `/${name}`), name);
    },
    async roles() {
      const { rows } = await admin.query<{ rolname: string }>(
        `select rolname from pg_roles where rolname ~ '^iu_core_' order by rolname`,
      );
      return rows.map((row) => row.rolname);
    },
    async stop() {
      await admin.end();
      await stopCluster(cluster.process);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A database of a server that ends with its test file; `drop` ends the clients alone. */
export function databaseAt(url: string, name: string): EngineDatabase {
  const clients = new Set<pg.Client>();
  return {
    url,
    name,
    async connect(more = {}) {
      const client = new pg.Client({ connectionString: url, ...more });
      client.on('error', () => undefined);
      await client.connect();
      clients.add(client);
      return client;
    },
    async drop() {
      await Promise.all([...clients].map((client) => client.end().catch(() => undefined)));
    },
  };
}
