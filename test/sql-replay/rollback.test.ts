import type pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { installEngine } from '../../target/install-engine.ts';
import { installed, REPLAY_FILES, undoOf } from '../sql-worker/support/installed.ts';
import { applyFile, textOf } from '../sql-worker/support/run-file.ts';
import { ask, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute } from './support/replay-app.ts';
import { lettersNow, planned } from './support/replays.ts';

describe.each([15, 18] as const)('the way back from planned replays on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  afterEach(async () => {
    await database.drop();
  });
  const state = async () => [
    await ask<string>(client, 'select sluice.fn_database_fingerprint() as answer'),
    await ask<string>(
      client,
      'select json_object_agg(key, value order by key)::text as answer from public.dot_config',
    ),
  ];

  test('each file’s undo leaves exactly what the file found, twice', async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await installEngine(client);
    for (const round of [1, 2]) {
      const before: string[][] = [];
      for (const path of REPLAY_FILES) {
        before.push(await state());
        await applyFile(client, path);
      }
      for (const path of REPLAY_FILES.toReversed()) {
        const changed = await state();
        await applyFile(client, undoOf(path));
        expect(changed, `${path} changed something`).not.toEqual(before.at(-1));
        expect(await state(), `${undoOf(path)} in round ${round}`).toEqual(before.pop());
      }
    }
  });

  test('it is refused with SL001 while a plan exists, and goes through without one; letters stay', async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await installEngine(client);
    await buildReplayApp(client);
    await callingRoute(client, 'one');
    await bury(client, 'one', ['a']);
    const [tables = ''] = REPLAY_FILES.map(undoOf);
    const undo = async () => {
      await client.query('begin');
      try {
        for (const path of REPLAY_FILES.toReversed().map(undoOf))
          await client.query(`set local search_path = "public", pg_temp; ${textOf(path)}`);
      } finally {
        await client.query('rollback');
      }
    };
    await undo();
    await planned(client);
    const before = await state();
    expect(await sqlstateOf(undo())).toBe('SL001');
    expect(await sqlstateOf(applyFile(client, tables))).toBe('SL001');
    expect(await state()).toEqual(before);
    expect(await lettersNow(client)).toEqual(['a open #1, 0 replays']);
  });
});
