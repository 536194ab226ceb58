import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { withPartitionsOf } from '../support/partitions-of.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

describe.each([15, 18] as const)('partitions that were made ahead, on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
    await client.query('select fn_iu_retention_prepare()');
  });
  afterEach(async () => {
    await database.drop();
  });

  test.each(['event_outbox', 'iu_route_attempt'])(
    'each partition of %s refuses UPDATE, DELETE and TRUNCATE, a replica’s too',
    async (table) => {
      await emit(client);
      await runWorker(client);
      const names = await withPartitionsOf(client, table);
      expect(names.length).toBeGreaterThan(3);
      let withRows = 0;
      for (const name of names) {
        const rows = await ask<number>(client, `select count(*)::int as answer from ${name}`);
        if (rows > 0) withRows += 1;
        for (const role of ['origin', 'replica']) {
          await client.query(`set session_replication_role = ${role}`);
          for (const change of [`update ${name} set created_at = now()`, `delete from ${name}`]) {
            expect(await sqlstateOf(client.query(change)), `${role}: ${change}`).toBe(
              rows > 0 ? 'SL004' : 'none',
            );
          }
          expect(await sqlstateOf(client.query(`truncate ${name} cascade`)), `${role}: ${name}`).toBe(
            'SL004',
          );
        }
        await client.query('reset session_replication_role');
      }
      expect(withRows).toBe(2);
    },
  );

  test('each partition has the guards of its table, each firing always, and belongs to the owner alone', async () => {
    for (const table of ['event_outbox', 'iu_route_attempt']) {
      for (const name of (await withPartitionsOf(client, table)).slice(1)) {
        const { rows } = await client.query(
          `select
             (select bool_or(tgtype & 2 > 0 and tgtype & 8 > 0 and tgtype & 16 > 0) from pg_trigger where tgrelid = c.oid) as changes,
             (select bool_or(tgtype & 2 > 0 and tgtype & 32 > 0) from pg_trigger where tgrelid = c.oid) as truncates,
             (select bool_and(tgenabled = 'A') from pg_trigger where tgrelid = c.oid) as always,
             c.relowner::regrole::text as owner,
             exists (select from aclexplode(c.relacl) where grantee = 0) as is_public
           from pg_class as c where c.oid = $1::regclass`,
          [name],
        );
        expect(rows, name).toEqual([
          { changes: true, truncates: true, always: true, owner: 'iu_core_owner', is_public: false },
        ]);
      }
    }
  });

  test('no role but the owner may detach or drop one, or write into one', async () => {
    const [table = '', partition = ''] = await withPartitionsOf(client, 'event_outbox');
    for (const role of ['iu_core_emitter', 'iu_core_worker', 'iu_core_operator', 'iu_core_auditor']) {
      for (const statement of [
        `alter table ${table} detach partition ${partition}`,
        `drop table ${partition}`,
        `insert into ${partition} (event_domain, event_type, payload, actor) values ('iu', 'x', '{}', 'me')`,
        `alter table ${partition} disable trigger all`,
      ]) {
        await client.query('begin');
        await client.query(`set local role ${role}`);
        expect(await sqlstateOf(client.query(statement)), `${role}: ${statement}`).toBe('42501');
        await client.query('rollback');
      }
    }
  });
});
