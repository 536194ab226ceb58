import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { BASE_FILES, ENABLE, undoOf, WORKER_FILES } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import { ask, emit, runWorker } from '../sql-worker/support/worker.ts';
import { createDatabase } from '../support/create-database.ts';

const INSTALL = 'sql/iu-core/roles/iu_core_roles.sql';
const UNDO = 'sql/iu-core/rollback/iu_core_roles.sql';
const ROLES = `select count(*)::int as answer from pg_roles where rolname ~ '^iu_core_'`;

describe.each([15, 18] as const)('roles on PostgreSQL %i', (major) => {
  test('installed twice and in several databases at once they are made once', async () => {
    const databases = await Promise.all(Array.from({ length: 4 }, () => createDatabase({ major })));
    const clients = await Promise.all(databases.map((database) => database.connect()));
    await Promise.all(clients.map((client) => applyFile(client, INSTALL)));
    await Promise.all(clients.map((client) => applyFile(client, INSTALL)));
    for (const client of clients) expect(await ask(client, ROLES)).toBe(5);
    for (const database of databases) await database.drop();
  });

  test('taken back in one database they stay for the other', async () => {
    const [one, two] = await Promise.all([createDatabase({ major }), createDatabase({ major })]);
    const [first, second] = await Promise.all([one.connect(), two.connect()]);
    await applyFile(first, INSTALL);
    await applyFile(second, INSTALL);
    await applyFile(first, UNDO);
    expect(await ask(second, ROLES)).toBe(5);
    expect(
      await ask(
        first,
        `select count(*)::int as answer from aclexplode((select nspacl from pg_namespace where nspname = 'public'))
        where grantee in (select oid from pg_roles where rolname ~ '^iu_core_')`,
      ),
    ).toBe(0);
    expect(
      await ask(second, `select has_schema_privilege('iu_core_owner', 'public', 'create') as answer`),
    ).toBe(true);
    await one.drop();
    await two.drop();
  });

  test('a user with CREATEROLE and no more installs, uses and takes back all of it', async () => {
    const database = await createDatabase({ major });
    const admin = await database.connect();
    const login = `installer_${randomBytes(4).toString('hex')}`;
    await admin.query(`create role ${login} login createrole password 'only in a test'`);
    // On 16 and newer a role is administered by whoever made it; here other databases of the run made them.
    await applyFile(admin, INSTALL);
    for (const role of ['owner', 'emitter', 'worker', 'operator', 'auditor']) {
      await admin.query(`grant iu_core_${role} to ${login} with admin option`);
    }
    await admin.query(`alter database ${database.name} owner to ${login}`);
    const url = new URL(database.url);
    url.username = login;
    url.password = 'only in a test';
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    const files = [...BASE_FILES, ...WORKER_FILES, ENABLE];
    for (const path of files) await applyFile(client, path);
    expect(
      await ask(
        client,
        `select bool_and(relowner = 'iu_core_owner'::regrole) as answer from pg_class where relname ~ '^iu_|outbox|dot_config'
        and relkind = 'r'`,
      ),
    ).toBe(true);
    await client.query('begin');
    await emit(client);
    await client.query('rollback');
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 0 });
    for (const path of files.toReversed()) await applyFile(client, undoOf(path));
    expect(
      await ask(
        client,
        `select count(*)::int as answer from pg_class where relname ~ '^iu_|outbox|dot_config'`,
      ),
    ).toBe(0);
    await client.end();
    await admin.query(`reassign owned by ${login} to current_user; drop owned by ${login}`);
    await admin.query(`drop role ${login}`);
    await database.drop();
  });
});
