import { expect, test } from 'vitest';
import { createDatabase } from './support/create-database.ts';

test.each([15, 18] as const)('a database of PostgreSQL %i is created, used and dropped', async (major) => {
  const database = await createDatabase({ major });
  const client = await database.connect();
  const { rows } = await client.query(`select current_setting('server_version_num')::int / 10000 as major`);
  expect(rows).toEqual([{ major }]);
  await database.drop();
});
