import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { setConfig } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { demandBooks } from './support/books.ts';
import { buildReplayApp, bury, callingRoute, cure, effects, trouble } from './support/replay-app.ts';
import { codeOf, lettersNow, opened, placesOf, steer, stepAll } from './support/replays.ts';

describe.each([15, 18] as const)('the slow way of a replay on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  let hash: string;
  beforeEach(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
    await bury(client, 'one', ['a', 'b', 'c']);
    await cure(client);
  });
  afterEach(async () => {
    await demandBooks(client);
    await database.drop();
  });
  const next = (limit = 1, until = 'end') =>
    ask<number[]>(client, 'select fn_iu_replay_next($1, $2, $3, $4) as answer', [
      hash,
      'run-1',
      until,
      limit,
    ]);
  const tryAt = (places: number[]) =>
    ask<number>(client, 'select fn_iu_replay_try($1, $2, $3) as answer', [hash, 'run-1', places]);
  const fail = (place: number, sqlstate = '57014') =>
    client.query('select fn_iu_replay_fail($1, $2, $3, $4, $5)', [hash, 'run-1', place, sqlstate, 'made up']);

  test('letter by letter, one that hangs fails alone', async () => {
    hash = await opened(client);
    await trouble(client, 'b', 'sleeps');
    await client.query('begin');
    const taken: number[] = [];
    for (;;) {
      const [place] = await next();
      if (place === undefined) break;
      taken.push(place);
      await client.query(`savepoint s; set local statement_timeout = '200ms'`);
      try {
        await tryAt([place]);
        await client.query('release savepoint s; set local statement_timeout = 0');
      } catch {
        await client.query('rollback to savepoint s; release savepoint s');
        await fail(place);
      }
    }
    await client.query('commit');
    expect(taken).toEqual([1, 2, 3]);
    expect(await effects(client)).toEqual(['a', 'c']);
    expect(await placesOf(client, hash)).toEqual([
      'a resolved 1',
      'b failed 1 worker_process_error',
      'c resolved 1',
    ]);
    expect(await lettersNow(client)).toContain('b open #2, 1 replays');
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed' });
  });

  test('a letter that was asked for and not tried comes again', async () => {
    hash = await opened(client);
    expect(await next(2)).toEqual([1, 2]);
    await demandBooks(client);
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 3 } });
  });

  test('what has ended is neither tried nor failed again, nor is a place that is none', async () => {
    hash = await opened(client);
    await next(3);
    expect(await tryAt([1, 2])).toBe(2);
    expect(await tryAt([1, 2])).toBe(0);
    expect(await tryAt([1, 3, 9])).toBe(1);
    await fail(1);
    await fail(77);
    await demandBooks(client);
    expect(await placesOf(client, hash)).toEqual(['a resolved 1', 'b resolved 1', 'c resolved 1']);
    expect(await effects(client)).toEqual(['a', 'b', 'c']);
  });

  test('only letters of one route are tried at once', async () => {
    await callingRoute(client, 'two');
    await bury(client, 'two', ['d']);
    await cure(client);
    hash = await opened(client);
    expect(await tryAt([1, 4])).toBe(1);
    expect(await placesOf(client, hash)).toEqual([
      'a resolved 1',
      'b waiting 0',
      'c waiting 0',
      'd waiting 0',
    ]);
  });

  test.each(['hold', 'cancel', 'gate', 'limit'])(
    'after a %s nothing is asked for, and nothing tried',
    async (what) => {
      hash = await opened(client, { failureLimit: 0 });
      if (what === 'gate') await setConfig(client, 'route_worker_enabled', 'false');
      else if (what === 'limit') await fail((await next())[0] ?? 0);
      else await steer(client, hash, what);
      expect(await next(3)).toEqual([]);
      expect(await tryAt([2, 3])).toBe(0);
      expect(await effects(client)).toEqual([]);
    },
  );

  test('the canary alone is asked for until it has passed', async () => {
    hash = await opened(client, { canary: 1 });
    expect(await next(3)).toEqual([1]);
    expect(await next(3)).toEqual([1]);
    expect(await tryAt([1])).toBe(1);
    expect(await next(3)).toEqual([]);
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { canary: 'passed' } });
  });

  test('a failed letter has the retries of its policy', async () => {
    hash = await opened(client, { attempts: 2 });
    for (const _ of [1, 2]) {
      await fail((await next())[0] ?? 0, 'SL009');
      await demandBooks(client);
      await client.query('update iu_replay_letter set due_at = clock_timestamp() where due_at is not null');
    }
    expect((await placesOf(client, hash))[0]).toBe('a failed 2 target_failed');
  });

  test('another run, or none, may do none of it', async () => {
    hash = await opened(client);
    for (const call of [
      `next($1, 'other', 'end', 1)`,
      `try($1, 'other', '{1}')`,
      `fail($1, 'other', 1, 'XX000', 'x')`,
    ])
      expect(await codeOf(client.query(`select fn_iu_replay_${call}`, [hash])), call).toBe(
        'SL010 replay_ended',
      );
  });
});
