import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installEngine } from '../../target/install-engine.ts';
import { installed, SEAM_FILES, undoOf } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import { ask, emit, runWorker, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  attempts,
  claim,
  DEAD,
  liveRoute,
  queued,
  ROUTE,
  recall,
  settle,
  tell,
} from './support/deliveries.ts';

const UNDO = SEAM_FILES.toReversed().map(undoOf);
const [GUARD = '', ...OTHERS] = UNDO;
const SETTINGS = OTHERS.at(-1) ?? '';

describe.each([15, 18] as const)('the way back from the delivery seam on PostgreSQL %i', (major) => {
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
    database = await installed(major, 'live');
    client = await database.connect();
    await installEngine(client);
    for (const round of [1, 2]) {
      const before: string[][] = [];
      for (const path of SEAM_FILES) {
        before.push(await state());
        await applyFile(client, path);
      }
      for (const path of SEAM_FILES.toReversed()) {
        const changed = await state();
        await applyFile(client, undoOf(path));
        expect(changed, `${path} changed something`).not.toEqual(before.at(-1));
        expect(await state(), `${undoOf(path)} in round ${round}`).toEqual(before.pop());
      }
    }
  });

  test('the way back goes through with history, which stays, and unbuilds the seam', async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
    await tell(client, 2);
    await runWorker(client);
    await settle(client, await claim(client, 1));
    await settle(client, await claim(client, 1), DEAD);
    await client.query('update iu_outbound_route set dry_run = true');
    const before = await attempts(client);
    for (const path of UNDO) await applyFile(client, path);
    expect(await attempts(client)).toEqual(before);
    expect(await ask(client, 'select count(*)::int as answer from iu_route_dead_letter')).toBe(1);
    expect(await sqlstateOf(client.query('update iu_outbound_route set dry_run = false'))).toBe('23514');
    expect(await ask(client, 'select fn_iu_route_seam_fails_closed() as answer')).toBe(true);
    await emit(client);
    expect(await runWorker(client)).toMatchObject({ status: 'ran', attempts_written: 1 });
  });

  describe('is refused with SL001, and changes nothing,', () => {
    beforeEach(async () => {
      database = await installed(major, 'delivering');
      client = await database.connect();
      await installEngine(client);
      await liveRoute(client);
    });
    const refused = async (path: string) => {
      const before = await state();
      expect(await sqlstateOf(applyFile(client, path))).toBe('SL001');
      expect(await state()).toEqual(before);
    };

    test('while a route is live', async () => {
      await refused(GUARD);
      await client.query('update iu_outbound_route set dry_run = true');
      await applyFile(client, GUARD);
    });

    test('while a delivery is queued: by its first file, while it can still be recalled', async () => {
      await tell(client);
      await runWorker(client);
      await client.query('update iu_outbound_route set dry_run = true');
      expect(await queued(client)).toBe(1);
      await refused(GUARD);
      await refused(SETTINGS);
      expect(await recall(client)).toEqual({ recalled: 1, still_queued: 0 });
      for (const path of UNDO) await applyFile(client, path);
      expect(await attempts(client, ROUTE)).toEqual(['dry_run #1']);
    });
  });
});
