import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installEngine } from '../../target/install-engine.ts';
import { createDatabase, type TestDatabase } from '../support/create-database.ts';
import { BASE_FILES, ENABLE, installed, UNIT_FILES, undoOf, WORKER_FILES } from './support/installed.ts';
import { applyFile } from './support/run-file.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

/** Those of the worker whose undo asks for history; the functions come off after that of 009 has asked. */
const GUARDED = WORKER_FILES.filter((path) => !path.includes('/functions/')).map(undoOf);

describe.each([15, 18] as const)('rollback on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  afterEach(async () => {
    await database.drop();
  });

  describe('of a fresh install', () => {
    beforeEach(async () => {
      database = await createDatabase({ major });
      client = await database.connect();
    });

    test('each file’s undo leaves exactly what the file found', async () => {
      await installEngine(client);
      const fingerprint = () => ask<string>(client, 'select sluice.fn_database_fingerprint() as answer');
      const config = async () =>
        (await ask<boolean>(client, `select to_regclass('public.dot_config') is null as answer`))
          ? 'none'
          : ask<string>(
              client,
              `select json_object_agg(key, value order by key)::text as answer from public.dot_config`,
            );
      const files = [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES];
      const before: string[][] = [];
      for (const path of files) {
        before.push([await fingerprint(), await config()]);
        await applyFile(client, path);
      }
      for (const path of files.toReversed()) {
        await applyFile(client, undoOf(path));
        expect([await fingerprint(), await config()], undoOf(path)).toEqual(before.pop());
      }
    });

    test('a second install after a rollback works', async () => {
      for (const round of [1, 2]) {
        for (const path of [...BASE_FILES, ...WORKER_FILES, ENABLE]) await applyFile(client, path);
        expect(await runWorker(client), String(round)).toMatchObject({ status: 'ran' });
        for (const path of [...BASE_FILES, ...WORKER_FILES, ENABLE].toReversed())
          await applyFile(client, undoOf(path));
      }
    });
  });

  describe('of a worker with history', () => {
    beforeEach(async () => {
      database = await installed(major, 'live');
      client = await database.connect();
    });

    test.each(GUARDED)(
      '%s is refused while an attempt exists, and goes through without one',
      async (path) => {
        await emit(client);
        await runWorker(client);
        const before = await client.query('select * from iu_route_attempt');
        expect(await sqlstateOf(applyFile(client, path))).toBe('SL001');
        expect((await client.query('select * from iu_route_attempt')).rows).toEqual(before.rows);

        const bare = await installed(major, 'live');
        const other = await bare.connect();
        if (path.includes('008'))
          for (const later of WORKER_FILES.slice(1, -1).toReversed()) await applyFile(other, undoOf(later));
        await applyFile(other, path);
        await bare.drop();
      },
    );

    test.each(GUARDED.slice(0, 2))('%s is refused while a dead letter exists', async (path) => {
      await client.query(
        `insert into iu_route_dead_letter (idempotency_key, event_id, worker_code, event, last_attempt, failure_code, fingerprint)
         values ('k', gen_random_uuid(), 'w', '{}', '{}', 'x', 'x')`,
      );
      expect(await sqlstateOf(applyFile(client, path))).toBe('SL001');
    });

    test('of 002 it is refused while an event exists', async () => {
      await emit(client);
      expect(await sqlstateOf(applyFile(client, 'sql/iu-core/rollback/002_event_outbox.sql'))).toBe('SL001');
    });

    test('of 090 it closes the gate and keeps the history', async () => {
      await emit(client);
      await runWorker(client);
      await applyFile(client, undoOf(ENABLE));
      expect(await runWorker(client)).toMatchObject({ status: 'worker_gate_closed' });
      expect(await ask(client, 'select count(*)::int as answer from iu_route_attempt')).toBe(1);
    });

    test('of the roles it is refused while one of them owns something', async () => {
      expect(await sqlstateOf(applyFile(client, undoOf(BASE_FILES[0] ?? '')))).toBe('SL001');
    });

    test('090 itself does not open the gate where the first run cannot run', async () => {
      await applyFile(client, undoOf(ENABLE));
      const other = await database.connect();
      await other.query('begin');
      await other.query('select from iu_route_worker_cursor for update');
      expect(await sqlstateOf(applyFile(client, ENABLE))).toBe('55P03');
      await other.query('rollback');
      await client.query(`update dot_config set value = 'false' where key = 'iu_core.outbound_enabled'`);
      expect(await sqlstateOf(applyFile(client, ENABLE))).toBe('SL008');
      expect(await ask(client, `select fn_iu_gate_open('iu_core.route_worker_enabled') as answer`)).toBe(
        false,
      );
    });
  });
});
