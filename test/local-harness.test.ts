import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase } from './support/create-database.ts';
import { demand, harness } from './support/harness.ts';

test.each([15, 18] as const)('a database of PostgreSQL %i is created, used and dropped', async (major) => {
  const database = await createDatabase({ major });
  const client = await database.connect();
  const { rows } = await client.query(`select current_setting('server_version_num')::int / 10000 as major`);
  expect(rows).toEqual([{ major: demand(harness().postgres[major]).major }]);
  await database.drop();
});

test('a connection that a test left open fails the drop, by the name of its application', async () => {
  const database = await createDatabase({ major: 15 });
  const leaked = new pg.Client({ connectionString: database.url, application_name: 'forgotten pool' });
  leaked.on('error', () => undefined);
  await leaked.connect();
  await expect(database.drop()).rejects.toThrow(/forgotten pool/);
});

test('a template is built once and cloned', async () => {
  let builds = 0;
  const template = {
    name: `once_${process.pid}`,
    async build(url: string) {
      builds += 1;
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query('create table here ()');
      await client.end();
    },
  };
  const databases = await Promise.all([1, 2, 3].map(() => createDatabase({ major: 18, template })));
  for (const database of databases) {
    const client = await database.connect();
    expect((await client.query(`select to_regclass('here')::text as here`)).rows).toEqual([{ here: 'here' }]);
    await database.drop();
  }
  expect(builds).toBe(1);
});
