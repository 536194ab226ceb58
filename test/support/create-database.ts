import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { demand, harness } from './harness.ts';

export interface DatabaseOptions {
  /** Which of the two servers of the run. */
  readonly major: 15 | 18;
  /** Starts the name, to recognise it by. */
  readonly prefix?: string;
  /**
   * Clones a database that is built once per run and server: the first caller with this name builds it, on
   * a database of its own; the others wait for it. `build` must close what it opens.
   */
  readonly template?: { readonly name: string; readonly build: (url: string) => Promise<void> };
}

export interface TestDatabase {
  readonly url: string;
  readonly name: string;
  readonly major: 15 | 18;
  /** A connected client of the superuser; `drop` ends it, if the test did not. */
  connect(options?: pg.ClientConfig): Promise<pg.Client>;
  /** Ends the clients of `connect` and drops the database. Fails if anybody else is still connected. */
  drop(): Promise<void>;
}

/** How long a connection that was closed a moment ago may still be seen. */
const CLOSING_MS = 2_000;

const open = new Set<TestDatabase>();

/** An empty database of its own for a test, UTF-8, dropped at the end of the file if the test does not. */
export async function createDatabase(options: DatabaseOptions): Promise<TestDatabase> {
  const { adminUrl } = demand(harness().postgres[options.major]);
  const name = `${options.prefix ?? 'test'}_${process.pid}_${randomBytes(4).toString('hex')}`;
  const template = options.template === undefined ? 'template0' : await built(adminUrl, options.template);
  await asAdmin(adminUrl, async (admin) => {
    await admin.query(
      `create database ${pg.escapeIdentifier(name)} template ${pg.escapeIdentifier(template)}`,
    );
  });
  const url = withDatabase(adminUrl, name);
  const clients = new Set<pg.Client>();
  const database: TestDatabase = {
    url,
    name,
    major: options.major,
    async connect(more = {}) {
      const client = new pg.Client({
        connectionString: url,
        application_name: 'createDatabase.connect',
        ...more,
      });
      client.on('error', () => undefined);
      await client.connect();
      clients.add(client);
      return client;
    },
    async drop() {
      if (!open.delete(database)) return;
      await Promise.all([...clients].map((client) => client.end().catch(() => undefined)));
      await asAdmin(adminUrl, async (admin) => {
        const leaked = await stillConnected(admin, name);
        await admin.query(`drop database ${pg.escapeIdentifier(name)} with (force)`);
        if (leaked.length > 0) {
          throw new Error(`database ${name} was still in use when it was dropped:\n${leaked.join('\n')}`);
        }
      });
    },
  };
  open.add(database);
  return database;
}

/** Drops what the tests of this file left; fails if a connection was left, too. */
export async function dropRemainingDatabases(): Promise<void> {
  const failures: unknown[] = [];
  for (const database of [...open]) await database.drop().catch((error) => failures.push(error));
  if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'));
}

async function built(adminUrl: string, template: NonNullable<DatabaseOptions['template']>): Promise<string> {
  const name = `template_${template.name}`;
  await asAdmin(adminUrl, async (admin) => {
    await admin.query('select pg_advisory_lock(hashtext($1))', [name]);
    const there = await admin.query('select from pg_database where datname = $1', [name]);
    if (there.rowCount !== 0) return;
    const draft = `${name}_draft`;
    await admin.query(`drop database if exists ${pg.escapeIdentifier(draft)} with (force)`);
    await admin.query(`create database ${pg.escapeIdentifier(draft)} template template0`);
    await template.build(withDatabase(adminUrl, draft));
    const leaked = await stillConnected(admin, draft);
    if (leaked.length > 0) throw new Error(`building ${name} left connections open:\n${leaked.join('\n')}`);
    await admin.query(`alter database ${pg.escapeIdentifier(draft)} rename to ${pg.escapeIdentifier(name)}`);
  });
  return name;
}

async function stillConnected(admin: pg.Client, name: string): Promise<string[]> {
  for (const until = Date.now() + CLOSING_MS; ; ) {
    const { rows } = await admin.query<{ who: string }>(
      `select format('%s (pid %s, %s): %s', coalesce(nullif(application_name, ''), 'no application_name'), pid, state, query) as who
         from pg_stat_activity
        where datname = $1
          and backend_type in ('client backend', 'walsender')`,
      [name],
    );
    if (rows.length === 0 || Date.now() > until) return rows.map((row) => row.who);
    await delay(20);
  }
}

async function asAdmin(adminUrl: string, work: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl, application_name: 'test harness' });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

function withDatabase(adminUrl: string, name: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  return url.href;
}
