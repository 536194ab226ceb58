import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute } from './support/replay-app.ts';
import { codeOf, letterIds, refusal } from './support/replays.ts';

const UNKNOWN = '0195f1a0-0000-7000-8000-000000000001';

describe.each([15, 18] as const)('the change of dead letters on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
  });
  afterAll(async () => {
    await database.drop();
  });
  const change = (
    ids: readonly string[] | null,
    state: string | null,
    actor: string | null = 'me',
    reason: string | null = 'known',
  ) =>
    ask<{ changed: number }>(client, 'select fn_iu_dead_letter_change($1, $2, $3, $4) as answer', [
      ids,
      state,
      actor,
      reason,
    ]);
  const states = (ids: readonly string[]) =>
    ask(
      client,
      'select array_agg(state order by dead_letter_id) as answer from iu_route_dead_letter where dead_letter_id = any ($1)',
      [ids],
    );

  test('parked ones are opened again, and discarded ones stay so; saying it twice changes nothing', async () => {
    await bury(client, 'one', ['a', 'b']);
    const ids = await letterIds(client, 'a', 'b');
    expect(await change(ids, 'parked')).toEqual({ changed: 2 });
    expect(await change(ids, 'parked')).toEqual({ changed: 0 });
    expect(await change(ids.slice(1), 'open')).toEqual({ changed: 1 });
    expect(await states(ids)).toEqual(['parked', 'open']);
    expect(await change([...ids, ...ids], 'discarded')).toEqual({ changed: 2 });
    expect(await change(ids, 'discarded')).toEqual({ changed: 0 });
    for (const state of ['open', 'parked'])
      expect(await refusal(change(ids, state))).toMatchObject({
        code: 'dead_letter_refused',
        message: expect.stringContaining(`${ids[0]} is discarded`),
      });
    expect(await states(ids)).toEqual(['discarded', 'discarded']);
  });

  test('it is all of them or none', async () => {
    await bury(client, 'one', ['c', 'd']);
    const [c = '', d = ''] = await letterIds(client, 'c', 'd');
    expect(await refusal(change([c, UNKNOWN], 'parked'))).toMatchObject({
      code: 'dead_letter_not_found',
      message: expect.stringContaining(UNKNOWN),
    });
    await change([d], 'discarded');
    expect(await codeOf(change([c, d], 'parked'))).toBe('SL010 dead_letter_refused');
    expect(await states([c, d])).toEqual(['open', 'discarded']);
  });

  test('it names who and why, and a state that people may set', async () => {
    await bury(client, 'one', ['e']);
    const ids = await letterIds(client, 'e');
    for (const [state, actor, reason] of [
      ['parked', '', 'why'],
      ['parked', null, 'why'],
      ['parked', 'me', ' '],
      ['discarded', 'me', null],
      ['resolved', 'me', 'why'],
      [null, 'me', 'why'],
    ] as const)
      expect(await codeOf(change(ids, state, actor, reason))).toBe('SL010 dead_letter_refused');
    expect(await states(ids)).toEqual(['open']);
    expect(await change([], 'parked')).toEqual({ changed: 0 });
  });
});
